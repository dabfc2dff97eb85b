"""Real injection by a real engine: the reader's own device, and a stub driver through CDI."""

from __future__ import annotations

from pathlib import Path

import pytest

from gpubook import engine, injection, machine
from gpubook.book.execute import load_result
from gpubook.injection import own, stub
from tests.conftest import ROOT, gpubook

pytestmark = pytest.mark.docker
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
    report = injection.look(image, "plain")
    assert report["path"] == "none"
    assert report["counts"] == {}
    assert report["unknown"] == []


def test_a_device_of_ones_own_arrives_whole(image, folder):
    report = injection.try_spec(image, LAMP, "red", commands=("head -c 2 /dev/lamp | od -An -tx1",))
    assert report["path"] == "engine-cdi"
    assert {(i["kind"], i["target"]) for i in report["injected"]} == {
        ("device", "/dev/lamp"),
        ("env", "LAMP_COLOUR=red"),
    }
    assert report["unknown"] == []
    assert report["steps"][0]["stdout"].split() == ["00", "00"]


def test_what_the_specification_does_not_name_is_unknown(image, folder):
    with own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}):
        request = {"device_requests": [{"Driver": "cdi", "DeviceIDs": ["example.com/lamp=red"]}]}
        report = injection.look(image, "device", options=request)  # and tell nobody of the lamp
    assert sorted(report["unknown"]) == ["device /dev/lamp", "env LAMP_COLOUR=red"]


def test_files_lie_in_the_engines_folder_for_as_long_as_they_are_needed(image, folder):
    with own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}):
        assert (folder / "gpubook-lamp.yaml").read_text(encoding="utf-8") == LAMP
    assert not (folder / "gpubook-lamp.yaml").exists()


def test_files_are_gone_after_a_failure_too(image, folder):
    with pytest.raises(KeyError), own.placed(image, str(folder), {"gpubook-lamp.yaml": LAMP}):
        raise KeyError
    assert not (folder / "gpubook-lamp.yaml").exists()


def test_a_device_that_no_specification_has_is_refused(image, folder):
    with pytest.raises(engine.EngineRefused, match="unresolvable CDI devices"):
        injection.try_spec(image, LAMP, "red", files={"gpubook-lamp.yaml": "kind: example.com/x"})


def test_a_mistake_in_a_specification_is_named_before_the_engine_sees_it(image, folder):
    with pytest.raises(injection.SpecError, match="no devices"):
        injection.try_spec(image, "{cdiVersion: 0.5.0, kind: a.b/c, devices: []}", "red")


def test_the_stub_driver_arrives_through_the_engines_own_cdi(image, folder, no_driver):
    with injection.stub_driver(CAPTURES) as spec:
        report = injection.look(image, "device")
    seen = injection.from_json(report["observation"])
    assert report["path"] == "engine-cdi"
    assert report["against"] == []
    assert report["unknown"] == []
    expected = {
        "gpu-node": 1, "control-node": 3, "driver-library": 26, "driver-binary": 5,
        "firmware": 2, "graphics-config": 2, "link": 45, "environment": 2, "hook": 6,
    }  # fmt: skip
    if seen.oci is None:
        del expected["hook"]
    assert report["counts"] == expected
    assert injection.missing(spec.edits("all"), seen) == []
    assert report["smi"].startswith(stub.NOTICE)


def test_the_stubs_tree_and_specification_are_gone_afterwards(image, folder, no_driver):
    with injection.stub_driver(CAPTURES) as spec:
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
        injection.stub_driver(CAPTURES),
    ):
        pass


@pytest.fixture
def executed_with_docker(request, tmp_path) -> Path:
    """The build folder of a run in which Docker was required: CI's own, or one of a copy."""
    if "docker" in machine.required():
        return request.getfixturevalue("executed")
    for name in ("_toc.yml", "notebooks", "recordings", "book"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = gpubook("run", *STUBBED, "--require", "docker", cwd=tmp_path, GPUBOOK_ROOT=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp_path / "_build"


STUBBED = {
    path.stem: evidence
    for evidence in ("workload-device", "container-device")
    for path in (ROOT / "notebooks").glob("*.ipynb")
    if evidence in path.read_text(encoding="utf-8")
}
"""The notebooks that measure through the stub, and what they measure."""


def test_with_docker_required_and_no_gpu_the_pages_are_live_through_the_stub(
    no_driver, folder, executed_with_docker
):
    assert sorted(STUBBED.values()) == ["container-device", "workload-device"]
    for name, evidence in STUBBED.items():
        result = load_result(executed_with_docker, name)
        items = {item["record"]["name"]: item for item in result["evidences"]}
        assert items[evidence]["mode"] == "live"
        assert items[evidence]["record"]["provenance"]["stub"] is True
        page = executed_with_docker / "executed" / f"{name}.ipynb"
        assert "STUB DRIVER" in page.read_text(encoding="utf-8")
