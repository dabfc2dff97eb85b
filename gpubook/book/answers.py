"""Answers to exercises, judged by the tests that judge the book's own solutions.

An answer is the last line of a ``%%solution`` cell. The tests work it out again from the evidence
of the same run, so a figure that another machine measured is no fault. They lie in the book's
folder, ``tests/notebooks``, also in the image.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpubook.book.results import load_result, load_session
from gpubook.errors import BookError
from gpubook.evidence import board
from gpubook.evidence.ledger import session

Load = Callable[[Path, str], dict]
"""From a folder of results and a page's name to the page's result."""


@dataclass(frozen=True, order=True)
class Fault:
    """Why a page, or an exercise of it, is not right."""

    learner: str
    page: str
    exercise: int  # 0: the whole page
    why: str

    def __str__(self) -> str:
        where = f"exercise {self.exercise}: " if self.exercise else ""
        return f"{self.learner}  {self.page}  {where}{self.why}"


@dataclass(frozen=True)
class OwnResults:
    """What the fixture ``results`` is, for a learner's folder in place of the book's own."""

    learner: str
    folder: Path
    load: Load

    def __call__(self, page: str) -> object:
        from tests.conftest import Results

        return Results(self.load(self.folder, page))


@dataclass
class Grades:
    """What the tests said, and the hooks by which pytest is told what to judge.

    ``folders`` has each learner's folder of results.
    """

    folders: Mapping[str, Path]
    pages: Sequence[str]
    load_page: Load = load_result
    judged: dict[tuple[str, str], dict[int, bool]] = field(default_factory=dict)
    replayed: set[tuple[str, int]] = field(default_factory=set)
    faults: set[Fault] = field(default_factory=set)

    def load(self) -> None:
        """Read every result. A missing or an edited one is a fault and is not judged."""
        for learner, folder in self.folders.items():
            for page in self.pages:
                try:
                    result = self.load_page(folder, page)
                except BookError as error:
                    why = str(error).replace(f"{folder.parent}/", "")
                    self.faults.add(Fault(learner, page, 0, why))
                    continue
                answers = given(result)
                all_of_them = {item["exercise"] for item in result.get("solutions", [])}
                self.replayed |= {(page, exercise) for exercise in all_of_them - answers.keys()}
                self.judged[learner, page] = {n: a is not None for n, a in answers.items()}
                for exercise in (n for n, answer in answers.items() if answer is None):
                    self.faults.add(Fault(learner, page, exercise, "no answer"))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """A test that judges an exercise runs once for each learner with results of its page."""
        if "results" not in metafunc.fixturenames or not judges(metafunc.function):
            return
        have = sorted({learner for learner, _ in self.judged})
        values = [
            (folder, OwnResults(learner, folder, self.load_page))
            for learner in have
            if (folder := self.folders[learner])
        ]
        metafunc.parametrize(("executed", "results"), values, ids=have, scope="session")

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only what was generated above, and of it what a learner answered in person."""
        items[:] = [item for item in items if self._answers(item)]

    def _answers(self, item: pytest.Item) -> dict[int, bool]:
        """What is known so far of the learner's answers that this test judges."""
        own = getattr(getattr(item, "callspec", None), "params", {}).get("results")
        if not isinstance(own, OwnResults):
            return {}
        page, exercises = subject(item)
        known = self.judged.get((own.learner, page), {})
        return {exercise: right for exercise, right in known.items() if exercise in exercises}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator:
        """Note an answer as wrong whose test fails."""
        report = yield
        if report.failed:
            page, _ = subject(item)
            learner = item.callspec.params["results"].learner
            why = str(call.excinfo.value)
            if not call.excinfo.errisinstance(BookError):
                claim = item.function.__name__.removeprefix("test_").replace("_", " ")
                said = (why or call.excinfo.typename).splitlines()[0][:160]
                why = f"not so: {claim} ({said})"
            for exercise, right in self._answers(item).items():
                if right:
                    self.faults.add(Fault(learner, page, exercise, why))
                self.judged[learner, page][exercise] = False
        return report


def given(result: dict) -> dict[int, object]:
    """The answers that a learner's cells gave. A replayed exercise is somebody else's answer."""
    replays = {e["record"]["name"] for e in result["evidences"] if e["mode"] == "recorded"}
    return {
        item["exercise"]: item["answer"]
        for item in result.get("solutions", [])
        if f"exercise-{item['exercise']}" not in replays
    }


def judges(function: Callable) -> set[int]:
    """The exercises whose answers a test takes, by number; 0 for one that is a parameter of it."""
    if "exercise" in inspect.signature(function).parameters:
        return {0}
    return {int(n) for n in re.findall(r"\.solution\((\d)\)", inspect.getsource(function))}


def subject(item: pytest.Item) -> tuple[str, set[int]]:
    """The page and the exercises that a generated test judges."""
    from tests.conftest import NOTEBOOKS

    given = item.callspec.params
    if "exercise" in given:
        return given["name"], {given["exercise"]}
    module = item.module.__name__.rpartition(".")[2]
    name = item.function.__name__
    number = re.match(r"test_(\d\d)_", f"{name}_") or re.match(r"test_(\d\d)_", module)
    page = next((page for page in NOTEBOOKS if number and page.startswith(number[1])), "")
    return page, judges(item.function)


def judge(root: Path, grades: Grades, junit: Path | None = None) -> Grades:
    """Have every answer judged. BookError when the tests are not here or can't."""
    tests = root / "tests" / "notebooks"
    if not (tests / "test_exercises.py").is_file():
        raise BookError(f"the tests that judge answers are not here: {tests}")
    grades.load()
    quiet = ["-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist"]
    report = [f"--junitxml={junit}"] if junit else []
    own = [tests / f"test_{page.replace('-', '_')}.py" for page in grades.pages]
    files = [str(tests / "test_exercises.py"), *(str(path) for path in own if path.is_file())]
    os.environ.pop("PYTEST_ADDOPTS", None)  # somebody's own way of running tests
    ended = pytest.main([*quiet, *report, f"--rootdir={root}", *files], [grades])
    if ended not in (0, 1, 5):  # all passed, some failed, there was nothing to judge
        raise BookError(f"the tests could not judge: pytest ended with {ended!r}")
    return grades


YOU = "you"


def answered(root: Path, page: str) -> bool:
    """Whether a notebook was opened and an exercise of it answered."""
    return session(root, page).is_file()


def check(root: Path, pages: Sequence[str]) -> Grades:
    """A learner's own answers: those of the open notebooks, else of the last ``gpubook run``.

    In a class, the teacher's board hears of it.
    """
    grades = judge(root, Grades({YOU: root / "_build"}, pages, load_session))
    for (_, page), checks in grades.judged.items():
        board.report(page, checks)
    return grades


def lines(grades: Grades) -> Iterator[str]:
    """A line for each exercise of a check. It does not say what is right, only whether it is."""
    blank = {(f.page, f.exercise) for f in grades.faults if f.why == "no answer"}
    yield from (f"{f.page}  {f.why}" for f in sorted(grades.faults) if not f.exercise)
    for page in grades.pages:
        for exercise, right in sorted(grades.judged.get((YOU, page), {}).items()):
            word = "right" if right else "no answer yet" if (page, exercise) in blank else "not so"
            yield f"{page}  exercise {exercise}: {word}"
        for exercise in sorted(n for name, n in grades.replayed if name == page):
            yield f"{page}  exercise {exercise}: not judged, for a recording took its place"
