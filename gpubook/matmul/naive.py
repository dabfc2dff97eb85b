"""The naive ways to time a product, run beside the right one, in one fresh process.

Fresh, because only a process's first product pays for what a missing warm-up counts: loading
the library, starting the threads, touching memory for the first time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from gpubook.errors import BookError
from gpubook.matmul import products, timing
from gpubook.matmul.kinds import KINDS

_REPEATS = 3
_SECONDS = 0.5
_SLOW_N = 256

WRONG = {
    "first run": "no warm-up: it counts loading the library, starting threads, first use of memory",
    "making the data included": "it times the random numbers with the product",
    "one thread": "torch.utils.benchmark uses one thread unless told",
    "zeros": "zeros instead of data: fewer bits switch, and a GPU at its power limit runs faster",
    "no synchronise": "the call returns at once, so it times the launch, not the work",
    "copy back included": "it times the result's way over PCIe with the product",
}
"""What each way gets wrong."""


def measure(device: str, n: int, kind: str = "fp32") -> dict:
    """All ways on one device: seconds of each, and its ratio to the right way's seconds.

    Runs in a new Python process. A ratio above 1 makes the device look slower than it is,
    below 1 faster. Raises BookError when that process fails.
    """
    command = [sys.executable, "-m", "gpubook.matmul.naive", device, str(n), kind]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ.copy())
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise BookError(f"timing the naive ways on {device} failed: {last}")
    return json.loads(done.stdout)


def _clock(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _median(run: Callable[[], object]) -> float:
    return statistics.median(_clock(run) for _ in range(_REPEATS))


def _on_cpu(n: int, kind_name: str) -> dict[str, float]:
    """Seconds of each way on the CPU, the first run first. A CPU product is over on return."""
    kind = KINDS[kind_name]
    made = products.operands(kind, n, "cpu")
    ways = {"first run": _clock(made.multiply)}
    ways["right"] = timing.time_cpu(
        made.multiply, threads=products.threads(), seconds=_SECONDS
    ).median
    ways["making the data included"] = _median(lambda: products.operands(kind, n, "cpu").multiply())
    if products.threads() > 1:
        ways["one thread"] = timing.time_cpu(made.multiply, threads=1, seconds=0.2).median
    nothing = products.operands(kind, n, "cpu", zeros=True)
    ways["zeros"] = timing.time_cpu(
        nothing.multiply, threads=products.threads(), seconds=_SECONDS
    ).median
    return ways


def _on_gpu(n: int, kind_name: str) -> dict[str, float]:
    """Seconds of each way on the GPU, the first run first."""
    import torch

    kind = KINDS[kind_name]

    def finished(run: Callable[[], object]) -> Callable[[], object]:
        return lambda: (run(), torch.cuda.synchronize())

    def right(made: products.Operands) -> float:
        flush = timing.l2_flush()
        return timing.time_cuda(made.multiply, cuda=torch.cuda, flush=flush).median

    with products.precision(kind, "cuda"):
        made = products.operands(kind, n, "cuda")
        torch.cuda.synchronize()
        ways = {"first run": _clock(finished(made.multiply))}
        ways["right"] = right(made)
        unfinished = []
        for _ in range(_REPEATS):
            torch.cuda.synchronize()
            unfinished.append(_clock(made.multiply))
        torch.cuda.synchronize()
        ways["no synchronise"] = statistics.median(unfinished)
        ways["copy back included"] = _median(lambda: made.multiply().cpu())
        ways["making the data included"] = _median(
            finished(lambda: products.operands(kind, n, "cuda").multiply())
        )
        ways["zeros"] = right(products.operands(kind, n, "cuda", zeros=True))
    return ways


def _slow_format(n: int) -> dict | None:
    """FP16 beside FP32 on a CPU without FP16 arithmetic: small, on one core, best runs."""
    if "fp16" in [kind.name for kind in products.device_kinds("cpu")]:
        return None
    size = min(n, _SLOW_N)
    taken = {
        name: timing.time_cpu(
            products.operands(KINDS[name], size, "cpu").multiply,
            threads=1,
            seconds=0.2,
        ).best
        for name in ("fp32", "fp16")
    }
    return {"n": size, "seconds": taken, "ratio": taken["fp16"] / taken["fp32"]}


def compare(device: str, n: int, kind: str) -> dict:
    """All ways in this process, which should be fresh (see `measure`)."""
    ways = _on_cpu(n, kind) if device == "cpu" else _on_gpu(n, kind)
    right = ways.pop("right")
    return {
        "device": device,
        "kind": kind,
        "n": n,
        "right_seconds": right,
        "ways": [
            {"way": way, "seconds": s, "ratio": s / right, "wrong": WRONG[way]}
            for way, s in ways.items()
        ],
        "slow_format": _slow_format(n) if device == "cpu" else None,
    }


if __name__ == "__main__":
    print(json.dumps(compare(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
