"""The roofline: bandwidth measured here, arithmetic intensity, and what bounds each size.

After Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", Communications of the ACM 52(4), 2009.
"""

from __future__ import annotations

from typing import Any

from gpubook.matmul import kinds, products, timing
from gpubook.matmul.kinds import Kind

COPY_BYTES = {"cpu": 256 * 2**20, "cuda": 2**30}
"""The array that is copied: many times any cache."""

THREADS = 1
"""A CPU's roofline is that of one core. On several, a small product waits for the slowest thread,
and on a machine that does other work that is all one would see."""


def bandwidth(device: str, *, seconds: float = 0.5) -> dict:
    """Bytes a second of a large copy, each byte counted once read and once written.

    The best run counts: everything that disturbs a copy makes it slower.
    """
    import torch

    size = COPY_BYTES[device]
    source = torch.ones(size // 4, device=device)
    target = torch.empty_like(source)
    taken = timing.time_on(
        device, lambda: target.copy_(source), threads=THREADS, seconds=seconds, flushed=False
    )
    return {
        "device": device,
        "array_bytes": size,
        "moved_bytes": 2 * size,
        "best_seconds": taken.best,
        "bytes_per_second": 2 * size / taken.best,
        "method": taken.method,
    }


def attainable(intensity: float, *, peak_tflops: float, bytes_per_second: float) -> float:
    """TFLOP/s that the roof allows at an intensity in FLOP a byte."""
    return min(peak_tflops, intensity * bytes_per_second / 1e12)


def sizes(largest: int, *, smallest: int = 16) -> list[int]:
    """Powers of two from the smallest size, and the largest."""
    powers = []
    n = smallest
    while n < largest:
        powers.append(n)
        n *= 2
    return [*powers, largest]


def sweep(device: str, kind: Kind, largest: int, *, seconds: float = 0.4) -> list[dict]:
    """The same product at sizes from launch-bound to compute-bound.

    Only the time is taken here; `products.measure` checks and proves. The rate is that of the
    best run, as for the copy that the roof comes from: a roof says what is possible. The L2
    cache is overwritten on a GPU; a CPU's caches stay as the run before left them.
    """
    rows = []
    with products.precision(kind, device):
        for n in sizes(products.largest_that_fits(kind, device, largest)):
            pair = products.operands(kind, n, device)
            taken = timing.time_on(device, pair.multiply, threads=THREADS, seconds=seconds)
            row = {"device": device, "kind": kind.name, "n": n} | taken.record()
            row["tflops"] = kinds.flops(n) / taken.best / 1e12
            row["intensity"] = kinds.intensity(kind, n)
            rows.append(row)
    return rows


def least(
    flops: float,
    moved_bytes: float,
    *,
    peak_tflops: float,
    bytes_per_second: float,
    launch_seconds: float = 0.0,
) -> dict[str, Any]:
    """The least ``seconds`` that work can take, and what bounds it.

    Of the three costs, the call ("launch"), the bytes ("memory") and the operations
    ("arithmetic"), the longest is the ``bound``. With it come the work's ``intensity`` (FLOP a
    byte) and the roof there, in TFLOP/s. ``launch_seconds`` is the time of work so small that
    nothing but the call counts.
    """
    costs = {
        "launch": launch_seconds,
        "memory": moved_bytes / bytes_per_second,
        "arithmetic": flops / (peak_tflops * 1e12),
    }
    intensity, bound = flops / moved_bytes, max(costs, key=costs.get)
    roof = attainable(intensity, peak_tflops=peak_tflops, bytes_per_second=bytes_per_second)
    return {
        "intensity": intensity,
        "roof_tflops": roof,
        "seconds": costs[bound],
        "bound": bound,
    }
