"""The lesson is on the page: plain shell, docker and torch, that run without the book's library."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gpubook import engine, machine
from tests import lesson
from tests.conftest import NOTEBOOKS, ROOT

SMALL: dict[str, dict] = {
    "08-matmul": {"N": 256, "SECONDS": 0.02},
    "09-roofline": {"N": 256, "SECONDS": 0.02},
}
"""Parameters that keep the second run of a page short."""


def cells(name):
    return lesson.cells_of(ROOT / "notebooks" / f"{name}.ipynb")


def test_at_least_half_of_the_taught_lines_are_plain(capsys):
    counted = {name: lesson.plain_lines(cells(name)) for name in NOTEBOOKS}
    with capsys.disabled():
        print()
        for name, (plain, total) in counted.items():
            print(f"{name}: {plain} of {total} taught lines call nothing of the library")
    plain, total = (sum(column) for column in zip(*counted.values(), strict=True))
    assert plain / total >= 0.5, f"{plain} of {total}"


def test_at_most_a_third_of_the_code_cells_call_the_library(capsys):
    counted = {name: (lesson.library_cells(cells(name)), len(cells(name))) for name in NOTEBOOKS}
    calls, total = (sum(column) for column in zip(*counted.values(), strict=True))
    with capsys.disabled():
        print(f"\n{calls} of {total} code cells call the library")
    assert calls / total <= 1 / 3, counted


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_measured_body_prints_nothing_since_a_replay_would_lose_it(name):
    for cell in cells(name):
        if cell.magic in ("measure", "solution"):
            assert "print(" not in cell.body, cell.id


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cells_that_teach_run_without_the_library(name, results, tmp_path):
    here = machine.probe()
    page = results(name)
    given = {
        cell.name
        for cell in cells(name)
        if cell.magic in ("terminal", "measure")
        and (here.missing(cell.needs) or not cell.teaches)
    }
    data = {item["record"]["name"]: item["record"]["data"] for item in page.result["evidences"]}
    evidences = {name: data[name] for name in given}
    values = tmp_path / "values.json"
    image = engine.image_here()
    parameters = {"IMAGE": image} | SMALL.get(name, {})
    values.write_text(json.dumps({"evidences": evidences, "parameters": parameters}))
    script = [sys.executable, str(ROOT / "tests" / "lesson.py")]
    done = subprocess.run(
        [*script, str(ROOT / "notebooks" / f"{name}.ipynb"), str(values)],
        cwd=tmp_path,
        env=os.environ | {"MPLBACKEND": "agg", "IMAGE": image},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
