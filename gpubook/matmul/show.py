"""Tables of products and peaks: which columns, in which units, with how many digits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpubook.evidence import table
from gpubook.matmul import peaks, products

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


def _table(rows: Sequence[dict], columns: dict[str, tuple[str, str]], caption: str) -> Any:
    used = {
        key: column
        for key, column in columns.items()
        if any(row.get(key) is not None for row in rows)
    }
    return table(rows, used, caption=caption)
