"""The experiment of the page on escapes, run as the page has it: where a hook stands, and its
environment. The hooks write four lines into a file and do nothing else."""

import re
import subprocess
from pathlib import Path

import pytest

from gpubook import engine
from gpubook.machine import info
from tests.conftest import ROOT

pytestmark = pytest.mark.docker
GREETING = "GREETING=from-the-container"


@pytest.fixture(scope="module")
def notes(tmp_path_factory):
    """What the page's two hooks wrote: by device, the lines. The CDI file is removed afterwards."""
    folders = info.info()["cdi"]["directories"]
    if not folders:
        pytest.skip("this engine reads no CDI specifications")
    page = (ROOT / "book/escapes.md").read_text(encoding="utf-8")
    (spec,) = re.findall(r"```yaml\n(cdiVersion.*?)```", page, re.DOTALL)
    place = tmp_path_factory.mktemp("hooks")
    file = Path(folders[0]) / "gpubook-hooks.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(spec.replace("/tmp/hook-", f"{place}/"), encoding="utf-8")
    try:
        for device in ("bare", "clean"):
            asked = ["--device", f"example.com/hook={device}", "-e", GREETING]
            command = ["docker", "run", "--rm", *asked, engine.choose_image(), "true"]
            subprocess.run(command, check=True, capture_output=True)
    finally:
        file.unlink()
    return {
        name: (place / name).read_text(encoding="utf-8").split("\n") for name in ("bare", "clean")
    }


@pytest.mark.parametrize("device", ["bare", "clean"])
def test_a_hook_runs_as_root_outside_in_the_containers_folder(notes, device):
    user, folder = notes[device][:2]
    assert user == "0"
    assert folder != "/"
    assert not Path(folder).exists()  # it was the host's path to a container that is gone


def test_a_hook_with_an_environment_gets_no_setting_of_the_container(notes):
    assert "ONLY=this" in notes["clean"]
    assert GREETING not in notes["clean"]


def test_an_old_runc_gives_a_hook_without_one_the_containers(notes):
    parts = "{{range .Server.Components}}{{.Name}} {{.Version}};{{end}}"
    command = ["docker", "version", "--format", parts]
    if ";runc 1.1." not in subprocess.run(command, capture_output=True, text=True).stdout:
        pytest.skip("runc 1.1 is known to do so, 1.4 not to")
    assert GREETING in notes["bare"]
