"""Real injection by a real engine: files in its folder, and a stub driver through CDI."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import docker
import pytest

from gpubook import engine, injection, machine
from gpubook.injection import captures, collect, own, stub
from tests.conftest import ROOT
from tests.notebooks import pages

pytestmark = pytest.mark.docker
PAGE = "06-inside-a-gpu-container"
CAPTURES = ROOT / "recordings/h100/captures"
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
    folders = engine.info()["cdi"]["directories"]
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


def test_a_plain_container_has_only_what_docker_gives(image):
    seen, smi = collect.look(image, "plain")
    items = injection.classify(seen)
    assert injection.decide(seen, items).path == "none"
    assert injection.injected(items) == ()
    assert smi == ""


def test_a_device_of_ones_own_arrives_and_its_things_are_in_no_table(image, folder):
    ask = {"Driver": "cdi", "DeviceIDs": ["example.com/lamp=red"]}
    with (
        own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}),
        engine.running(image, "sleep 60", device_requests=[ask]) as container,
    ):
        items = injection.classify(collect.observe(container))
    assert {i.target for i in injection.unknown(items)} == {"/dev/lamp", "LAMP_COLOUR=red"}
    assert injection.injected(items) == injection.unknown(items)


def test_files_lie_in_the_engines_folder_for_as_long_as_they_are_needed(image, folder):
    with own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}):
        assert (folder / "gpubook-lamp.yaml").read_text(encoding="utf-8") == LAMP
    assert not (folder / "gpubook-lamp.yaml").exists()


def test_files_are_gone_after_a_failure_too(image, folder):
    with pytest.raises(KeyError), own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}):
        raise KeyError
    assert not (folder / "gpubook-lamp.yaml").exists()


def test_the_stub_driver_arrives_through_the_engines_own_cdi(image, folder, no_driver):
    with stub.stub_driver(CAPTURES) as spec:
        seen, smi = collect.look(image, "device")
    items = injection.classify(seen)
    decision = injection.decide(seen, items)
    assert (decision.path, decision.against) == ("engine-cdi", ())
    assert injection.unknown(items) == ()
    expected = {
        "gpu-node": 1, "control-node": 3, "driver-library": 26, "driver-binary": 5,
        "firmware": 2, "graphics-config": 2, "link": 45, "environment": 2, "hook": 6,
    }  # fmt: skip
    if seen.oci is None:
        del expected["hook"]
    assert injection.counts(items) == expected
    edits = spec.edits("all")
    assert {m.container for m in edits.mounts} <= {m.target for m in seen.mounts}
    assert {n.path for n in edits.nodes} <= {d.path for d in seen.devices}
    assert smi.startswith(stub.NOTICE)


def test_the_code_of_page_06_decides_what_the_library_decides(image, folder, no_driver):
    if machine.probe().missing(["host", "root"]):
        pytest.skip("the OCI specification is root's, and of this machine")

    def look(*options):
        command = ["docker", "run", "--rm", *options, image, *shlex.split(captures.LOOK)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    device = {"device_requests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]}
    given = {"IMAGE": image, "REQUESTS": {"plain": {}, "--device": device}}
    given |= {"docker": docker, "json": json, "re": re, "Path": Path}
    with stub.stub_driver(CAPTURES):
        specs = pages.names(PAGE, "specs", **given)["specs"]
        plain, gpu = look(), look("--device", "nvidia.com/gpu=all")
    specs |= dict.fromkeys(["--runtime", "--gpus"], specs["plain"])
    texts = {"plain": [plain], "looks": [gpu, plain, plain]}
    page = pages.names(PAGE, "things", "containers", "decide", specs=specs, **texts)
    assert page["DECIDED"] == {
        "plain": "none", "--device": "engine-cdi", "--runtime": "none", "--gpus": "none",
    }  # fmt: skip
    for name, path in page["DECIDED"].items():
        seen = injection.from_outputs(*page["CONTAINERS"][name], specs[name])
        assert injection.decide(seen).path == path


def test_the_stubs_tree_and_specification_are_gone_afterwards(image, folder, no_driver):
    with stub.stub_driver(CAPTURES) as spec:
        hosts = [Path(m.host) for m in spec.edits("all").mounts]
        assert all(path.is_file() for path in hosts)
        assert (folder / stub.FILE).is_file()
    assert not any(path.exists() for path in hosts)
    assert not (folder / stub.FILE).exists()


def test_the_stub_stands_back_where_a_real_specification_is(image, folder, no_driver):
    real = {"gpubook-real.yaml": (CAPTURES / "cdi-nvidia.yaml").read_text(encoding="utf-8")}
    with (
        own.placed(image, str(folder), real),
        pytest.raises(stub.DriverPresent, match="already describes"),
        stub.stub_driver(CAPTURES),
    ):
        pass
