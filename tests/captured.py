"""The captured containers of the H100 host, read as the library reads one that runs here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from gpubook import files, injection
from gpubook.injection.classify import Item
from gpubook.injection.observation import Observation
from tests.conftest import ROOT

CAPTURES = ROOT / "recordings/h100/captures"
# What each container got, by class, and by which path.
CDI_COUNTS = {
    "gpu-node": 1,
    "control-node": 3,
    "driver-library": 26,
    "driver-binary": 5,
    "firmware": 2,
    "graphics-config": 2,
    "procfs": 1,
    "hook-workspace": 1,
    "environment": 2,
    "hook": 6,
}
COUNTS = {
    "no-gpu": {},
    "engine-cdi": CDI_COUNTS,
    "jit-cdi": CDI_COUNTS,
    "legacy": {
        "gpu-node": 1,
        "control-node": 3,
        "driver-library": 10,
        "driver-binary": 5,
        "procfs": 2,
        "environment": 1,
        "hook": 1,
    },
}
PATHS = {"no-gpu": "none", "engine-cdi": "engine-cdi", "jit-cdi": "jit-cdi", "legacy": "legacy"}

KERNELS: list[dict] = files.read_json(ROOT / "tests/fixtures/kernels.json")
"""Kernels that profiles published by others show: the GPU's ``generation``, the product's format
(``kind``), the ``unit`` that those who profiled it name, and the ``kernel``'s name."""


def observation(folder: str) -> Observation:
    """One container of ``recordings/h100/captures``, such as ``legacy``."""
    texts = [files.read_text(CAPTURES / folder / n) for n in ("mountinfo", "dev.txt", "env.txt")]
    inspect, oci = (
        files.read_json(CAPTURES / folder / f"{n}.json") for n in ("inspect", "oci-config")
    )
    return injection.observe(*texts, inspect=inspect, oci=oci)


def injected(items: Iterable[Item]) -> list[Item]:
    """What the GPU path put there, unknown things included: they are not to be overlooked."""
    return [i for i in items if i.origin in ("injected", "unknown")]


def unknown(items: Iterable[Item]) -> set[str]:
    """What no table of the library explains."""
    return {i.target for i in items if i.origin == "unknown"}


def counts(items: Iterable[Item]) -> dict[str, int]:
    """Number of injected items by class."""
    return dict(Counter(i.class_id for i in injected(items)))
