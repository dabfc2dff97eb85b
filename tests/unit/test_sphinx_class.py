"""The tables that an instructor plans with are made from results, and say what is not known."""

from __future__ import annotations

from gpubook.book import sphinx_class
from tests.conftest import ROOT

RESULT = {"notebook": "01-a", "started": 100.0, "finished": 190.0, "evidences": []}


def test_a_notebooks_row_tells_what_it_used():
    used = {"memory_bytes": 3 * 2**29, "gpu_memory_bytes": None, "files_bytes": 87 * 2**20}
    (row,) = sphinx_class.seat_rows([RESULT | {"used": used}])
    assert row == {
        "notebook": "01-a", "took": "1.5 minutes", "memory": "1.5 GiB", "files": "87 MiB",
        "gpu": "–",
    }  # fmt: skip


def test_a_result_that_does_not_tell_is_a_dash():
    (row,) = sphinx_class.seat_rows([RESULT])
    assert (row["memory"], row["files"], row["gpu"]) == ("–", "–", "–")


def used(memory, files=0):
    return RESULT | {
        "used": {"memory_bytes": memory, "gpu_memory_bytes": None, "files_bytes": files}
    }


def test_a_seat_holds_its_two_largest_notebooks_and_the_lab():
    results = [used(2 * 2**30), used(2**20), RESULT, used(3 * 2**29)]
    assert sphinx_class.seat_bytes(results) == 4 * 2**30
    assert sphinx_class.seat_bytes([*results, used(2**31 + 1)]) == 5 * 2**30
    assert sphinx_class.seat_bytes([RESULT]) is None


def test_a_class_needs_the_image_once_and_the_rest_for_each():
    results = [used(2**30, 2**29), used(2**29, 2**29)]
    rows = {row["seats"]: row for row in sphinx_class.class_rows(results, 2 * 2**30)}
    assert rows["1"] == {
        "seats": "1", "memory": "2.0 GiB", "cores": "1", "disk": "4.0 GiB", "gpus": "1",
    }  # fmt: skip
    assert rows["20"] == {
        "seats": "20", "memory": "40.0 GiB", "cores": "20", "disk": "42.0 GiB", "gpus": "3",
    }  # fmt: skip
    unknown = sphinx_class.class_rows([RESULT], None)[0]
    assert (unknown["memory"], unknown["disk"]) == ("–", "–")


def test_the_gpus_memory_is_that_of_every_machine_that_recorded_a_training():
    rows = {row["machine"]: row for row in sphinx_class.gpu_rows(ROOT)}
    assert {"a4000-2023", "h100"} <= set(rows)
    of_2023 = rows["a4000-2023"]
    assert (of_2023["gpu"], of_2023["total"]) == ("NVIDIA RTX A4000", "16.0 GiB")
    assert all(row["used"].endswith("GiB") for row in rows.values())


def test_the_disk_is_measured_on_this_machine(monkeypatch, tmp_path):
    (tmp_path / "package").write_bytes(b"0" * 5 * 2**20)
    (tmp_path / "link").symlink_to("package")
    monkeypatch.setattr(sphinx_class.sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sphinx_class, "image_bytes", lambda: 2 * 2**30)
    rows = sphinx_class.disk_rows()
    assert rows[0]["disk"] == "5 MiB"
    assert rows[2]["disk"] == "2.0 GiB"


def test_without_an_engine_the_images_size_is_not_known(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert sphinx_class.image_bytes() is None
    assert sphinx_class.size(None) == "–"
