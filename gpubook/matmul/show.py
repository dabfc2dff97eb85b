"""The page's tables: which columns, in which units, with how many digits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from gpubook.evidence import table
from gpubook.matmul import peaks, products, unit
from gpubook.matmul.kinds import KINDS

_COLUMNS = {
    "unit": ("Unit", ""),
    "kind": ("Format", ""),
    "n": ("N", ","),
    "seconds": ("Median (s)", ".3g"),
    "runs": ("Runs", "d"),
    "spread": ("Spread", ".1%"),
    "tflops": ("TFLOP/s", ".4g"),
    "share": ("Share of peak", ".0%"),
    "error": ("Error", ".1e"),
    "bound": ("Allowed", ".1e"),
    "sm_mhz": ("Clock (MHz)", ".0f"),
    "watts": ("Power (W)", ".0f"),
    "celsius": ("Temperature (°C)", ".0f"),
}


def rows(measured: Sequence[dict], *, caption: str) -> Any:
    """Rows of `products.measure`; a column that no row has a value for is left out."""
    flat = [products.flat(row) for row in measured]
    return _table(flat, _COLUMNS, caption)


def float64(told: dict, *, caption: str) -> Any:
    """A product's relative error in float64, as `products.relative_error` estimates it, and
    the one that is allowed."""
    columns = {
        "error": ("Error against float64", ".2e"),
        "estimate": ("Estimated", ".2e"),
        "bound": ("Allowed", ".2e"),
    }
    return _table([told], columns, caption)


def naive(told: dict, *, caption: str) -> Any:
    """The ways of `naive.measure`, each beside the right one."""
    columns = {
        "way": ("Way", ""),
        "seconds": ("Time (s)", ".3g"),
        "ratio": ("Ratio to right", ".3g"),
        "wrong": ("What is wrong", ""),
    }
    return _table(told["ways"], columns, caption)


def decisions(found: Iterable[dict], *, caption: str) -> Any:
    """Kernels with the unit decided for each, as far as they have one."""
    columns = {
        "generation": ("GPU", ""),
        "kind": ("Format", ""),
        "unit": ("Decided", ""),
        "mark": ("From", ""),
        "reason": ("Because", ""),
        "kernel": ("Kernel", ""),
    }
    return _table(list(found), columns, caption)


def published_kernels() -> Any:
    """The kernels that others profiled, told by our rules."""
    told = [row | unit.decide(row["kernel"]).record() for row in unit.known_kernels()]
    short = [
        row | {"kernel": _shorten(row["kernel"]), "kind": KINDS[row["kind"]].title} for row in told
    ]
    return decisions(short, caption="From a kernel's name to its unit")


def _shorten(kernel: str, length: int = 48) -> str:
    return kernel if len(kernel) <= length else f"{kernel[: length - 1]}…"


def peak_table() -> Any:
    """The table of peaks, with the FP32 figure worked out beside the printed one."""
    cards = [
        {"name": p.name, "sms": p.sms, "gb": p.bandwidth / 1e9, "derived": p.derived("fp32")}
        | p.tflops
        for p in peaks.table()
    ]
    columns = {
        "name": ("GPU", ""),
        "sms": ("SMs", "d"),
        "fp32": ("FP32", "g"),
        "derived": ("FP32 worked out", ".1f"),
        "tf32": ("TF32", "g"),
        "fp16": ("FP16, BF16", "g"),
        "fp8": ("FP8", "g"),
        "gb": ("Memory (GB/s)", "g"),
    }
    return _table(cards, columns, "Dense peaks (TFLOP/s)")


def bounds(told: Sequence[dict], *, caption: str) -> Any:
    """The rows of `roofline.explain`."""
    columns = {
        "n": ("N", ","),
        "best_seconds": ("Best (s)", ".3g"),
        "intensity": ("FLOP a byte", ".0f"),
        "tflops": ("TFLOP/s", ".4g"),
        "roof_tflops": ("Roof (TFLOP/s)", ".4g"),
        "share": ("Share of roof", ".0%"),
        "bound": ("Bound by", ""),
    }
    return _table(told, columns, caption)


def _table(found: Sequence[dict], columns: dict[str, tuple[str, str]], caption: str) -> Any:
    used = {
        key: column
        for key, column in columns.items()
        if any(row.get(key) is not None for row in found)
    }
    return table(found, used, caption=caption)
