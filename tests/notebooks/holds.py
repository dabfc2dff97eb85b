"""What a page's own file says of its answers, worked out from its results."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from gpubook.evidence import checks
from gpubook.evidence.magics import variable


_HELPERS = {"approx": pytest.approx, "median": statistics.median}


def wrong_answers(root: Path, result: dict, exercises: set[int]) -> dict[int, str]:
    """Which of these answers are not what ``holds`` says of them, each with a reason."""
    named = {e["record"]["name"]: e["record"]["data"] for e in result["evidences"]}
    known = {variable(name): data for name, data in named.items()} | _HELPERS
    answers = {item["exercise"]: item["answer"] for item in result["solutions"]}
    wrong = {}
    for exercise, claim in checks.load(checks.path_of(root, result["notebook"])).holds.items():
        if exercise not in exercises:
            continue
        answer = answers[exercise]
        try:
            right = eval(f"({claim.strip()}\n)", known | {"answer": answer})  # noqa: S307
        except Exception as error:  # an answer of any kind, in an expression about the right kind
            right = False
            claim = f"{claim.strip()} ({type(error).__name__}: {error})"
        if not right:
            wrong[exercise] = f"{' '.join(claim.split())}, and it is {answer}"
    return wrong


def assert_solutions_hold(root: Path, result: dict) -> list[int]:
    """Each ``holds`` of a page is true of its answer and its evidences; their exercises."""
    exercises = set(checks.load(checks.path_of(root, result["notebook"])).holds)
    assert exercises <= {item["exercise"] for item in result["solutions"]}
    assert wrong_answers(root, result, exercises) == {}
    return sorted(exercises)
