"""`gpubook check`: a learner hears at once whether an answer is right, and not what is right."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest

from gpubook import machine
from gpubook.evidence.ledger import Ledger, session
from tests.conftest import ROOT
from tests.unit.test_grade import PAGE, right


@pytest.fixture
def book(tmp_path):
    """A learner's book with what the image has of the tests."""
    for name in ("_toc.yml", "book", "notebooks"):
        (tmp_path / name).symlink_to(ROOT / name)
    notebooks = shutil.copytree(ROOT / "tests" / "notebooks", tmp_path / "tests" / "notebooks")
    for path in (ROOT / "tests").glob("*.py"):
        shutil.copy(path, notebooks.parent)
    (tmp_path / "recordings").symlink_to(ROOT / "recordings")
    return tmp_path


def answer(book, change=lambda result: None, page=PAGE):
    """What an open notebook keeps, of somebody who has all four right but for ``change``."""
    result = right()
    change(result)
    kept = {name: result[name] for name in ("notebook", "evidences", "solutions")}
    place = session(book, page)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(kept))


def check(book, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "gpubook.cli", "check", *arguments], cwd=book,
        env=os.environ | {"GPUBOOK_ROOT": str(book)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_who_is_right_hears_it(book):
    answer(book)
    done = check(book)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "".join(f"{PAGE}  exercise {n}: right\n" for n in (1, 2, 3, 4))


def test_a_wrong_answer_is_told_from_an_empty_one_and_neither_line_gives_it_away(book):
    def change(result):
        result["solutions"][1]["answer"] = 0.4
        result["solutions"][2]["answer"] = None
        for item in result["evidences"]:
            if item["record"]["name"] == "exercise-4":
                item |= {"mode": "recorded", "why": "no engine"}

    answer(book, change)
    done = check(book, f"notebooks/{PAGE}.ipynb")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"{PAGE}  exercise 1: right",
        f"{PAGE}  exercise 2: not so",
        f"{PAGE}  exercise 3: no answer yet",
        f"{PAGE}  exercise 4: not judged, for a recording took its place",
    ]


def test_evidence_that_was_edited_judges_nothing(book):
    def change(result):
        result["evidences"][0]["record"]["data"] = "made up"

    answer(book, change)
    done = check(book)
    assert done.returncode == 1
    (line,) = done.stdout.splitlines()
    assert "checksum" in line


def test_what_cannot_be_judged_is_one_line(book):
    assert check(book).stderr == (
        "gpubook: no answer yet: run the cells of a notebook, its solutions too\n"
    )
    unknown = check(book, "99-nothing")
    assert (unknown.returncode, unknown.stderr.count("\n")) == (2, 1)
    session(book, PAGE).parent.mkdir(parents=True)
    for text in ("{", "[]", '{"notebook": 1, "evidences": [], "solutions": [{}]}'):
        session(book, PAGE).write_text(text)
        done = check(book)
        assert (done.returncode, done.stdout.count("\n"), done.stderr) == (1, 1, "")
    shutil.rmtree(book / "tests")
    done = check(book)
    assert done.returncode == 1
    assert done.stderr.startswith("gpubook: the tests that judge answers are not here: ")


def test_an_open_notebook_keeps_its_answers_and_what_they_rest_on(tmp_path):
    ledger = Ledger(PAGE, tmp_path, machine.required(""))
    ledger.measure("limits", lambda: 1)
    assert not session(tmp_path, PAGE).exists(), "nothing is answered"
    ledger.answer(2, 1.6, ["limits"])
    kept = json.loads(session(tmp_path, PAGE).read_text())
    assert [item["record"]["name"] for item in kept["evidences"]] == ["limits"]
    assert kept["solutions"] == [{"exercise": 2, "of": ["limits"], "answer": 1.6}]


def test_the_tests_that_judge_need_no_test_that_the_image_lacks():
    shipped = [*(ROOT / "tests" / "notebooks").glob("*.py"), *(ROOT / "tests").glob("*.py")]
    texts = {path.name: path.read_text(encoding="utf-8") for path in shipped}
    used = {
        name: re.findall(r"^(?:from|import) tests\.(\w+)", text, re.M)
        for name, text in texts.items()
    }
    there = {"notebooks", *(path.stem for path in (ROOT / "tests").glob("*.py"))}
    own = {"faults.py", "fuzz.py"}  # programs, which no test imports
    assert {name: m for name, m in used.items() if name not in own and not {*m} <= there} == {}
