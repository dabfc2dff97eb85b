"""``gpubook bench matmul``: every format beside the reference timer, in one run.

Version 1: rounds in which ours and the reference take turns on the same operands, and take turns
in who is first; medians compared.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable

from gpubook import machine
from gpubook.errors import BookError
from gpubook.evidence.bench import claim
from gpubook.evidence.bench import result as bench_result
from gpubook.machine import gpus
from gpubook.matmul import peaks, products, timing, unit
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
    on_gpu = device == "cuda"
    about = {"settings": unit.settings(), "facts": facts()} if on_gpu else {}
    result = bench_result("matmul", VERSION, device, rows=rows, **about)
    if on_gpu and "bf16" in [row["kind"] for row in rows]:
        result["bf16_sizes"] = _sizes(n or products.DEFAULT_N["cuda"], seconds)
    return result | {"must": judge(result)}


def _row(kind: Kind, device: str, n: int | None, seconds: float) -> dict:
    row = products.measure(kind, device=device, n=n, seconds=seconds)
    pair = products.operands(kind, row["n"], device)
    with products.precision(kind, device):
        ours, theirs = _rounds(pair.multiply, device, seconds)
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
        lambda: ours.append(
            timing.time_on(device, run, threads=products.threads(), seconds=seconds).median
        ),
        lambda: theirs.append(_REFERENCE[device][1](run, seconds)),
    ]
    for _ in range(ROUNDS[device]):
        for turn in turns:
            turn()
        turns.reverse()
    return ours, theirs


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


def facts(index: int = 0) -> dict:
    """SMs, highest clocks (MHz), power limit (W) and L2 (bytes) of the GPU torch calls ``index``,
    and the vendor's peak checked by them. NVML counts no SMs, so torch does.
    """
    import torch

    properties = torch.cuda.get_device_properties(index)
    with gpus.opened() as nvml:
        handle = gpus.handle(nvml, index)
        card = {
            "name": nvml.nvmlDeviceGetName(handle),
            "sms": properties.multi_processor_count,
            "l2_bytes": properties.L2_cache_size,
            "memory_bytes": properties.total_memory,
            "highest_sm_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "highest_memory_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "power_limit_watts": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
        }
    peak = peaks.peak_of(card["name"])
    checked = peaks.check(peak, sms=card["sms"], mhz=card["highest_sm_mhz"]) if peak else None
    return card | {"peak_check": checked}


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
    rows = result["rows"]
    claims = [_by_the_reference(row) for row in rows]
    claims += [_on_its_unit(row) for row in rows if row["unit"]]
    if sizes := result.get("bf16_sizes"):
        best = max(size["tflops"] for size in sizes)
        claims.append(_bf16(max(r["tflops"] for r in rows if r["kind"] == "bf16"), best))
    return claims


def _by_the_reference(row: dict) -> dict:
    ratio, method = row["reference"]["ratio"], row["reference"]["method"]
    text = f"{row['kind']} within {WITHIN:.0%} of {method}"
    return claim(text, ratio, [1 - WITHIN, 1 + WITHIN], holds=abs(ratio - 1) <= WITHIN)


def _on_its_unit(row: dict) -> dict:
    wanted, ran = KINDS[row["kind"]].unit, row["unit"]["unit"]
    return claim(f"{row['kind']} ran on {wanted}", ran, wanted, holds=ran == wanted)


def _bf16(rate: float, best: float) -> dict:
    share = rate / max(best, rate)
    text = f"bf16 at least {BF16_TFLOPS} TFLOP/s, or {BF16_SHARE_OF_BEST:.0%} of the best of three "
    holds = rate >= BF16_TFLOPS or share >= BF16_SHARE_OF_BEST
    return claim(f"{text}sizes", [rate, share], [BF16_TFLOPS, BF16_SHARE_OF_BEST], holds=holds)
