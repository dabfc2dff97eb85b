"""What a page's own file says of its answers, worked out from its results."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from gpubook.evidence import checks
from gpubook.evidence.magics import variable


_HELPERS = {"approx": pytest.approx, "median": statistics.median}


def assert_solutions_hold(root: Path, result: dict) -> list[int]:
    """Each ``holds`` of a page is true of its answer and its evidences; their exercises."""
    named = {e["record"]["name"]: e["record"]["data"] for e in result["evidences"]}
    evidences = {variable(name): data for name, data in named.items()}
    answers = {item["exercise"]: item["answer"] for item in result["solutions"]}
    holds = checks.load(checks.path_of(root, result["notebook"])).holds
    for exercise, claim in holds.items():
        known = evidences | {"answer": answers[exercise]} | _HELPERS
        assert eval(f"({claim.strip()}\n)", known), (  # noqa: S307
            f"exercise {exercise}: {claim}, and it is {answers[exercise]}"
        )
    return sorted(holds)
