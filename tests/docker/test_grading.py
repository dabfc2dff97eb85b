"""Three learners' notebooks, run in containers with limits and graded."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.docker.conftest import ROOT

pytestmark = pytest.mark.docker
PAGE = "03-what-a-container-is-made-of"
ANSWERS = {"ada": "0.8 * 100_000 / 50_000", "bob": "0.8 * 50_000 / 100_000", "carol": ""}
# Carol's cell looks for a way out; only if there is one does she have an answer.
ESCAPE = """
import errno, socket, pathlib
try:
    socket.create_connection(("192.0.2.1", 80), timeout=5)
except OSError as error:
    assert error.errno == errno.ENETUNREACH, error
else:
    raise AssertionError("there is a network")
try:
    pathlib.Path("/notebooks/planted").write_text("x")
except OSError as error:
    assert error.errno == errno.EROFS, error
else:
    raise AssertionError("others' notebooks can be written")
1.6
"""


def hand_in(folder, answer):
    """A learner's notebooks: the learners' edition, with one answer."""
    path = folder / "notebooks" / f"{PAGE}.ipynb"
    notebook = json.loads(path.read_text())
    (cell,) = (cell for cell in notebook["cells"] if cell["id"] == "solution-2")
    cell["source"] = [cell["source"][0], answer]
    path.write_text(json.dumps(notebook))


def grade(*arguments):
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "grade.py", *map(str, arguments)], cwd=ROOT,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_answers_are_judged_where_they_were_computed(engine, image, tmp_path):
    for name, answer in ANSWERS.items():
        assert grade(tmp_path / name / "notebooks", "--edition").returncode == 0
        hand_in(tmp_path / name, answer or ESCAPE)
    done = grade(tmp_path, PAGE, "--image", image, "-j", "3")
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:4]] == [
        ["ada", "1/2"], ["bob", "0/2"], ["carol", "1/2"],
    ], done.stdout + done.stderr  # fmt: skip
    (fault,) = (line for line in lines if "exercise 2" in line)
    assert fault.startswith(f"bob  {PAGE}  exercise 2: not so: ") and "0.4" in fault
    assert sum(line.endswith("exercise 1: no answer") for line in lines) == 3
    assert lines[-1].endswith("exercises 03-3, 03-4"), "no engine in there, so no answer of theirs"
    results = tmp_path / "ada" / "results" / f"{PAGE}.json"
    assert results.stat().st_uid == os.getuid()


def test_an_image_that_is_not_there_is_one_line(engine, tmp_path):
    (tmp_path / "ada" / "notebooks").mkdir(parents=True)
    done = grade(tmp_path, PAGE, "--image", "gpubook-no-such-image")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("grade: ") and done.stderr.count("\n") == 1
