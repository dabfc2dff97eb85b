"""Which unit multiplied: CUDA cores or Tensor Cores, proved from the kernel that ran.

The setting says what was allowed, a profile says what happened. The libraries put the
instruction into a kernel's name, in a few dialects that changed with the generations; each rule
of unit.toml is one dialect.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from gpubook import files
from gpubook.errors import BookError
from gpubook.matmul.kinds import TENSOR_CORES, Kind


class UnitError(BookError):
    """The product ran on another unit than the page claims, or it cannot be told which."""


@dataclass(frozen=True)
class Decision:
    """The unit (``None`` when it cannot be told), the kernel, and the reason in one line.

    ``mark`` is the part of the name that tells the unit.
    """

    unit: str | None
    kernel: str
    reason: str
    mark: str = ""

    def record(self) -> dict:
        """The decision as evidence holds it."""
        return asdict(self)


_RULES: list[list[str]] = tomllib.loads(files.packaged("gpubook.matmul", "unit.toml"))["rules"]


def decide(kernel: str) -> Decision:
    """Tell the unit from one kernel's name."""
    matches = [(m[0], unit, why) for rule, unit, why in _RULES if (m := re.search(rule, kernel))]
    if len({unit for _, unit, _ in matches}) == 1:
        mark, unit, why = matches[0]
        return Decision(unit, kernel, why, mark.strip("_"))
    why = "no rule knows this name" if not matches else "the name fits rules of both units"
    return Decision(None, kernel, why)


def decide_all(kernels: dict[str, float]) -> Decision:
    """Tell the unit of a product from all its kernels, given with the time each took.

    The longest kernel with a known unit decides; helpers (a sum over slices, a fill, a copy)
    are shorter and have none.
    """
    if not kernels:
        raise UnitError("the profile saw no kernel: CUPTI, which torch.profiler needs, is missing")
    ordered = sorted(kernels, key=kernels.get, reverse=True)
    known = [d for d in map(decide, ordered) if d.unit is not None]
    return known[0] if known else decide(ordered[0])


def prove(kind: Kind, kernels: dict[str, float]) -> Decision:
    """Return the decision if it is the unit that ``kind`` claims; otherwise raise UnitError."""
    decision = decide_all(kernels)
    if decision.unit == kind.unit:
        return decision
    ran = decision.unit or "a unit that cannot be told"
    hint = " (is TF32 on?)" if kind.name == "fp32" and decision.unit == TENSOR_CORES else ""
    raise UnitError(
        f"{kind.title} should run on {kind.unit} but ran on {ran}{hint}: "
        f"kernel {decision.kernel}, {decision.reason}"
    )


def profile(run: Callable[[], object]) -> dict[str, float]:
    """The CUDA kernels that ``run`` launched, each with its seconds on the GPU."""
    import torch
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as profiler

    torch.cuda.synchronize()
    with profiler(
        activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA],
        acc_events=True,  # one cycle only; without this a warning says that others are lost
    ) as profiled:
        run()
        torch.cuda.synchronize()
    return {
        event.key: event.self_device_time_total / 1e6
        for event in profiled.key_averages()
        if event.device_type == DeviceType.CUDA and event.self_device_time_total > 0
    }


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Allow or forbid TF32 for FP32 products on CUDA, and put the setting back afterwards."""
    import torch

    matmul = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if allowed else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def settings() -> dict[str, str | None]:
    """What decides about TF32 here: torch's switch and the environment that may override it.

    NVIDIA's containers set TORCH_ALLOW_TF32_CUBLAS_OVERRIDE=1, which makes "tf32" the
    switch's default there; NVIDIA_TF32_OVERRIDE=0 forbids TF32 in cuBLAS whatever torch says.
    """
    import torch

    names = ("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "NVIDIA_TF32_OVERRIDE")
    switch = torch.backends.cuda.matmul.fp32_precision
    return {"torch.backends.cuda.matmul.fp32_precision": str(switch)} | {
        name: os.environ.get(name) for name in names
    }
