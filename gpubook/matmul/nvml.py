"""What NVML says of the GPU: SMs and clocks for the peaks, samples while a product runs.

A card at its power limit lowers its clocks: that explains most of the gap to the printed peak.
"""

from __future__ import annotations

import statistics
import threading
from types import ModuleType, TracebackType
from typing import Any


def facts(index: int = 0) -> dict:
    """SMs, highest clocks (MHz), power limit (W) and L2 (bytes) of the GPU torch calls ``index``.

    NVML counts no SMs, so torch does.
    """
    import torch

    properties = torch.cuda.get_device_properties(index)
    nvml, handle = _handle(index)
    try:
        return {
            "name": nvml.nvmlDeviceGetName(handle),
            "sms": properties.multi_processor_count,
            "l2_bytes": properties.L2_cache_size,
            "memory_bytes": properties.total_memory,
            "highest_sm_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_SM),
            "highest_memory_mhz": nvml.nvmlDeviceGetMaxClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "power_limit_watts": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
        }
    finally:
        nvml.nvmlShutdown()


def _handle(index: int) -> tuple[ModuleType, Any]:
    """NVML, initialised, and its handle for torch's device, which CUDA_VISIBLE_DEVICES reorders."""
    import pynvml
    import torch

    pynvml.nvmlInit()
    uuid = f"GPU-{torch.cuda.get_device_properties(index).uuid}"
    return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)


class Watch:
    """Samples clock, power and temperature from a thread while a block runs.

    ``read`` returns one sample (a dict of numbers) and is replaced by tests. Where NVML does
    not tell (a slice of a card under MIG, say) there are no samples, and no error.
    """

    def __init__(self, read: Any = None, *, every: float = 0.02) -> None:
        self._read, self._every = read, every
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._nvml: ModuleType | None = None
        self._refusals: tuple[type[Exception], ...] = ()
        self.samples: list[dict[str, float]] = []

    def __enter__(self) -> Watch:
        if self._read is None:
            self._read = self._reader()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        return self

    def _reader(self) -> Any:
        import pynvml as nvml

        self._refusals = (nvml.NVMLError,)
        handle = None

        def read() -> dict[str, float]:
            nonlocal handle
            if handle is None:
                self._nvml, handle = _handle(0)
            return {
                "sm_mhz": nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
                "watts": nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
                "celsius": nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            }

        return read

    def _loop(self) -> None:
        while True:
            try:
                self.samples.append(self._read())
            except self._refusals:
                return
            if self._stop.wait(self._every):
                return

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()
        if self._nvml is not None:
            self._nvml.nvmlShutdown()

    def record(self) -> dict | None:
        """Median clock (MHz), highest power (W) and temperature (°C), number of samples."""
        if not self.samples:
            return None
        return {
            "sm_mhz": statistics.median(s["sm_mhz"] for s in self.samples),
            "watts": max(s["watts"] for s in self.samples),
            "celsius": max(s["celsius"] for s in self.samples),
            "samples": len(self.samples),
        }
