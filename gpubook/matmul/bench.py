"""``gpubook bench matmul``: every format beside the reference timer, in one run.

Version 1: rounds in which ours and the reference take turns on the same operands, and take turns
in who is first; medians compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from gpubook import machine
from gpubook.errors import BookError
from gpubook.evidence import records
from gpubook.matmul import kinds, nvml, peaks, products, timing, unit
from gpubook.matmul.kinds import KINDS, Kind

VERSION = 1
ROUNDS = {"cuda": 3, "cpu": 9}
"""More on a CPU, which does other work, too."""

WITHIN = 0.03
"""How far our median may be from the reference's."""

BF16_TFLOPS = 650
BF16_SHARE_OF_BEST = 0.97
"""BF16 must reach the first at N = 8192 on an H100, or this share of the best of three sizes."""


def bench(device: str | None = None, n: int | None = None, *, seconds: float = 0.5) -> dict:
    """Measure every format of a device and judge it by the reference timer.

    ``device`` is ``"cpu"``, ``"cuda"`` or ``None`` for CUDA where there is a GPU. The reference
    is triton.testing.do_bench's median on CUDA, torch.utils.benchmark on a CPU. ``seconds`` is
    the length of one timing. Raises BookError without a GPU for ``"cuda"``.
    """
    gpu = machine.probe().capabilities["gpu"]
    device = device or ("cuda" if gpu.available else "cpu")
    if device == "cuda" and not gpu.available:
        raise BookError(f"no CUDA device here: {gpu.why}")
    rows = [_row(kind, device, n, seconds) for kind in products.device_kinds(device)]
    result = {
        "bench": "matmul",
        "version": VERSION,
        "command": f"gpubook bench matmul --device {device}",
        "device": device,
        "settings": unit.settings() if device == "cuda" else None,
        "facts": _facts() if device == "cuda" else None,
        "rows": rows,
    }
    if device == "cuda" and "bf16" in [row["kind"] for row in rows]:
        result["bf16_sizes"] = _sizes(n or products.DEFAULT_N["cuda"], seconds)
    result["must"] = judge(result)
    return result | {"provenance": records.here()}


def _row(kind: Kind, device: str, n: int | None, seconds: float) -> dict:
    row = products.measure(kind, device=device, n=n, seconds=seconds)
    made = products.operands(kind, row["n"], device)
    with products.precision(kind, device):
        ours, theirs = _rounds(made.multiply, device, seconds)
    row["rounds_seconds"] = ours
    row["reference"] = {
        "method": _REFERENCE[device][0],
        "rounds_seconds": theirs,
        "seconds": statistics.median(theirs),
        "ratio": timing.compare(ours, theirs),
    }
    return row


def _rounds(run: Callable[[], object], device: str, seconds: float) -> tuple[list, list]:
    """Medians of our timer and of the reference, in turn, so that both meet the same clocks."""
    ours, theirs = [], []
    turns = [
        lambda: ours.append(_ours(run, device, seconds).median),
        lambda: theirs.append(_REFERENCE[device][1](run, seconds)),
    ]
    for _ in range(ROUNDS[device]):
        for turn in turns:
            turn()
        turns.reverse()
    return ours, theirs


def _ours(run: Callable[[], object], device: str, seconds: float) -> timing.Timing:
    if device == "cpu":
        return timing.time_cpu(run, threads=products.threads(), seconds=seconds)
    import torch

    return timing.time_cuda(run, cuda=torch.cuda, flush=timing.l2_flush(), seconds=seconds)


def _do_bench(run: Callable[[], object], seconds: float) -> float:
    """Seconds by triton.testing.do_bench, whose arguments and result are milliseconds."""
    from triton.testing import do_bench

    return do_bench(run, warmup=100, rep=int(seconds * 1e3), return_mode="median") / 1e3


def _torch_timer(run: Callable[[], object], seconds: float) -> float:
    """Seconds by a plain torch.utils.benchmark timer."""
    from torch.utils import benchmark

    timer = benchmark.Timer("run()", globals={"run": run}, num_threads=products.threads())
    return timer.blocked_autorange(min_run_time=seconds).median


_REFERENCE: dict[str, tuple[str, Callable[[Callable[[], object], float], float]]] = {
    "cuda": ("triton.testing.do_bench, median", _do_bench),
    "cpu": ("torch.utils.benchmark, median", _torch_timer),
}


def _facts() -> dict:
    facts = nvml.facts()
    peak = peaks.peak_of(facts["name"])
    checked = peaks.check(peak, sms=facts["sms"], mhz=facts["highest_sm_mhz"]) if peak else None
    return facts | {"peak_check": checked}


def _sizes(n: int, seconds: float) -> list[dict]:
    """BF16 at three sizes, to say whether ``n`` is near the best this GPU does."""
    kind = KINDS["bf16"]
    rows = []
    for size in (n, n * 3 // 2, n * 2):
        row = products.measure(kind, device="cuda", n=size, seconds=seconds)
        rows.append({k: row[k] for k in ("n", "seconds", "tflops", "share", "state")})
    return rows


def judge(result: dict) -> list[dict]:
    """What the bench promises, each with its value, its limit and whether it holds."""
    claims = [
        {
            "claim": f"{row['kind']} within {WITHIN:.0%} of {row['reference']['method']}",
            "value": row["reference"]["ratio"],
            "limit": [1 - WITHIN, 1 + WITHIN],
            "holds": abs(row["reference"]["ratio"] - 1) <= WITHIN,
        }
        for row in result["rows"]
    ]
    claims += [
        {
            "claim": f"{row['kind']} ran on {kinds.KINDS[row['kind']].unit}",
            "value": row["unit"]["unit"],
            "limit": kinds.KINDS[row["kind"]].unit,
            "holds": row["unit"]["unit"] == kinds.KINDS[row["kind"]].unit,
        }
        for row in result["rows"]
        if row["unit"]
    ]
    if sizes := result.get("bf16_sizes"):
        best = max(size["tflops"] for size in sizes)
        here = max(r["tflops"] for r in result["rows"] if r["kind"] == "bf16")
        claims.append(
            {
                "claim": f"bf16 at least {BF16_TFLOPS} TFLOP/s, or {BF16_SHARE_OF_BEST:.0%} of "
                "the best of three sizes",
                "value": [here, here / max(best, here)],
                "limit": [BF16_TFLOPS, BF16_SHARE_OF_BEST],
                "holds": here >= BF16_TFLOPS or here / max(best, here) >= BF16_SHARE_OF_BEST,
            }
        )
    return claims
