"""Three learners at once, one of whom means harm: nobody is refused, nobody's work is lost."""

from __future__ import annotations

import pytest

from tests.docker.rehearsal import rehearse

pytestmark = pytest.mark.docker


def test_a_class_goes_on_beside_somebody_who_means_harm(engine, image, tmp_path):
    figures = rehearse(engine, image, 3, tmp_path)
    assert {"log in", "work beside harm", "seat after a break", "seat after harm"} <= set(figures)
    print(figures)
