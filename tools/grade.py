"""Grade a class: each answer is judged by the tests that judge the book's own solutions.

    python tools/grade.py CLASS                     # a board, then one line a fault
    python tools/grade.py CLASS 03-what-a-container-is-made-of --junit report.xml
    python tools/grade.py CLASS --image gpu-plus-container -j 4    # run their notebooks before
    python tools/grade.py FOLDER --edition          # the notebooks without solutions, for learners

CLASS has a folder for each learner, with the learner's ``notebooks``. ``--image`` runs them, each
learner's in a container with limits and no network, and leaves the results beside them; without
it the results are there already. An answer is the last line of a ``%%solution`` cell. The tests
work it out again from the evidence of the same run, so a figure that another machine measured is
no fault. Exit 0: all is right, 1: there are faults.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gpubook.book.results import load_result
from gpubook.errors import BookError, UsageError, exit_code

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
LIMITS = [
    "--network=none", "--read-only", "--tmpfs=/tmp:exec,size=1g", "--cap-drop=ALL",
    "--security-opt=no-new-privileges", "--memory=6g", "--memory-swap=6g", "--cpus=2",
    "--pids-limit=2048", "--shm-size=1g", "--log-driver=none",
]  # fmt: skip
"""What a learner's notebooks get, and no more; a seat has the same."""
# The book is the image's own: nothing of a learner's but the notebooks is run or read.
RUN = "cp -r /book /tmp && cp /notebooks/*.ipynb /tmp/book/notebooks && cd /tmp/book && \
rm -rf _build && ln -s /out _build && GPUBOOK_ROOT=/tmp/book exec gpubook run --force"
BLANK = "None  # your code instead; its last line is your answer"


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

    folder: Path

    def __call__(self, page: str) -> object:
        from tests.conftest import Results

        return Results(load_result(self.folder, page))


@dataclass
class Grades:
    """What the tests said, and the hooks by which pytest is told what to judge."""

    class_folder: Path
    pages: Sequence[str]
    judged: dict[tuple[str, str], dict[int, bool]] = field(default_factory=dict)
    replayed: set[tuple[str, int]] = field(default_factory=set)
    faults: set[Fault] = field(default_factory=set)

    def learners(self) -> list[str]:
        """The folders of the class."""
        return sorted(path.name for path in self.class_folder.iterdir() if path.is_dir())

    def load(self) -> None:
        """Read every result. A missing or an edited one is a fault and is not judged."""
        for learner in self.learners():
            for page in self.pages:
                try:
                    result = load_result(self.class_folder / learner, page)
                except BookError as error:
                    why = str(error).replace(f"{self.class_folder}/", "")
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
        folders = [self.class_folder / learner for learner in have]
        values = [(folder, OwnResults(folder)) for folder in folders]
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
        known = self.judged.get((own.folder.name, page), {})
        return {exercise: right for exercise, right in known.items() if exercise in exercises}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo) -> Iterator:
        """Note an answer as wrong whose test fails."""
        report = yield
        if report.failed:
            page, _ = subject(item)
            learner = item.callspec.params["results"].folder.name
            claim = item.function.__name__.removeprefix("test_").replace("_", " ")
            said = (str(call.excinfo.value) or call.excinfo.typename).splitlines()[0][:160]
            for exercise, right in self._answers(item).items():
                if right:
                    self.faults.add(Fault(learner, page, exercise, f"not so: {claim} ({said})"))
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
    given = item.callspec.params
    if "exercise" in given:
        return given["name"], {given["exercise"]}
    module = item.module.__name__.rpartition(".")[2]
    name = item.function.__name__
    number = re.match(r"test_(\d\d)_", f"{name}_") or re.match(r"test_(\d\d)_", module)
    page = next((page for page in PAGES if number and page.startswith(number[1])), "")
    return page, judges(item.function)


def run(folder: Path, image: str, pages: Sequence[str]) -> None:
    """Execute a learner's notebooks in a container. What fails has no result, which is a fault."""
    for name in ("results", "executed", "artifacts", "failed"):
        if (folder / name).exists():
            raise UsageError(f"{folder / name} is there already: grade without --image, or move it")
    mounts = [f"--volume={folder.resolve()}/notebooks:/notebooks:ro"]
    mounts += [f"--volume={folder.resolve()}:/out"]
    user = f"--user={os.getuid()}:{os.getgid()}"
    command = ["docker", "run", "--rm", *LIMITS, user, *mounts, image]
    done = subprocess.run(
        [*command, "sh", "-c", f"{RUN} {' '.join(pages)}"], capture_output=True, text=True,
        errors="replace", check=False,
    )  # fmt: skip
    if done.returncode in (125, 126, 127):  # docker's own: no container ran
        raise BookError(done.stderr.strip().splitlines()[-1])


def run_all(class_folder: Path, image: str, pages: Sequence[str], jobs: int) -> None:
    """Execute the notebooks of all learners, ``jobs`` at once."""
    folders = [path.parent for path in sorted(class_folder.glob("*/notebooks"))]
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda folder: run(folder, image, pages), folders))


def grade(class_folder: Path, pages: Sequence[str], junit: Path | None = None) -> Grades:
    """Judge every answer of a class. BookError when there is nobody in it."""
    if not class_folder.is_dir():
        raise UsageError(f"{class_folder}: there is no such folder")
    grades = Grades(class_folder, pages)
    if not grades.learners():
        raise UsageError(f"{class_folder}: no learner's folder is in there")
    grades.load()
    quiet = ["-o", "addopts=", "-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist"]
    report = [f"--junitxml={junit}"] if junit else []
    names = ["exercises", *(page.replace("-", "_") for page in pages)]
    files = [str(ROOT / "tests" / "notebooks" / f"test_{name}.py") for name in names]
    os.environ.pop("PYTEST_ADDOPTS", None)  # somebody's own way of running tests
    ended = pytest.main([*quiet, *report, f"--rootdir={ROOT}", *files], [grades])
    if ended not in (0, 1, 5):  # all passed, some failed, there was nothing to judge
        raise BookError(f"the tests could not judge: pytest ended with {ended!r}")
    return grades


def board(grades: Grades) -> str:
    """A row for each learner, a column for each page: answers that are right, of how many."""
    head = ["learner", *(page[:2] for page in grades.pages), "all"]
    rows = [head]
    for learner in grades.learners():
        of_page = [grades.judged.get((learner, page)) for page in grades.pages]
        marks = [f"{sum(one.values())}/{len(one)}" if one is not None else "-" for one in of_page]
        given = [mark for one in of_page if one for mark in one.values()]
        rows.append([learner, *marks, f"{sum(given)}/{len(given)}"])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def edition(folder: Path) -> None:
    """Write the notebooks with each solution left for the learner. UsageError where some are."""
    if folder.exists():
        raise UsageError(f"{folder} is there already: name a new folder")
    folder.mkdir(parents=True)
    for page in PAGES:
        notebook = json.loads((ROOT / "notebooks" / f"{page}.ipynb").read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            magic, _, _ = "".join(cell["source"]).partition("\n")
            if magic.startswith("%%solution"):
                cell["source"] = [f"{magic}\n", BLANK]
                cell["metadata"] = {}
        text = json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{page}.ipynb").write_text(text, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    """Grade as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="the class, or where the edition goes")
    parser.add_argument("page", nargs="*", choices=[[], *PAGES], help="(all pages)")
    parser.add_argument("--junit", type=Path, metavar="FILE", help="pytest's report, a case a test")
    parser.add_argument("--image", help="the book's image, to run the learners' notebooks with")
    parser.add_argument("-j", dest="jobs", type=int, default=2, help="learners at once (2)")
    parser.add_argument("--edition", action="store_true", help="write notebooks without solutions")
    args = parser.parse_args(argv)
    if args.edition:
        edition(args.folder)
        return 0
    pages = args.page or PAGES
    if args.image:
        run_all(args.folder, args.image, pages, args.jobs)
    grades = grade(args.folder, pages, args.junit)
    print(board(grades))
    for fault in sorted(grades.faults):
        print(fault)
    if grades.replayed:
        which = ", ".join(f"{page[:2]}-{exercise}" for page, exercise in sorted(grades.replayed))
        print(f"not judged, for a recording took its place: exercises {which}")
    return 1 if grades.faults else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(exit_code("grade", main))
