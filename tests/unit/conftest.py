"""What unit tests of pages share: a book that is a temporary folder, and what the machine can."""

import dataclasses
import importlib.util
import sys

import pytest

from gpubook import machine
from gpubook.evidence import new_record, write_recording
from gpubook.evidence.records import here
from gpubook.machine import Capability
from tests.conftest import ROOT
from tests.unit import small_book as small


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A book's folder, and nothing in the environment that steers a page."""
    monkeypatch.setenv("GPUBOOK_ROOT", str(tmp_path))
    for name in ("REQUIRE", "GPUBOOK_WORK", "GPUBOOK_RECORDING"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def can(monkeypatch):
    """A function that lets the machine have just the capabilities named."""
    real = machine.probe()

    def set_(*names):
        capabilities = {
            name: Capability(name in names, "set by the test") for name in machine.CAPABILITIES
        }
        fake = dataclasses.replace(real, capabilities=capabilities)
        monkeypatch.setattr(machine, "probe", lambda: fake)

    return set_


@pytest.fixture
def recorded(root):
    """A function that writes a recording of page 01-x and returns its path."""

    def write(name="thing", data=None, machine_name="h100", gpu=None, date=None):
        provenance = here(name=machine_name)
        gpus = [{"name": gpu, "memory_bytes": 1, "driver": "1", "compute_capability": "9.0"}]
        provenance["machine"]["gpus"] = gpus if gpu else []
        provenance["date"] = date or provenance["date"]
        data = {"x": 1} if data is None else data
        record = new_record("01-x", name, data, needs=("docker",), provenance=provenance)
        return write_recording(root, record)

    return write


@pytest.fixture
def without(monkeypatch):
    """A function that takes a capability away from the machine, with a reason."""

    def take(name, why):
        here = machine.probe()
        changed = here.capabilities | {name: Capability(False, why)}
        monkeypatch.setattr(
            machine, "probe", lambda: dataclasses.replace(here, capabilities=changed)
        )

    return take


@pytest.fixture(scope="module")
def hub_module(request):
    """A module of docker/jupyterhub, the one that its test names in HUB_MODULE."""
    name = request.module.HUB_MODULE
    path = ROOT / "docker" / "jupyterhub" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    del sys.modules[name]


@pytest.fixture
def small_book(tmp_path):
    """A small book, executed, ready to be rendered."""
    return small.make(tmp_path)
