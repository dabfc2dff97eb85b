"""Timing done right, on a GPU and on a CPU.

A GPU works after the call has returned, so the clock has to run on the GPU: one pair of CUDA
events a run, all runs queued, one synchronise at the end. Before each run the L2 cache is
overwritten, or a product of small matrices would read its operands from the cache of the run
before. Runs that warm up (libraries loaded, kernels chosen, clocks raised) do not count.

On a CPU a call returns when it is done, and torch.utils.benchmark does the rest: it uses one
thread unless told, so it is told.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

FLUSH_BYTES = 256 * 2**20
"""Overwritten before each run: twice the largest L2 cache of the peaks table or more."""

RUNS = (5, 200)
"""The fewest and the most timed runs of a GPU timing."""


@dataclass(frozen=True)
class Timing:
    """All timed runs of one product, in seconds, and how they were taken."""

    seconds: tuple[float, ...]
    method: str

    @property
    def median(self) -> float:
        """Median in seconds."""
        return statistics.median(self.seconds)

    @property
    def best(self) -> float:
        """The shortest run in seconds: what the machine can do when nothing disturbs it."""
        return min(self.seconds)

    @property
    def fifths(self) -> tuple[float, float]:
        """The 20th and the 80th percentile in seconds, interpolated linearly between runs."""
        if len(self.seconds) == 1:
            return self.best, self.best
        low, *_, high = statistics.quantiles(self.seconds, n=5, method="inclusive")
        return low, high

    @property
    def spread(self) -> float:
        """From the 20th to the 80th percentile, as a share of the median."""
        low, high = self.fifths
        return (high - low) / self.median

    def record(self) -> dict:
        """The timing as evidence holds it: seconds, runs, method."""
        return {
            "seconds": self.median,
            "best_seconds": self.best,
            "p20_seconds": self.fifths[0],
            "p80_seconds": self.fifths[1],
            "spread": self.spread,
            "runs": len(self.seconds),
            "method": self.method,
        }


def time_cuda(
    run: Callable[[], object],
    *,
    cuda: Any,
    flush: Callable[[], object] | None,
    warm_up: float = 0.1,
    seconds: float = 0.5,
    runs: tuple[int, int] = RUNS,
) -> Timing:
    """Time ``run``, which queues work on the current CUDA stream; ``cuda`` is ``torch.cuda``.

    ``warm_up`` and ``seconds`` are how long to warm up and to measure, from which the numbers
    of runs follow. ``flush`` overwrites the L2 cache; it runs before each timed run and outside
    its pair of events. With ``flush=None`` the cache stays as the run before left it, and the
    method says so.
    """
    run()
    cuda.synchronize()
    estimate = _estimate(run, flush, cuda)
    for _ in range(max(1, int(warm_up / estimate))):
        run()
    count = min(max(runs[0], int(seconds / estimate)), runs[1])
    starts = [cuda.Event(enable_timing=True) for _ in range(count)]
    ends = [cuda.Event(enable_timing=True) for _ in range(count)]
    for start, end in zip(starts, ends, strict=True):
        if flush is not None:
            flush()
        start.record()
        run()
        end.record()
    cuda.synchronize()
    measured = tuple(s.elapsed_time(e) / 1e3 for s, e in zip(starts, ends, strict=True))
    cache = "L2 overwritten before each" if flush else "L2 left warm"
    return Timing(measured, f"CUDA events, {count} runs, {cache}, one synchronise")


def _estimate(run: Callable[[], object], flush: Callable[[], object] | None, cuda: Any) -> float:
    """About how many seconds one run takes, from five."""
    start, end = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
    start.record()
    for _ in range(5):
        if flush is not None:
            flush()
        run()
    end.record()
    cuda.synchronize()
    return max(start.elapsed_time(end) / 5 / 1e3, 1e-6)


def l2_flush(device: str = "cuda") -> Callable[[], object]:
    """A function that overwrites more memory than any L2 cache holds."""
    import torch

    return torch.empty(FLUSH_BYTES // 4, dtype=torch.int32, device=device).zero_


def time_cpu(run: Callable[[], object], *, threads: int, seconds: float = 0.5) -> Timing:
    """Time ``run`` by torch.utils.benchmark on ``threads`` threads, warmed up, for ``seconds``."""
    from torch.utils import benchmark

    timer = benchmark.Timer(stmt="run()", globals={"run": run}, num_threads=threads)
    measured = timer.blocked_autorange(min_run_time=seconds)  # sizes its blocks first: a warm-up
    return Timing(
        tuple(measured.times),
        f"torch.utils.benchmark, {threads} threads, {len(measured.times)} runs",
    )


def time_on(
    device: str, run: Callable[[], object], *, threads: int, seconds: float, flushed: bool = True
) -> Timing:
    """Time ``run`` by the clock of its device; ``flushed``: a GPU's L2 is overwritten each time."""
    if device == "cpu":
        return time_cpu(run, threads=threads, seconds=seconds)
    import torch

    flush = l2_flush() if flushed else None
    return time_cuda(run, cuda=torch.cuda, flush=flush, seconds=seconds)


def compare(first: Sequence[float], second: Sequence[float]) -> float:
    """The ratio of two series' medians, for a claim such as "within 3 %"."""
    return statistics.median(first) / statistics.median(second)
