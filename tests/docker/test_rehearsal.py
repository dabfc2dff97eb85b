"""Three learners at once, one of whom means harm: nobody is refused, nobody's work is lost."""

from __future__ import annotations

import pytest

from tests.docker.rehearsal import HARMS, rehearse

pytestmark = pytest.mark.docker


def test_a_class_goes_on_beside_somebody_who_means_harm(engine, image, tmp_path):
    account = rehearse(engine, image, 3, tmp_path)
    assert account.failures == []
    counts = {what: len(values) for what, values in account.taken.items()}
    assert counts == {
        "log_in_s": 3, "seat_s": 3, "work_s": 3, "memory_bytes": 3, "work_beside_harm_s": 2,
        "seat_after_break_s": 2, "seat_after_harm_s": len(HARMS),
    }  # fmt: skip
    print(account.figures())
