"""The figures of notebooks 05 and 06, beside those that `gpubook.telemetry` draws."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BLUE, _ORANGE = "#1f77b4", "#d1701e"


def _axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def lengths(tokens: Sequence[int], *, padded: int = 128) -> Any:
    """A histogram of messages' lengths in tokens, with the length that all were padded to.

    Returns a matplotlib Figure, as the others do.
    """
    axes = _axes(7, 2.6)
    axes.hist(tokens, bins=range(0, padded + 2, 2), color=_BLUE)
    axes.axvline(padded, color=_ORANGE, linestyle="--")
    axes.annotate("padded to here", (padded - 1, axes.get_ylim()[1] * 0.8), ha="right")
    axes.set(xlabel="tokens in a message", ylabel="messages")
    return axes.figure


def rungs(rows: Sequence[dict]) -> Any:
    """Bars of messages/s for the rows of `ladder.climb`, the first on top."""
    axes = _axes(7, 0.4 * len(rows) + 0.8)
    names, speeds = zip(*((row["name"], row["messages_per_second"]) for row in rows), strict=True)
    axes.bar_label(axes.barh(names, speeds, color=_BLUE), fmt="%.0f", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="messages/s")
    axes.margins(x=0.12)
    return axes.figure


def precision_recall(points: Sequence[dict]) -> Any:
    """Precision over recall (0 to 1 both) for scores of `metrics.scores`, one a threshold."""
    axes = _axes(5, 3)
    axes.step([p["recall"] for p in points], [p["precision"] for p in points], color=_BLUE)
    axes.set(xlabel="recall (validation)", ylabel="precision (validation)")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return axes.figure
