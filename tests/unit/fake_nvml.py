"""NVML's Python module for a machine with the GPUs that a test names; no power is reported."""

from types import SimpleNamespace


class NVMLError(Exception):
    """As pynvml's."""


def fake_nvml(*names: str, mig: str = "") -> SimpleNamespace:
    """GPUs in the order of the bus; the UUID of the one called a is GPU-a. ``mig`` is cut up."""

    def refuse(*_):
        raise NVMLError("Not Supported")

    def by_uuid(uuid):
        return names.index(uuid.removeprefix("GPU-"))

    return SimpleNamespace(
        NVMLError=NVMLError,
        NVML_ERROR_NOT_FOUND=6,
        NVML_TEMPERATURE_GPU=0,
        NVML_CLOCK_SM=1,
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.95.05",
        nvmlSystemGetCudaDriverVersion_v2=lambda: 13020,
        nvmlDeviceGetCount=lambda: len(names),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetHandleByUUID=by_uuid,
        nvmlDeviceGetName=lambda handle: names[handle],
        nvmlDeviceGetUUID=lambda handle: f"GPU-{names[handle]}",
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0),
        nvmlDeviceGetMigMode=lambda handle: (1, 1) if names[handle] == mig else refuse(),
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=90 + handle),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=3 * 2**30, total=80 * 2**30),
        nvmlDeviceGetPowerUsage=refuse,
        nvmlDeviceGetEnforcedPowerLimit=lambda handle: 700_000,
        nvmlDeviceGetTemperature=lambda handle, kind: 61,
        nvmlDeviceGetClockInfo=lambda handle, kind: 1980,
        nvmlDeviceGetPerformanceState=lambda handle: 0,
    )
