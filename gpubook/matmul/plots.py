"""The roofline figure: products below their roof."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from gpubook.evidence import Evidence
from gpubook.matmul import peaks
from gpubook.matmul.roofline import attainable

COLOURS = ("#2f7fc1", "#c8642a", "#3c9a5f", "#a05bb0", "#8a7a2b", "#c0476b")
"""Middle tones, told apart on light and dark pages."""


class Drawing(NamedTuple):
    """A matplotlib figure, and in words what it shows."""

    figure: Any
    words: str


def roofline(series: Sequence[dict]) -> Any:
    """Rooflines with measured products below them, both axes logarithmic.

    Each of ``series`` has ``label``, ``peak_tflops``, ``bytes_per_second`` and ``points``:
    rows with ``n``, ``intensity`` (FLOP a byte) and ``tflops``. Returns a matplotlib Figure.
    """
    from matplotlib.figure import Figure

    fig = Figure(figsize=(7.5, 4.6))
    axes = fig.subplots()
    everything = [point["intensity"] for one in series for point in one["points"]]
    low, high = min(everything) / 2, max(everything) * 2
    steps = [low * (high / low) ** (i / 200) for i in range(201)]
    for place, one in enumerate(series):
        colour = COLOURS[place % len(COLOURS)]
        roof = [
            attainable(x, peak_tflops=one["peak_tflops"], bytes_per_second=one["bytes_per_second"])
            for x in steps
        ]
        axes.plot(steps, roof, color=colour, linewidth=1.5, label=f"{one['label']}: roof")
        axes.plot(
            [p["intensity"] for p in one["points"]], [p["tflops"] for p in one["points"]],
            "o", color=colour, markersize=5, label=f"{one['label']}: measured",
        )  # fmt: skip
        for point in (one["points"][0], one["points"][-1]):
            axes.annotate(
                f"N={point['n']}", (point["intensity"], point["tflops"]), (5, -11),
                textcoords="offset points", fontsize=8,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("arithmetic intensity (FLOP a byte)")
    axes.set_ylabel("TFLOP/s")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", fontsize=8)
    return fig


def rooflines(series: Sequence[dict]) -> Drawing:
    """`roofline`, and every point in words."""
    points = [point for one in series for point in one["points"]]
    words = "; ".join(f"N {point['n']}: {point['tflops']:.4g}" for point in points)
    return Drawing(roofline(series), f"Roofline, TFLOP/s over FLOP a byte. {words}")


def cpu_series(sweep: Sequence[dict], *, peak_tflops: float, bytes_per_second: float) -> dict:
    """The roofline of one core of this CPU: FP32 products of ``n`` below the best of them."""
    return {
        "label": "one core of this CPU, FP32",
        "peak_tflops": peak_tflops,
        "bytes_per_second": bytes_per_second,
        "points": [row | {"intensity": row["n"] / 6} for row in sweep],
    }


def gpu_series(evidence: Evidence, kind: str = "fp16") -> dict:
    """A GPU's roofline: its copy and its sweep, below the vendor's peak where that is known."""
    points = evidence.data["sweep"]
    peak = peaks.peak_of(evidence.provenance["machine"]["gpus"][0]["name"])
    return {
        "label": f"{evidence.machine}, {kind.upper()}",
        "peak_tflops": peak.tflops[kind] if peak else max(p["tflops"] for p in points),
        "bytes_per_second": evidence.data["copy"]["bytes_per_second"],
        "points": points,
    }
