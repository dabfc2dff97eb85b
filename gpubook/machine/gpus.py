"""NVIDIA GPUs as NVML describes them, and as CUDA numbers them.

NVML, the library behind ``nvidia-smi``, lists every GPU in the order of the bus; a program sees
those of CUDA_VISIBLE_DEVICES, in its order. A GPU's UUID is the same for both.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Gpu:
    """One GPU. Memory in bytes; ``mig``: it is cut into slices."""

    name: str
    memory_bytes: int
    driver: str
    compute_capability: str
    uuid: str = ""
    mig: bool = False


@dataclass(frozen=True)
class Driver:
    """What NVML answers: the driver's version and its CUDA, and all GPUs in the order of the bus.
    Where it does not answer, ``error`` says why."""

    version: str = ""
    cuda: str = ""
    gpus: tuple[Gpu, ...] = ()
    error: str = ""


@contextmanager
def opened() -> Iterator[ModuleType]:
    """NVML, initialised for this block. Raises ``pynvml.NVMLError`` where no driver answers."""
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def read() -> Driver:
    """Ask NVML; never fails."""
    try:
        from pynvml import NVMLError
    except ImportError:
        return Driver(error="the package nvidia-ml-py is not installed")
    try:
        with opened() as nvml:
            version = nvml.nvmlSystemGetDriverVersion()
            cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
            indices = range(nvml.nvmlDeviceGetCount())
            gpus = tuple(_gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(i), version) for i in indices)
    except NVMLError as error:
        return Driver(error=str(error))
    return Driver(version, f"{cuda // 1000}.{cuda % 1000 // 10}", gpus)


def _gpu(nvml: ModuleType, handle: Any, driver: str) -> Gpu:
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    try:
        mig = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
    except nvml.NVMLError:  # this GPU cannot be cut
        mig = False
    return Gpu(
        name=nvml.nvmlDeviceGetName(handle),
        memory_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).total,
        driver=driver,
        compute_capability=f"{major}.{minor}",
        uuid=nvml.nvmlDeviceGetUUID(handle),
        mig=mig,
    )


def visible(gpus: Sequence[Gpu], env: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """The GPUs that a CUDA program sees, in its order.

    CUDA_VISIBLE_DEVICES holds numbers, beginnings of UUIDs, or slices; what follows an entry that
    names none is not seen (CUDA programming guide, environment variables). Numbers count along
    the bus, which is CUDA's order wherever all GPUs are alike.
    """
    chosen = env.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return tuple(gpus)
    shown: list[Gpu] = []
    for word in chosen.split(","):
        gpu = _named(word.strip(), gpus)
        if gpu is None:
            break
        shown.append(gpu)
    return tuple(shown)


def _named(word: str, gpus: Sequence[Gpu]) -> Gpu | None:
    if word.isdecimal():
        return gpus[int(word)] if int(word) < len(gpus) else None
    if word.startswith("MIG-"):  # the slice's UUID does not tell its GPU
        return next((gpu for gpu in gpus if gpu.mig), None)
    matches = [gpu for gpu in gpus if word.startswith("GPU-") and gpu.uuid.startswith(word)]
    return matches[0] if len(matches) == 1 else None


def handle(nvml: ModuleType, index: int) -> Any:
    """NVML's handle of the GPU that CUDA calls ``index``. Raises ``NVMLError`` for none."""
    return nvml.nvmlDeviceGetHandleByUUID(_uuid(nvml, index))


def _uuid(nvml: ModuleType, index: int) -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():  # asking it sooner would take GPU memory
        return f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    gpus = visible(read().gpus)
    if index >= len(gpus):
        raise nvml.NVMLError(nvml.NVML_ERROR_NOT_FOUND)
    return gpus[index].uuid
