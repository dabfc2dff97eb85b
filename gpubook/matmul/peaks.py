"""The ceilings by the vendor, dense, as data with sources; checked by SMs × clock × width."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass

from gpubook import files


@dataclass(frozen=True)
class Peak:
    """One GPU's ceilings.

    ``tflops`` maps a kind's name to dense TFLOP/s as printed; ``bandwidth`` is bytes a second;
    ``mhz`` the boost clocks for FP32 and for Tensor Cores that the printed figures assume;
    ``flop_per_sm_clock`` how wide one streaming multiprocessor (SM) is.
    """

    name: str
    nvml: tuple[str, ...]
    capability: str
    sms: int
    mhz: dict[str, int]
    flop_per_sm_clock: dict[str, int]
    tflops: dict[str, float]
    bandwidth: float
    source: str

    def derived(self, kind: str, *, sms: int | None = None, mhz: float | None = None) -> float:
        """TFLOP/s from SMs × clock × width: of the table, or of what NVML reports here."""
        clock = mhz or self.mhz["fp32" if kind == "fp32" else "tensor"]
        return (sms or self.sms) * clock * 1e6 * self.flop_per_sm_clock[kind] / 1e12


@functools.cache
def table() -> tuple[Peak, ...]:
    """All GPUs of the table, oldest first."""
    rows = json.loads(files.packaged("gpubook.matmul", "peaks.json"))
    return tuple(Peak(**{**row, "nvml": tuple(row["nvml"])}) for row in rows)


def peak_of(gpu: str) -> Peak | None:
    """The ceilings of a GPU by the name NVML gives it; ``None`` for one not in the table.

    Only whole names count: H100 NVL, PCIe and SXM are three cards.
    """
    return next((peak for peak in table() if gpu in peak.nvml), None)


def check(peak: Peak, *, sms: int, mhz: float) -> dict:
    """Compare the table's FP32 peak with what NVML's SMs and highest SM clock allow.

    Only FP32 can be compared: the Tensor figures assume a lower clock than NVML's highest.
    """
    allowed = peak.derived("fp32", sms=sms, mhz=mhz)
    printed = peak.tflops["fp32"]
    return {
        "gpu": peak.name,
        "sms": sms,
        "sms_printed": peak.sms,
        "highest_sm_mhz": mhz,
        "printed_tflops": printed,
        "allowed_tflops": allowed,
        "ratio": printed / allowed,
    }
