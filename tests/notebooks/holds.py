"""What a page's own file says of its answers, worked out from its results."""

import statistics
from pathlib import Path

import pytest

from gpubook.evidence import checks
from gpubook.evidence.magics import variable

_HELPERS = {"approx": pytest.approx, "median": statistics.median}


def claims(root: Path, page: str) -> dict[int, str]:
    """What ``holds`` of the page's exercises, an expression for each that has one."""
    return checks.load(checks.path_of(root, page)).holds


def assert_answer_holds(root: Path, result: dict, exercise: int) -> None:
    """AssertionError with the page's claim and the answer when the claim is not true of it."""
    known = {variable(e["record"]["name"]): e["record"]["data"] for e in result["evidences"]}
    answer = {item["exercise"]: item["answer"] for item in result["solutions"]}[exercise]
    claim = " ".join(claims(root, result["notebook"])[exercise].split())
    try:
        right = eval(claim, known | _HELPERS | {"answer": answer})
    except Exception as error:  # noqa: BLE001 - an answer of any kind, in an expression about the right kind
        right, claim = False, f"{claim} ({type(error).__name__}: {error})"
    if not right:
        raise AssertionError(f"exercise {exercise}: {claim}, and it is {answer}")
