"""The lesson is on the page: plain shell, docker and torch, that run without the book's library."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpubook import engine, machine
from gpubook.spam import assets
from tests import lesson
from tests.conftest import NOTEBOOKS, ROOT

DEMO = engine.DEMO_IMAGES

SMALL: dict[str, dict] = {
    "08-matmul": {"N": 256, "SECONDS": 0.02},
    "09-roofline": {"N": 256, "SECONDS": 0.02},
    "11-fine-tune-bert": {"EPOCHS": 1},
    "12-what-makes-it-fast": {"STEPS": 1, "ROUNDS": 1},
}
"""Parameters that keep the second run of a page short."""

FEW = 48  # messages of each part


def image_of(name):
    """The image that the page's setup cell would choose."""
    return engine.image_here("", engine.PYTHON_IMAGES if "your-first-image" in name else DEMO)


def environment(name, image, executed, folder):
    """What setup cells leave to the cells that teach; what these write goes into ``folder``.

    Pages after the tenth read three parts of a few messages each.
    """
    made = executed / "artifacts"
    trained = made / "11-fine-tune-bert" / "bert_spam_classifier"
    if name[:2] in ("11", "12", "13"):
        few = json.loads((made / "10-spam-data" / "split.json").read_text(encoding="utf-8"))
        few = {part: {key: few[part][key][:FEW] for key in few[part]} for part in few}
        (folder / "split.json").write_text(json.dumps(few), encoding="utf-8")
        shutil.copy(made / "10-spam-data" / "baseline.json", folder)
    return os.environ | {
        "MPLBACKEND": "agg",
        "IMAGE": image,
        "PACKAGES": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "SMS_SPAM": str(assets.dataset_path()),
        "BERT": str(assets.model_path()),
        "SCRIPT": str(ROOT / "examples" / "slurm" / "spam-classify.sbatch"),
        "SPAM_DATA": str(folder),
        "FOLDER": str(trained if name.startswith("13") else folder / "model"),
    }


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
            assert not re.search(r"\bprint\(", cell.body), cell.id


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_cells_that_teach_run_without_the_library(name, results, executed, tmp_path):
    here = machine.probe()
    page = results(name)
    given = {
        cell.name
        for cell in cells(name)
        if cell.magic in ("terminal", "measure")
        # The cluster's story takes minutes; its commands are the page's own, run once already.
        and (here.missing(cell.needs) or not cell.teaches or "slurm" in cell.needs)
    }
    data = {item["record"]["name"]: item["record"]["data"] for item in page.result["evidences"]}
    evidences = {name: data[name] for name in given}
    engine.remove(f"gpubook-{name[:2]}")  # as a page's setup cell does
    values = tmp_path / "values.json"
    image = image_of(name)
    parameters = SMALL.get(name, {}) | {"IMAGE": image}
    values.write_text(json.dumps({"evidences": evidences, "parameters": parameters}))
    # -P: beside the script lies tests/docker, which is not the SDK.
    script = [sys.executable, "-P", str(ROOT / "tests" / "lesson.py")]
    done = subprocess.run(
        [*script, str(ROOT / "notebooks" / f"{name}.ipynb"), str(values)],
        cwd=tmp_path,
        env=environment(name, image, executed, tmp_path),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
