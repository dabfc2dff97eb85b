"""Tables and values of this build, from results and recordings; what is not known is said."""

from __future__ import annotations

import hashlib
import json

import pytest

from gpubook.book import results, sphinx_status
from gpubook.errors import BookError
from tests.conftest import ROOT
from tests.unit.small_book import notebook, result_of


def test_the_notebooks_table_counts_what_is_live_and_names_where_the_rest_was_recorded():
    items = [("live", "a", "here"), ("recorded", "b", "h100"), ("recorded", "c", "h100")]
    (row,) = sphinx_status.notebook_rows([result_of("01-x", *items, parameters={"N": 512})])
    assert (row["Live"], row["Recorded"], row["Recorded on"]) == (1, 2, "h100")
    assert row["Took (s)"] == 2.5
    assert row["Parameters"] == "N=512"


def test_the_evidence_table_says_why_something_is_not_live():
    items = [("live", "a", "here"), ("recorded", "b", "h100"), ("recorded", "c", "h100")]
    rows = sphinx_status.evidence_rows([result_of("01-x", *items)])
    assert [(row["Live?"], row["Evidence"], row["Why not live"]) for row in rows] == [
        ("live", "a", "–"),
        ("recorded", "b, c", "no Docker Engine"),
    ]
    assert rows[1]["Machine and day"].startswith("h100, 2026-11-23: ")


def test_the_machine_is_that_of_live_evidence_never_of_a_recording():
    rows = sphinx_status.machine_rows([result_of("01-x", ("recorded", "b", "h100"))])
    assert "every result of this build is a recording" in rows[-1]["Here"]
    rows = sphinx_status.machine_rows([result_of("01-x", ("live", "a", "here"))])
    shown = {row["What"]: row["Here"] for row in rows}
    assert shown["Processor"] == "A processor, 2 cores"
    assert shown["Memory"] == "8.0 GiB"
    assert shown["Docker Engine"] == "none"


def test_results_of_another_run_than_the_page_are_an_error(tmp_path, monkeypatch):
    folder = tmp_path / "executed"
    folder.mkdir()
    with pytest.raises(BookError, match="no executed notebooks"):
        results.load_all(tmp_path)

    page = folder / "01-x.ipynb"
    page.write_text(notebook(), encoding="utf-8")
    result = result_of("01-x", executed_sha256=hashlib.sha256(page.read_bytes()).hexdigest())
    monkeypatch.setattr("gpubook.book.results.load_result", lambda *_: result)
    assert results.load_all(tmp_path) == [result]
    page.write_text(notebook(text="print(N + 1)"), encoding="utf-8")
    with pytest.raises(BookError, match="not the notebook that gave its results"):
        results.load_all(tmp_path)


def test_a_figure_is_found_by_its_path_in_a_recording():
    record = {"data": {"rows": [{"seconds": 3.5}, {"seconds": 4.5}]}}
    assert sphinx_status.value_at(record["data"], "rows.1.seconds") == 4.5


@pytest.mark.parametrize("path", ["rows.2.seconds", "rows.x", "lines", "rows.0.seconds.more"])
def test_a_path_that_leads_nowhere_is_an_error(path):
    with pytest.raises(BookError, match="there is nothing at"):
        sphinx_status.value_at({"rows": [{"seconds": 3.5}]}, path)


RESULT = {"notebook": "01-a", "started": 100.0, "finished": 190.0, "evidences": []}


def test_a_notebooks_row_tells_what_it_used():
    used = {"memory_bytes": 3 * 2**29, "gpu_memory_bytes": None, "files_bytes": 87 * 2**20}
    (row,) = sphinx_status.seat_rows([RESULT | {"used": used}])
    expected = {"Computing": "1.5 minutes", "Memory": "1.5 GiB", "Files it leaves": "87 MiB"}
    assert row == {"Notebook": "01-a", **expected, "GPU memory": "–"}
    (row,) = sphinx_status.seat_rows([RESULT])
    assert (row["Memory"], row["Files it leaves"], row["GPU memory"]) == ("–", "–", "–")


def test_the_gpus_memory_is_that_of_every_machine_that_recorded_a_training():
    rows = {row["Recorded on"]: row for row in sphinx_status.gpu_rows(ROOT)}
    assert {"a4000-2023", "h100"} <= set(rows)
    of_2023 = rows["a4000-2023"]
    assert (of_2023["GPU"], of_2023["It has"]) == ("NVIDIA RTX A4000", "16.0 GiB")
    assert all(row["In use"].endswith("GiB") for row in rows.values())


def test_a_rehearsal_has_a_row_for_each_thing_that_a_class_waits_for():
    rows = sphinx_status.rehearsal_rows(ROOT)
    waits = {row["What"]: row for row in rows if row["Recorded on"].startswith("debian-vm")}
    assert list(waits) == [*sphinx_status.REHEARSED.values(), "failures"]
    assert waits["memory of a seat at work"]["Largest"].endswith("MiB")
    assert waits["wait for a seat"]["Largest"].endswith(("seconds", "minutes"))
    assert waits["failures"]["Median"] == "0", "no log-in refused, no work lost"


def test_the_disk_is_measured_here_and_an_image_is_as_large_as_its_build_noted(
    monkeypatch, tmp_path
):
    (tmp_path / "package").write_bytes(b"0" * 5 * 2**20)
    (tmp_path / "link").symlink_to("package")
    monkeypatch.setattr(sphinx_status.sys, "prefix", str(tmp_path))
    monkeypatch.setenv("PATH", "")  # no engine is asked
    assert [row["Disk"] for row in sphinx_status.disk_rows(tmp_path)][::2] == ["5 MiB", "–"]
    (tmp_path / "_build" / "image").mkdir(parents=True)
    noted = json.dumps({"image": "ours:cpu", "bytes": 2 * 2**30})
    (tmp_path / "_build" / "image" / "cpu.json").write_text(noted, encoding="utf-8")
    row = sphinx_status.disk_rows(tmp_path)[2]
    assert (row["What"], row["Disk"]) == ("the image ours:cpu", "2.0 GiB")


def test_every_table_of_a_page_can_be_made_and_another_is_an_error(monkeypatch):
    monkeypatch.setattr(
        sphinx_status, "_results", lambda _: [result_of("01-x", ("live", "a", "b"))]
    )
    columns = [sphinx_status.status(ROOT, name).count("<th ") for name in sphinx_status.TABLES]
    assert columns == [2, 7, 5, 5, 5, 6, 5, 3]
    with pytest.raises(BookError, match="no table nothing: choose from machine, notebooks"):
        sphinx_status.status(ROOT, "nothing")
    assert sphinx_status.took(ROOT, "01-x")[0] == "2 seconds"
    with pytest.raises(BookError, match="no such notebook"):
        sphinx_status.took(ROOT, "02-y")


def test_a_figure_in_a_sentence_is_the_recordings_with_its_source():
    place = "h100/12-what-makes-it-fast/bench-train:rounds.0.chapter.seconds .1f"
    value, source = sphinx_status.figure(ROOT, place)
    record = json.loads((ROOT / "recordings" / f"{place.split(':')[0]}.json").read_text("utf-8"))
    assert value == f"{record['data']['rounds'][0]['chapter']['seconds']:.1f}"
    assert source == f"recorded on h100, {record['provenance']['date'][:10]}"
    for wrong in ("h100", "h100/12-what-makes-it-fast/none:x", place.replace(".1f", "d")):
        with pytest.raises(BookError):
            sphinx_status.figure(ROOT, wrong)


def used(memory, files=0):
    return {"used": {"memory_bytes": memory, "gpu_memory_bytes": None, "files_bytes": files}}


def test_a_seat_holds_its_two_largest_notebooks_and_the_lab():
    measured = [used(2 * 2**30), used(2**20), {}, used(3 * 2**29)]
    assert sphinx_status.seat_bytes(measured) == 4 * 2**30
    assert sphinx_status.seat_bytes([*measured, used(2**31 + 1)]) == 5 * 2**30
    assert sphinx_status.seat_bytes([{}]) is None


def test_a_class_needs_the_image_once_and_the_rest_for_each():
    measured = [used(2**30, 2**29), used(2**29, 2**29)]
    rows = {row["Seats"]: tuple(row.values()) for row in sphinx_status.class_rows(measured, 2**31)}
    assert rows["1"] == ("1", "2.0 GiB", "1", "4.0 GiB", "1")
    assert rows["20"] == ("20", "40.0 GiB", "20", "42.0 GiB", "3")
    unknown = sphinx_status.class_rows([{}], None)[0]
    assert (unknown["Memory"], unknown["Disk"]) == ("–", "–")
