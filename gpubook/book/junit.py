"""A JUnit report of a run, for CI systems."""

from __future__ import annotations

from pathlib import Path

from gpubook.book.results import Outcome
from gpubook.errors import UsageError


def write(path: Path, outcomes: list[Outcome]) -> None:
    """Write one test case for each notebook to ``path``."""
    from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite

    suite = TestSuite("notebooks")
    for outcome in outcomes:
        case = TestCase(outcome.notebook, "gpubook.run", outcome.seconds)
        if outcome.status == "failed":
            case.result = [Failure(outcome.reason, "failed")]
        elif outcome.status == "not run":
            case.result = [Skipped(outcome.reason)]
        else:
            case.system_out = outcome.line()
        suite.add_testcase(case)
    report = JUnitXml()
    report.add_testsuite(suite)
    report.write(str(path), pretty=True)


def check_place(path: Path) -> None:
    """Raise UsageError where no report can be written, before the minutes that a run takes."""
    if not path.parent.is_dir():
        raise UsageError(f"--junit {path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise UsageError(f"--junit {path}: that is a folder; give a file's name")
