"""The recordings of page 01 are what the captures give: an edited digit is found out."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from gpubook import engine
from gpubook.engine import captures as converters
from gpubook.evidence.records import recording_path

ROOT = Path(__file__).parents[2]
CAPTURES = ROOT / "recordings/h100/captures"
SPEC = importlib.util.spec_from_file_location("import_captures", ROOT / "tools/import_captures.py")
tool = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tool)

ROWS = [row for row in tool.CONVERTERS if row.notebook == "01-first-container"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_recording_is_what_its_capture_gives(row):
    path = recording_path(ROOT, "h100", row.notebook, row.name)
    recording = json.loads(path.read_text())
    assert recording["data"] == row.convert(CAPTURES)
    assert recording["provenance"] == tool.provenance(CAPTURES, row.capture)
    assert recording["needs"] == list(row.needs)


def test_the_provenance_is_the_captured_machine_in_its_own_words():
    provenance = tool.provenance(CAPTURES, "docker-info.json")
    gpu = provenance["machine"]["gpus"][0]
    assert gpu["name"] == "NVIDIA H100 80GB HBM3"
    assert gpu["memory_bytes"] == 81559 * 2**20
    assert provenance["software"]["driver"] == "580.159.04"
    assert provenance["software"]["toolkit"] == "1.20.0"
    assert provenance["date"] == "2026-11-23T10:46:39Z"
    assert provenance["stub"] is False


def test_the_check_names_a_recording_that_was_edited(tmp_path, monkeypatch, capsys):
    shutil.copytree(ROOT / "recordings", tmp_path / "recordings")
    monkeypatch.setattr(tool, "ROOT", tmp_path)
    assert tool.main(["--check"]) == 0
    edited = tmp_path / "recordings/h100/01-first-container/docker-info.json"
    edited.write_text(edited.read_text().replace("125.9GiB", "125.8GiB"))
    assert tool.main(["--check"]) == 1
    assert "01-first-container/docker-info.json is not what" in capsys.readouterr().out


def test_a_capture_that_is_cut_short_is_refused_by_name(tmp_path):
    (tmp_path / "docker-info.json").write_text('{"ServerVersion": "28.5.2"')
    with pytest.raises(engine.UnexpectedAnswer, match=r"docker-info\.json is not JSON"):
        converters.docker_info(tmp_path)
    with pytest.raises(engine.UnexpectedAnswer, match=r"cannot read the capture daemon\.json"):
        converters.daemon_json(tmp_path)
