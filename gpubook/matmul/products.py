"""One product, wholly: fitted to memory, checked, proved, timed; as one row of evidence."""

from __future__ import annotations

import contextlib
import functools
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubook import machine
from gpubook.errors import BookError, UsageError
from gpubook.matmul import kinds, peaks, timing, unit
from gpubook.matmul.kinds import KINDS, Kind
from gpubook.telemetry import Sampler

DEFAULT_N = {"cpu": 2048, "cuda": 8192}
"""Rows and columns unless told otherwise: large enough for either device to be busy computing,
small enough for a CPU of two cores."""

SLOW_N = 512
"""The default on a CPU that has no arithmetic for a format and converts every number."""

_CHUNK = 1024


class WrongProduct(BookError):
    """A product differs from the one in higher precision by more than rounding explains."""


@dataclass(frozen=True)
class Operands:
    """Two n × n matrices of normal random numbers and room for their product."""

    kind: Kind
    a: Any
    b: Any
    out: Any

    def multiply(self) -> Any:
        """Multiply into ``out`` and return it, so that no timed run allocates memory."""
        import torch

        if self.kind.name == "fp8":
            one = _one(str(self.a.device))
            return torch._scaled_mm(
                self.a, self.b, scale_a=one, scale_b=one, out_dtype=torch.bfloat16, out=self.out
            )
        return torch.mm(self.a, self.b, out=self.out)


@functools.cache
def _one(device: str) -> Any:
    """FP8 products take a scale for each operand; ours is 1, kept on the device."""
    import torch

    return torch.ones((), device=device)


def operands(kind: Kind, n: int, device: str, *, seed: int = 0, zeros: bool = False) -> Operands:
    """Make the operands of one product. Normal numbers: zeros would run faster than data."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)

    def matrix() -> Any:
        make = torch.zeros if zeros else functools.partial(torch.randn, generator=generator)
        return make((n, n), device=device).to(getattr(torch, kind.dtype))

    a, b = matrix(), matrix()
    if kind.name == "fp8":
        b = b.t()  # FP8 kernels want the second operand column by column
    return Operands(
        kind, a, b, torch.empty((n, n), dtype=getattr(torch, kind.out_dtype), device=device)
    )


def relative_error(a: Any, b: Any, product: Any, *, probes: int = 8, seed: int = 1) -> float:
    """‖C − AB‖ / ‖AB‖ in the Frobenius norm, estimated from every element, in float64.

    With a column x of random signs, the mean of ‖(C − AB)x‖² is ‖C − AB‖² (Freivalds' check
    made a measurement): C x and A (B x) cost matrix times vector, not another product, so the
    check is affordable at any size. Operands count as stored. NaN and infinity come out as NaN.
    """
    import torch

    device, n = a.device, b.shape[1]
    generator = torch.Generator(device).manual_seed(seed)
    signs = torch.randint(0, 2, (n, probes), generator=generator, device=device).double() * 2 - 1
    wanted = _times(a, _times(b, signs))
    difference = _times(product, signs) - wanted
    return float(difference.norm() / wanted.norm())


def _times(matrix: Any, columns: Any) -> Any:
    """matrix @ columns in float64, a slice of rows at a time to bound the memory."""
    import torch

    rows = range(0, matrix.shape[0], _CHUNK)
    return torch.cat([matrix[i : i + _CHUNK].float().double() @ columns for i in rows])


def check(pair: Operands) -> dict:
    """Multiply once into poisoned memory and judge the result.

    Raises WrongProduct when the error is beyond the kind's bound, or not a number.
    """
    pair.out.fill_(float("nan"))  # an element that is never written shows
    error = relative_error(pair.a, pair.b, pair.multiply())
    bound = pair.kind.error_bound(pair.a.shape[0])
    if not error <= bound:
        raise WrongProduct(
            f"{pair.kind.title}: the product is off by {error:.1e} (relative), "
            f"rounding explains {bound:.1e} at most"
        )
    return {"error": error, "bound": bound}


def rates(kind: Kind, n: int, seconds: float, gpu: str | None) -> dict:
    """TFLOP/s, and the vendor's peak and the share of it where the table has the GPU."""
    tflops = kinds.flops(n) / seconds / 1e12
    peak = peaks.peak_of(gpu) if gpu else None
    ceiling = peak.tflops.get(kind.name) if peak else None
    return {
        "tflops": tflops,
        "peak_tflops": ceiling,
        "share": tflops / ceiling if ceiling else None,
    }


def measure(
    kind: Kind,
    *,
    device: str,
    n: int | None = None,
    seconds: float = 0.5,
) -> dict:
    """Measure one product wholly and return its row.

    ``device`` is ``"cpu"`` or ``"cuda"``. Without ``n`` the default size is fitted to the free
    memory; a given ``n`` must fit. On CUDA the unit is proved from a profile, and clock, power and
    temperature are read while the timed runs last.

    Raises BookError: no memory, a wrong product, another unit than claimed.
    """
    with _one_line_for_memory(kind), precision(kind, device):
        fitted = _fitted(kind, device, n)
        pair = operands(kind, fitted.n, device)
        row = {"device": device, "name": device_name(device), "kind": kind.name, "n": fitted.n}
        row |= {"fit": fitted.text} | check(pair)
        on_gpu = device == "cuda"
        proof = unit.prove(kind, unit.profile(pair.multiply)).record() if on_gpu else None
        watch = Sampler(interval=0.02, gpu=0) if on_gpu else None
        with watch or contextlib.nullcontext():
            taken = timing.time_on(device, pair.multiply, threads=threads(), seconds=seconds)
        row |= {
            "unit": proof,
            "settings": unit.settings() if on_gpu else None,
            "state": state(watch.samples) if watch else None,
        }
    gpu = row["name"] if on_gpu else None
    return row | taken.record() | rates(kind, fitted.n, taken.median, gpu)


def state(samples: Sequence[dict]) -> dict | None:
    """Median clock (MHz), highest power (W) and temperature (°C) of a GPU's samples.

    A card at its power limit lowers its clocks: that explains most of the gap to the printed peak.
    None where NVML does not tell, as of a slice of a card.
    """
    keys = ("sm_clock_mhz", "power_watts", "temperature_celsius")
    complete = [s for s in samples if all(s.get(key) is not None for key in keys)]
    if not complete:
        return None
    clocks, watts, celsius = ([sample[key] for sample in complete] for key in keys)
    return {
        "sm_mhz": statistics.median(clocks),
        "watts": max(watts),
        "celsius": max(celsius),
        "samples": len(complete),
    }


def measure_all(
    device: str,
    *,
    n: int | None = None,
    names: Sequence[str] = (),
    seconds: float = 0.5,
    progress: Callable[[dict], None] | None = None,
) -> list[dict]:
    """One row for each kind in ``names``, or for each that the device has units for."""
    chosen = [kind_on(name, device) for name in names] or device_kinds(device)
    rows = []
    for kind in chosen:
        row = measure(kind, device=device, n=n, seconds=seconds)
        rows.append(row)
        if progress:
            progress(row)
    return rows


def possible(device: str) -> tuple[str, ...]:
    """The kinds that this device can multiply, fast or slowly."""
    return kinds.ON_CPU if device == "cpu" else tuple(k.name for k in device_kinds(device))


def kind_on(name: str, device: str) -> Kind:
    """The kind of this name if the device can multiply it; else UsageError."""
    kind, have = kinds.kind_named(name), possible(device)
    if kind.name not in have:
        what = f"{kind.title} has no product on {device_name(device)}"
        raise UsageError(f"{what}: choose from {', '.join(have)}")
    return kind


def device_kinds(device: str) -> list[Kind]:
    """The kinds that this device has units for."""
    if device == "cpu":
        return [KINDS[name] for name in cpu_formats(_cpu_flags())]
    import torch

    capability = torch.cuda.get_device_capability()
    return [kind for kind in KINDS.values() if capability >= kind.capability]


def cpu_formats(flags: frozenset[str]) -> list[str]:
    """The formats a CPU with these flags of /proc/cpuinfo computes without converting.

    x86 names its instructions avx512_bf16, amx_bf16, avx512_fp16, amx_fp16; Arm bf16, asimdhp.
    """
    native = ["fp32"]
    if flags & {"avx512_bf16", "amx_bf16", "bf16"}:
        native.append("bf16")
    if flags & {"avx512_fp16", "amx_fp16", "asimdhp"}:
        native.append("fp16")
    return native


@functools.cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    match = re.search(r"^(?:flags|Features)\s*:(.*)$", text, re.MULTILINE)
    return frozenset(match[1].split()) if match else frozenset()


def threads() -> int:
    """The threads that CPU products use: torch's choice, one a physical core."""
    import torch

    return torch.get_num_threads()


def device_name(device: str) -> str:
    """The processor's or the GPU's name."""
    if device == "cpu":
        return machine.probe().cpu
    import torch

    return torch.cuda.get_device_name()


def _fitted(kind: Kind, device: str, n: int | None) -> kinds.Fit:
    wanted = n or DEFAULT_N[device]
    if device == "cpu" and n is None and kind.name not in cpu_formats(_cpu_flags()):
        wanted = SLOW_N
    if kind.name == "fp8" and wanted % 16:
        raise UsageError(f"FP8 kernels want sizes that are multiples of 16, not {wanted}")
    return kinds.fit(kind, wanted, *_memory(device), shrink=n is None)


def largest_that_fits(kind: Kind, device: str, n: int) -> int:
    """``n``, or the largest smaller size whose product the device's free memory holds."""
    return kinds.fit(kind, n, *_memory(device)).n


def _memory(device: str) -> tuple[int, int]:
    """Free bytes on the device, and the bytes that timing itself takes there."""
    if device == "cpu":
        import psutil

        return psutil.virtual_memory().available, 0
    import torch

    torch.cuda.empty_cache()
    return torch.cuda.mem_get_info()[0], timing.FLUSH_BYTES


def precision(kind: Kind, device: str) -> contextlib.AbstractContextManager[None]:
    """TF32 on for the TF32 row and off for all others; nothing to set on a CPU."""
    return unit.tf32(kind.name == "tf32") if device == "cuda" else contextlib.nullcontext()


@contextlib.contextmanager
def _one_line_for_memory(kind: Kind) -> Iterator[None]:
    """Turn torch's ways to say that memory ran out into one line."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise BookError(
            f"{kind.title}: the GPU's memory ran out although the size was fitted; another "
            "program uses it too (see nvidia-smi): stop that, or choose a smaller --n"
        ) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise BookError(
            f"{kind.title}: this machine's memory ran out: choose a smaller --n"
        ) from error


def unit_of(row: dict) -> str:
    """The unit that multiplied, as a table names it: ``"CPU"`` or what the proof found."""
    return row["unit"]["unit"] if row["unit"] else "CPU"


def flat(row: dict) -> dict:
    """A row with its nested parts as columns of a table: format, unit, kernel, clock, power."""
    state = row["state"] or {}
    kernel = row["unit"] or {}
    return row | state | kernel | {"kind": KINDS[row["kind"]].title, "unit": unit_of(row)}
