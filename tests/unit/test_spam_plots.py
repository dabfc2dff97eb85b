"""The pages' figures show every value they are given."""

import pytest

from gpubook.evidence import load_recording
from gpubook.spam import plots
from tests.conftest import ROOT

LADDER = ROOT / "recordings/h100/12-what-makes-it-fast/ladder.json"


def test_a_ladder_has_a_bar_for_each_rung_the_first_on_top():
    rows = load_recording(LADDER)["data"]
    (axes,) = plots.rungs(rows).axes
    assert [bar.get_width() for bar in axes.patches] == [r["messages_per_second"] for r in rows]
    assert axes.yaxis_inverted()
    one_round = [{"name": "a", "messages_per_second": 2.0}]
    assert not plots.rungs(one_round).axes[0].lines, "one round has no spread"


def test_the_spread_of_a_rung_spans_its_rounds():
    rows = [{"name": "a", "messages_per_second": 2.0, "lowest": 1.0, "highest": 4.0}]
    (axes,) = plots.rungs(rows).axes
    assert list(axes.lines[0].get_xdata()) == [1.0, 4.0]


def test_precision_stands_over_recall():
    (axes,) = plots.precision_recall([0.5, 1.0], [1.0, 0.2]).axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == pytest.approx([1.0, 0.2])
    assert line.get_ydata().tolist() == pytest.approx([0.5, 1.0])
