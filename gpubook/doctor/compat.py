"""Which driver runs which CUDA, and which build of PyTorch on which GPU: compat.toml, asked."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass

from gpubook import files
from gpubook.machine.host import numbers


@dataclass(frozen=True)
class Cuda:
    """A major version of CUDA and the first driver branch for it."""

    major: int
    driver: int
    source: str


@dataclass(frozen=True)
class Generation:
    """GPUs from one compute capability on, with the driver branches that know them."""

    name: str
    capability: str
    open: str
    source: str
    first: int = 0
    last: int | None = None
    last_cuda: int | None = None

    def in_cuda(self, major: int) -> bool:
        """Whether the compiler and libraries of a CUDA still have code for this generation."""
        return self.last_cuda is None or major <= self.last_cuda


@dataclass(frozen=True)
class Wheel:
    """A build of PyTorch and the compute capabilities that it has machine code for."""

    torch: str
    cuda: str
    machine: str
    built_for: tuple[str, ...]
    source: str

    def runs_on(self, capability: str) -> bool:
        """Whether a GPU can run it: machine code serves its own major version, from its minor on
        (CUDA programming guide, binary compatibility)."""
        have = numbers(capability)
        return any(a[0] == have[0] and a[1] <= have[1] for a in map(numbers, self.built_for))


@dataclass(frozen=True)
class Table:
    """All rows of compat.toml."""

    cuda: tuple[Cuda, ...]
    generations: tuple[Generation, ...]
    wheels: tuple[Wheel, ...]


@functools.cache
def table() -> Table:
    """The table, read once."""
    rows = tomllib.loads(files.packaged("gpubook.doctor", "compat.toml"))
    return Table(
        tuple(Cuda(**row) for row in rows["cuda"]),
        tuple(Generation(**row) for row in rows["generation"]),
        tuple(Wheel(**row | {"built_for": tuple(row["built_for"])}) for row in rows["wheel"]),
    )


def driver_for(cuda: str) -> int | None:
    """The first driver branch for a CUDA version such as ``12.8``; ``None`` where not known."""
    major = numbers(cuda)[:1]
    return next((row.driver for row in table().cuda if (row.major,) == major), None)


def generation_of(capability: str) -> Generation | None:
    """The generation of a GPU by its compute capability; ``None`` for one before the table."""
    known = [row for row in table().generations if numbers(row.capability) <= numbers(capability)]
    return max(known, key=lambda row: numbers(row.capability), default=None)


def wheel_of(torch: str, cuda: str, machine: str) -> Wheel | None:
    """The row for an installed PyTorch, such as ``2.13.0``, ``13.0``, ``x86_64``; ``None`` where
    the table has none, as for releases before its first."""
    rows = [
        row
        for row in table().wheels
        if (row.cuda, row.machine) == (cuda, machine) and numbers(row.torch) <= numbers(torch)
    ]
    newest = max(rows, key=lambda row: numbers(row.torch), default=None)
    return newest if newest and newest.built_for else None


def wheels_for(capability: str, driver: str, machine: str, torch: str) -> list[Wheel]:
    """The builds of one PyTorch release that this GPU and this driver run, newest CUDA first."""
    return [
        wheel
        for wheel in offered(torch, machine)
        if wheel.runs_on(capability) and numbers(driver)[0] >= (driver_for(wheel.cuda) or 0)
    ]


def index_of(wheel: Wheel) -> str:
    """PyTorch's package index with this build: ``…/whl/cu130`` for CUDA 13.0."""
    return f"https://download.pytorch.org/whl/cu{wheel.cuda.replace('.', '')}"


@dataclass(frozen=True)
class Fit:
    """What an image asks of a card's host, and whether its PyTorch has code for the card.

    ``first`` and ``last``: the driver branches that serve both image and card; ``last`` is ``None``
    where no end is known. ``libraries``: whether CUDA's own have code for the card. ``code``:
    ``None`` without PyTorch. ``instead``: builds of the same release with code for the card,
    where this one has none.
    """

    generation: Generation
    first: int
    last: int | None
    libraries: bool
    code: bool | None = None
    instead: tuple[Wheel, ...] = ()

    @property
    def possible(self) -> bool:
        """Whether any driver serves both image and card, and CUDA has code for the card."""
        return self.libraries and (self.last is None or self.first <= self.last)

    def driver(self, branch: int) -> bool:
        """Whether a driver of this branch serves both."""
        return self.first <= branch and (self.last is None or branch <= self.last)


def fit(capability: str, cuda: str, *, wheel: Wheel | None = None, torch: str = "") -> Fit | None:
    """Whether an image with this CUDA, and maybe this build of this PyTorch, runs on a card.

    ``None`` for a card or a CUDA that the table does not know.
    """
    generation, driver = generation_of(capability), driver_for(cuda)
    if generation is None or driver is None:
        return None
    first = max(driver, generation.first)
    code = wheel.runs_on(capability) if wheel else None
    others = offered(torch, wheel.machine) if wheel and not code else ()
    instead = tuple(other for other in others if other.runs_on(capability))
    libraries = generation.in_cuda(numbers(cuda)[0])
    return Fit(generation, first, generation.last, libraries, code, instead)


def offered(torch: str, machine: str) -> tuple[Wheel, ...]:
    """The builds that the table has for a PyTorch release, newest CUDA first."""
    builds = {row.cuda for row in table().wheels}
    rows = [wheel_of(torch, cuda, machine) for cuda in sorted(builds, key=numbers, reverse=True)]
    return tuple(row for row in rows if row)


def releases() -> list[str]:
    """The PyTorch releases from the first to the last that a row of the table begins with."""
    minors = sorted(numbers(row.torch) for row in table().wheels)
    return [f"{minors[0][0]}.{minor}" for minor in range(minors[0][1], minors[-1][1] + 1)]
