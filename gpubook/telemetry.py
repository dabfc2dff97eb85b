"""What the machine does while a program runs: sampled in a thread, drawn under the loss.

On a GPU the driver answers through NVML, the library behind ``nvidia-smi``; elsewhere the
processor and memory are read through psutil. Sampling some times a second costs next to nothing.
The products, the training and the book's own runs may import it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from gpubook.machine import gpus

_DRAWN = {
    "gpu_percent": "GPU utilisation (%)",
    "power_watts": "power (W)",
    "temperature_celsius": "temperature (°C)",
    "process_percent": "this process (% of one core)",
    "memory_bytes": "this process's memory (GiB)",
}
GIB = 2**30


class Sampler:
    """Samples the machine from ``with`` to its end.

    ``samples`` is a list of dictionaries: ``seconds`` since the start, then what was read, the unit
    in each key. Percentages are means since the previous sample; on several cores
    ``process_percent`` can pass 100. A GPU that does not report a value gets ``None``.
    """

    def __init__(self, *, interval: float | None = None, gpu: int | None = None) -> None:
        """``interval`` in seconds; ``gpu`` is CUDA's number of the GPU, the same as torch's; None
        for the processor only.

        By default a GPU is asked ten times a second, which is as often as the driver renews its
        utilisation, and a processor twice.
        """
        self.interval = interval or (0.5 if gpu is None else 0.1)
        self.gpu = gpu
        self.samples: list[dict[str, Any]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="telemetry")

    def __enter__(self) -> Sampler:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Sampler:
        """Begin to sample, where no ``with`` can stand: in one cell of a page."""
        import psutil

        self._process = psutil.Process()
        psutil.cpu_percent()  # the first reading has nothing to compare with
        self._process.cpu_percent()
        self._nvml = _Nvml(self.gpu) if self.gpu is not None else None
        self._start = time.perf_counter()
        self._thread.start()
        return self

    def stop(self) -> list[dict[str, Any]]:
        """Stop sampling; the samples."""
        self._over.set()
        self._thread.join()
        self.samples.append(self._sample())  # so that a short run has a sample, too
        if self._nvml:
            self._nvml.close()
        return self.samples

    def _watch(self) -> None:
        while not self._over.wait(self.interval):
            self.samples.append(self._sample())

    def _sample(self) -> dict[str, Any]:
        import psutil

        sample: dict[str, Any] = {
            "seconds": time.perf_counter() - self._start,
            "cpu_percent": psutil.cpu_percent(),
            "process_percent": self._process.cpu_percent(),
            "memory_bytes": self._process.memory_info().rss,
        }
        return sample | (self._nvml.read() if self._nvml else {})


class _Nvml:
    """What NVML says of one GPU; None for what it, its slice or this container does not report."""

    def __init__(self, index: int) -> None:
        import pynvml

        self._refusal = pynvml.NVMLError
        self._stack = ExitStack()
        self._nvml = self._ask(lambda: self._stack.enter_context(gpus.opened()))
        self._handle = self._ask(lambda: gpus.handle(self._nvml, index)) if self._nvml else None

    def read(self) -> dict[str, float | None]:
        nvml, handle = self._nvml, self._handle
        values = {
            "gpu_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "gpu_memory_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
            "power_watts": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "power_limit_watts": lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000,
            "temperature_celsius": lambda: nvml.nvmlDeviceGetTemperature(
                handle, nvml.NVML_TEMPERATURE_GPU
            ),
            "performance_state": lambda: nvml.nvmlDeviceGetPerformanceState(handle),
            "gpu_memory_total_bytes": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).total,
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
        }
        if handle is None:
            return dict.fromkeys(values)
        return {name: self._ask(question) for name, question in values.items()}

    def _ask(self, question: Callable[[], Any]) -> Any:
        try:
            return question()
        except self._refusal:
            return None

    def close(self) -> None:
        self._stack.close()


def busiest(samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The moment of highest GPU utilisation, with the fields that ``nvidia-smi`` prints.

    Raises ValueError when no sample has a GPU's utilisation.
    """
    on_gpu = [s for s in samples if s.get("gpu_percent") is not None]
    if not on_gpu:
        raise ValueError("these samples have no GPU in them")
    best = max(on_gpu, key=lambda s: s["gpu_percent"])
    keys = (
        "gpu_percent",
        "gpu_memory_bytes",
        "gpu_memory_total_bytes",
        "power_watts",
        "power_limit_watts",
        "temperature_celsius",
        "performance_state",
    )
    return {key: best.get(key) for key in keys}


def draw(losses: Sequence[Sequence[float]], samples: Sequence[Mapping[str, Any]]) -> Any:
    """The loss, and under it the machine: a matplotlib Figure.

    ``losses`` are (seconds, loss) pairs, in seconds of training steps alone. The machine is
    drawn over all seconds, so these two axes differ by loading and scoring: GPU utilisation, power
    and temperature, or without a GPU the processor and memory.
    """
    from matplotlib import pyplot

    on_gpu = any(s.get("gpu_percent") is not None for s in samples)
    gpu = ("gpu_percent", "power_watts", "temperature_celsius")
    keys = gpu if on_gpu else ("process_percent", "memory_bytes")
    figure, axes = pyplot.subplots(
        1 + len(keys), 1, figsize=(7, 2.2 + 1.05 * len(keys)), layout="constrained"
    )
    blue, green, orange = "#1f77b4", "#2a9d4a", "#d1701e"
    axes[0].plot(*zip(*losses, strict=True), color=blue, linewidth=0.6, alpha=0.5)
    axes[0].plot(*zip(*_smooth(losses), strict=True), color=blue, linewidth=1.6)
    axes[0].set_yscale("log")
    axes[0].set_ylabel("loss")
    axes[0].set_xlabel("seconds of training steps")
    for axis, key, colour in zip(axes[1:], keys, (green, orange, blue), strict=False):
        points = [(s["seconds"], s[key]) for s in samples if s.get(key) is not None]
        scale = GIB if key.endswith("_bytes") else 1
        axis.plot([t for t, _ in points], [v / scale for _, v in points], color=colour)
        axis.set_ylim(bottom=0)
        if axis is not axes[-1]:
            axis.sharex(axes[-1])
            axis.tick_params(labelbottom=False)
        axis.set_ylabel(_DRAWN[key].replace(" (", "\n("), fontsize="small")
    axes[-1].set_xlabel("seconds since the start, loading and scoring included")
    return figure


def _smooth(pairs: Sequence[Sequence[float]], window: int = 15) -> list[tuple[float, float]]:
    """Running mean of the last ``window`` values."""
    out = []
    for i, (seconds, _) in enumerate(pairs):
        recent = [loss for _, loss in pairs[max(0, i - window + 1) : i + 1]]
        out.append((seconds, sum(recent) / len(recent)))
    return out
