"""Number formats of a matrix product: storage, the unit that computes, the error to expect."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpubook.errors import BookError, UsageError

CUDA_CORES = "CUDA cores"
TENSOR_CORES = "Tensor Cores"


@dataclass(frozen=True)
class Kind:
    """One way to multiply matrices.

    ``bits`` is the significand of the operands as the unit sees them, the implicit bit
    included; ``out_bits`` that of the stored result; ``size`` and ``out_size`` are bytes an
    element. ``unit`` is the unit that must compute it on a GPU, ``capability`` the first
    compute capability whose units do.
    """

    name: str
    title: str
    dtype: str
    out_dtype: str
    size: int
    out_size: int
    bits: int
    out_bits: int
    unit: str
    capability: tuple[int, int]
    rounds_inside: bool = False

    def bytes(self, n: int) -> int:
        """The fewest bytes a product of n × n matrices moves: two read, one written."""
        return n * n * (2 * self.size + self.out_size)

    def error_bound(self, n: int) -> float:
        """The largest relative error, ‖C − C₆₄‖ / ‖C₆₄‖, that passes for a product of size n.

        The parts, for independent random roundings with unit roundoff u = 2^-bits: storing the
        result costs at most u(result); adding n terms in FP32 grows like √n · 2⁻²⁴. Where the
        unit itself shortens the operands (TF32), 2u is allowed: rounding both costs some 0.6u,
        cutting both off, which always errs in one direction, some 1.5u. Operands that are
        stored rounded cost nothing here: the reference multiplies the same rounded numbers.
        FP8 on Tensor Cores adds with fewer bits than FP32 (DeepSeek-V3 report, 2024, section
        3.3.2, found about 14 on Hopper), for which 2⁻¹⁰ is allowed.
        """
        inside = 2 * 2.0**-self.bits if self.rounds_inside else 0.0
        adding = math.sqrt(n) * 2.0**-24 + (2.0**-10 if self.name == "fp8" else 0.0)
        return 2.0**-self.out_bits + inside + adding


_ALL = (
    Kind("fp32", "FP32", "float32", "float32", 4, 4, 24, 24, CUDA_CORES, (5, 0)),
    Kind("tf32", "TF32", "float32", "float32", 4, 4, 11, 24, TENSOR_CORES, (8, 0), True),
    Kind("fp16", "FP16", "float16", "float16", 2, 2, 11, 11, TENSOR_CORES, (7, 0)),
    Kind("bf16", "BF16", "bfloat16", "bfloat16", 2, 2, 8, 8, TENSOR_CORES, (8, 0)),
    Kind("fp8", "FP8", "float8_e4m3fn", "bfloat16", 1, 2, 4, 8, TENSOR_CORES, (8, 9)),
)
KINDS: dict[str, Kind] = {kind.name: kind for kind in _ALL}

ON_CPU = ("fp32", "bf16", "fp16")
"""What `mat_mul --dtype` accepts on a CPU; TF32 and FP8 products exist on GPUs only."""


def kind_named(name: str) -> Kind:
    """The kind of a name such as ``"bf16"``. Raises UsageError for an unknown one."""
    try:
        return KINDS[name.strip().lower()]
    except KeyError:
        raise UsageError(f"unknown dtype {name!r}: choose from {', '.join(KINDS)}") from None


def flops(n: int) -> int:
    """Operations of an n × n product: n multiplications and n additions an element (2n³)."""
    return 2 * n**3


def intensity(kind: Kind, n: int) -> float:
    """Arithmetic intensity in FLOP a byte: the operations over the fewest bytes moved."""
    return flops(n) / kind.bytes(n)


@dataclass(frozen=True)
class Fit:
    """A size and the arithmetic behind it. Bytes."""

    n: int
    asked: int
    need_bytes: int
    free_bytes: int

    @property
    def text(self) -> str:
        """The arithmetic in one line, in GiB."""
        gib = 2**30
        need, free = self.need_bytes / gib, self.free_bytes / gib
        line = f"N = {self.n:,} needs {need:.2f} GiB of {free:.1f} GiB free"
        return line if self.n == self.asked else f"N = {self.asked:,} made smaller: {line}"


SHARE = 0.8
"""Of the free memory, what operands, result and scratch may take."""

STEP = 256
"""Sizes that had to shrink are multiples of this, which every unit and FP8's layout like."""


def need(kind: Kind, n: int, scratch: int) -> int:
    """Bytes for two operands, the operand in FP32 they are rounded from, the result, scratch."""
    made_from = 4 * n * n if kind.dtype != "float32" else 0
    return kind.bytes(n) + made_from + scratch


def fit(kind: Kind, n: int, free_bytes: int, scratch: int = 0, *, shrink: bool = True) -> Fit:
    """The largest size up to ``n`` that fits into 80 % of the free memory.

    Raises BookError, with the arithmetic, when even the smallest does not fit, or when
    ``shrink`` is false and ``n`` itself does not.
    """
    budget = int(SHARE * free_bytes)
    size = n
    while shrink and size > STEP and need(kind, size, scratch) > budget:
        size = (size - 1) // STEP * STEP
    fitted = Fit(size, n, need(kind, size, scratch), free_bytes)
    if fitted.need_bytes > budget:
        wanted = Fit(n, n, need(kind, n, scratch), free_bytes)
        raise BookError(
            f"{kind.title}: {wanted.text}, and at most {SHARE:.0%} of that is used; "
            "choose a smaller --n"
        )
    return fitted
