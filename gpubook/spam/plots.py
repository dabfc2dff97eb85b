"""The figures of the pages on training and prediction, beside those of `gpubook.telemetry`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_BLUE = "#1f77b4"


def _axes(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained").subplots()


def rungs(rows: Sequence[dict]) -> Any:
    """Bars of ``messages_per_second`` for rows with a ``name``, the first on top.

    Where a row has ``lowest`` and ``highest``, a line spans them. Returns a matplotlib Figure.
    """
    axes = _axes(7, 0.4 * len(rows) + 0.8)
    names, speeds = zip(*((row["name"], row["messages_per_second"]) for row in rows), strict=True)
    axes.barh(names, speeds, color=_BLUE)
    for name, row in zip(names, rows, strict=True):
        if "lowest" in row:
            axes.plot((row["lowest"], row["highest"]), (name, name), color="black", marker="|")
    axes.invert_yaxis()
    axes.set(xlabel="messages/s")
    return axes.figure


def precision_recall(precision: Sequence[float], recall: Sequence[float]) -> Any:
    """Precision over recall (0 to 1 both), a point a threshold: a matplotlib Figure."""
    axes = _axes(5, 2.5)
    axes.step(recall, precision, color=_BLUE)
    axes.set(xlabel="recall (validation)", ylabel="precision (validation)")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02))
    return axes.figure
