"""Real injection by a real engine: a device of one's own, and a stub driver through CDI."""

import json
import re
import shlex
import subprocess
from contextlib import contextmanager
from pathlib import Path

import docker
import pytest

from gpubook import engine, injection, machine
from gpubook.machine import info
from tests.captured import counts, injected, unknown
from tests.docker.stub import FILE, NOTICE, stub_driver
from tests.notebooks import pages
from tools.import_captures import LOOK

pytestmark = pytest.mark.docker
PAGE = "06-inside-a-gpu-container"
GPU = ("--device", "nvidia.com/gpu=all")
LAMP = """
cdiVersion: 0.5.0
kind: example.com/lamp
devices:
  - name: red
    containerEdits:
      env: [LAMP_COLOUR=red]
      deviceNodes:
        - {path: /dev/lamp, type: c, major: 1, minor: 5, permissions: r}
"""


@pytest.fixture(scope="module")
def image():
    assert machine.probe().capabilities["docker"].available
    return engine.choose_image()


@pytest.fixture(scope="module")
def folder():
    """The engine's CDI folder, which must be as it was afterwards."""
    folders = info.info()["cdi"]["directories"]
    if not folders:
        pytest.skip("this engine reads no CDI specifications")
    here = Path(folders[0])
    before = sorted(here.iterdir()) if here.is_dir() else []
    yield here
    assert (sorted(here.iterdir()) if here.is_dir() else []) == before


@pytest.fixture
def no_driver():
    if machine.probe().capabilities["gpu"].available:
        pytest.skip("a real GPU is here: the stub would hide it")


@contextmanager
def placed(folder, text):
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "gpubook-lamp.yaml"
    file.write_text(text, encoding="utf-8")
    try:
        yield
    finally:
        file.unlink()


def run(image, *words):
    command = ["docker", "run", "--rm", *words[:-1], image, *shlex.split(words[-1])]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def look(image, *options):
    """One container, started as on page 06 and read as there."""
    return injection.from_outputs(*run(image, *options, LOOK).split("\n\n"))


def test_a_plain_container_has_only_what_docker_gives(image):
    seen = look(image)
    items = injection.classify(seen)
    assert injection.decide(seen, items).path == "none"
    assert [i for i in injected(items) if i.kind != "env"] == []


def test_a_device_of_ones_own_arrives_and_its_things_are_in_no_table(image, folder):
    with placed(folder, LAMP):
        items = injection.classify(look(image, "--device", "example.com/lamp=red"))
    usual = unknown(injection.classify(look(image)))  # variables of the image
    assert unknown(items) - usual == {"/dev/lamp", "LAMP_COLOUR=red"}


def test_the_stub_driver_arrives_through_the_engines_own_cdi(image, folder, no_driver):
    with stub_driver() as spec:
        seen, plain = look(image, *GPU), look(image)
        said = run(image, *GPU, "nvidia-smi")
        links = run(image, *GPU, "find / -xdev -type l -name libcuda.so*")
    items = injection.classify(seen)
    decision = injection.decide(seen, items)
    assert (decision.path, decision.against) == ("cdi", ())
    assert unknown(items) == unknown(injection.classify(plain))
    expected = {
        "gpu-node": 1, "control-node": 3, "driver-library": 26, "driver-binary": 5,
        "firmware": 2, "graphics-config": 2, "environment": 2,
    }  # fmt: skip
    assert {k: n for k, n in counts(items).items() if k != "unknown"} == expected
    edits = spec.edits("all")
    assert {m.container for m in edits.mounts} <= {m.target for m in seen.mounts}
    assert {n.path for n in edits.nodes} <= {d.path for d in seen.devices}
    assert said.startswith(NOTICE)
    assert "libcuda.so.1" in links


def test_the_code_of_page_06_decides_what_the_library_decides(image, folder, no_driver):
    if machine.probe().missing(["host", "root"]):
        pytest.skip("the OCI specification is root's, and of this machine")
    device = {"device_requests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]}
    given = {"IMAGE": image, "REQUESTS": {"plain": {}, "--device": device}}
    given |= {"docker": docker, "json": json, "re": re, "Path": Path}
    with stub_driver():
        specs = pages.names(PAGE, "specs", **given)["specs"]
        plain, gpu = run(image, LOOK), run(image, *GPU, LOOK)
    specs |= dict.fromkeys(["--runtime", "--gpus"], specs["plain"])
    texts = {"plain": [plain], "looks": [gpu, plain, plain]}
    page = pages.names(PAGE, "things", "containers", "decide", specs=specs, **texts)
    assert page["DECIDED"] == {
        "plain": "none", "--device": "engine-cdi", "--runtime": "none", "--gpus": "none",
    }  # fmt: skip
    for name, path in page["DECIDED"].items():
        seen = injection.from_outputs(*page["CONTAINERS"][name], specs[name])
        assert injection.decide(seen).path == path
    assert len(seen.oci.hooks) < len(specs["--device"]["hooks"])


def test_the_stubs_tree_and_specification_are_gone_afterwards(image, folder, no_driver):
    with stub_driver() as spec:
        hosts = [Path(m.host) for m in spec.edits("all").mounts]
        assert all(path.is_file() for path in hosts)
        assert (folder / FILE).is_file()
    assert not any(path.exists() for path in hosts)
    assert not (folder / FILE).exists()
