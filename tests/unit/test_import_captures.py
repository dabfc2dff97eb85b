"""The recordings of the H100 host are what its captures give: an edited digit shows."""

import json
import shutil

import pytest

from gpubook.errors import BookError
from gpubook.evidence.records import recording_path
from tests.captured import CAPTURES
from tests.conftest import ROOT
from tools import import_captures as tool


@pytest.mark.parametrize("row", tool.CONVERTERS, ids=lambda row: f"{row.notebook[:2]}-{row.name}")
def test_a_recording_is_what_its_capture_gives(row):
    recording = json.loads(recording_path(ROOT, "h100", row.notebook, row.name).read_text())
    assert recording["data"] == json.loads(json.dumps(row.convert(CAPTURES)))
    assert recording["provenance"] == tool.provenance(CAPTURES, row.capture)
    assert recording["needs"] == sorted(row.needs.split(","))


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
    with pytest.raises(BookError, match=r"docker-info\.json is not JSON"):
        tool.settings(tmp_path)
    with pytest.raises(BookError, match=r"cannot read the capture cdi-nvidia\.yaml"):
        tool.specification(tmp_path)
