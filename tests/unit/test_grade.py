"""A class of ten: seven are right, three are wrong in different ways, and each fault is a line."""

import json
import subprocess
import sys

import pytest

from gpubook.evidence.records import read_json
from tests.conftest import ROOT

PAGE = "03-what-a-container-is-made-of"
RECORDED = ROOT / "recordings" / "debian-vm" / PAGE
NAMES = ["ada", "alan", "barbara", "dennis", "edsger", "frances", "grace", "john", "ken", "radia"]


def right() -> dict:
    """The results of a learner who measured what the recording has and answered all."""
    records = [read_json(path) for path in sorted(RECORDED.glob("*.json"))]
    namespaces = next(r for r in records if r["name"] == "namespaces")["data"]["steps"]
    ours, theirs = (
        dict(line.rstrip("]").split(":[") for line in step["stdout"].split()) for step in namespaces
    )
    answers = [
        sorted(kind for kind in ours if ours[kind] == theirs[kind]), 1.6,
        {"exit_code": 137, "oom_killed": True}, ["net", "pid"],
    ]  # fmt: skip
    return {
        "schema": "gpubook.results/1", "notebook": PAGE, "run_id": "r", "started": 0.0,
        "finished": 1.0, "cells": [], "parameters": {}, "require": [], "inputs": {},
        "executed_sha256": "0" * 64,
        "evidences": [{"mode": "live", "why": None, "record": record} for record in records],
        "solutions": [
            {"exercise": n, "of": [], "answer": answer} for n, answer in enumerate(answers, 1)
        ],
    }  # fmt: skip


def hand_in(folder, result):
    (folder / "results").mkdir(parents=True)
    (folder / "results" / f"{PAGE}.json").write_text(json.dumps(result))


def grade(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "grade.py", *map(str, arguments)], cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_three_of_ten_are_wrong_in_different_ways(tmp_path):
    wrong, edited, blank = right(), right(), right()
    wrong["solutions"][1]["answer"] = 0.4  # half of the time instead of twice
    limits = next(e["record"] for e in edited["evidences"] if e["record"]["name"] == "limits")
    limits["data"]["steps"][0]["stdout"] = "made up"
    blank["solutions"][2]["answer"] = None
    results = dict.fromkeys(NAMES, right()) | {"alan": wrong, "grace": edited, "radia": blank}
    for name, result in results.items():
        hand_in(tmp_path / "class" / name, result)
    done = grade(tmp_path / "class", PAGE, "--junit", tmp_path / "report.xml")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    rows = {line.split()[0]: line.split()[1:] for line in lines[:11]}
    assert rows.pop("learner") == ["03", "all"]
    assert {name: row for name, row in rows.items() if row != ["4/4", "4/4"]} == {
        "alan": ["3/4", "3/4"], "grace": ["-", "0/0"], "radia": ["3/4", "3/4"],
    }  # fmt: skip
    assert len(rows) == len(NAMES)
    alan, grace, radia = lines[11:]
    assert alan.startswith(f"alan  {PAGE}  exercise 2: not so: the limits in the container")
    assert "assert 0.4 == 1.6" in alan
    assert grace.startswith(f"grace  {PAGE}  ") and "limits" in grace
    assert radia == f"radia  {PAGE}  exercise 3: no answer"
    report = (tmp_path / "report.xml").read_text()
    assert 'failures="2"' in report, "alan's and radia's"


def test_a_class_that_is_right_ends_well(tmp_path):
    hand_in(tmp_path / "class" / "ada", right())
    done = grade(tmp_path / "class", PAGE)
    assert (done.returncode, done.stdout) == (0, "learner  03   all\nada      4/4  4/4\n")


@pytest.mark.parametrize("exercise", [1, 2, 3, 4])
def test_each_exercise_of_the_page_is_judged(tmp_path, exercise):
    result = right()
    result["solutions"][exercise - 1]["answer"] = "I do not know"
    hand_in(tmp_path / "class" / "ada", result)
    done = grade(tmp_path / "class", PAGE)
    assert done.returncode == 1
    assert f"ada  {PAGE}  exercise {exercise}: not so: " in done.stdout
    assert "3/4" in done.stdout


def test_an_answer_that_came_out_of_a_recording_is_nobodys(tmp_path):
    result = right()
    for item in result["evidences"]:
        if item["record"]["name"] == "exercise-3":
            item |= {"mode": "recorded", "why": "no engine"}
    hand_in(tmp_path / "class" / "ada", result)
    done = grade(tmp_path / "class", PAGE)
    assert (done.returncode, done.stdout.splitlines()[1:]) == (
        0, ["ada      3/3  3/3", "not judged, for a recording took its place: exercises 03-3"],
    )  # fmt: skip


def test_who_handed_in_nothing_is_a_row_and_a_line(tmp_path):
    (tmp_path / "class" / "ada").mkdir(parents=True)
    done = grade(tmp_path / "class", PAGE)
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split() == ["ada", "-", "0/0"]
    assert done.stdout.splitlines()[2].startswith(f"ada  {PAGE}  ")


@pytest.mark.parametrize("folder", ["missing", "empty"])
def test_a_class_without_learners_is_one_line(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    done = grade(tmp_path / folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("grade: ") and done.stderr.count("\n") == 1


def test_the_learners_edition_has_no_solution_and_all_else(tmp_path):
    assert grade("--edition", tmp_path / "notebooks").returncode == 0
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        book = json.loads(path.read_text())["cells"]
        own = json.loads((tmp_path / "notebooks" / path.name).read_text())["cells"]
        assert [cell["id"] for cell in own] == [cell["id"] for cell in book]
        different = [o for o, b in zip(own, book, strict=True) if o != b]
        assert {cell["id"].partition("-")[0] for cell in different} == {"solution"}
        for cell in different:
            assert cell["source"][0].startswith("%%solution") and len(cell["source"]) == 2
    assert grade("--edition", tmp_path / "notebooks").returncode == 2, "nothing is written over"
