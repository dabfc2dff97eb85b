"""What this machine has: processor, memory, Docker Engine, GPU, driver, toolkit.

Probed once a process and used by the notebooks, the commands and the tests. A probe never
fails: what cannot be read is ``None`` or a capability that is not available, with the reason.
"""

from __future__ import annotations

import functools
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

from gpubook.errors import MissingCapability, UsageError

CAPABILITIES = ("docker", "host", "root", "gpu", "toolkit", "slurm")
"""What a measurement can need: a Docker Engine and its client; that engine's processes in this
machine's process table; the rights of root; an NVIDIA GPU that this Python can compute on; the
NVIDIA Container Toolkit's command ``nvidia-ctk``; a Slurm controller that answers ``sinfo``."""

_PROBE_SECONDS = 5


@dataclass(frozen=True)
class Capability:
    """Whether something can be measured here, and how we know."""

    available: bool
    why: str


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU as NVML describes it. Memory in bytes."""

    name: str
    memory_bytes: int
    driver: str
    compute_capability: str


@dataclass(frozen=True)
class Machine:
    """One machine. Memory in bytes; ``software`` maps a name to its version or ``None``."""

    cpu: str
    cores: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    os: str
    kernel: str
    container: bool
    software: dict[str, str | None] = field(hash=False)
    capabilities: dict[str, Capability] = field(hash=False)

    def missing(self, needs: Iterable[str]) -> dict[str, str]:
        """The capabilities of ``needs`` that this machine lacks, each with the reason."""
        return {n: self.capabilities[n].why for n in needs if not self.capabilities[n].available}

    def describe(self) -> dict:
        """The machine as an evidence's provenance has it (JSON-able)."""
        keys = ("cpu", "cores", "memory_bytes", "os", "kernel", "container")
        return {k: getattr(self, k) for k in keys} | {"gpus": [asdict(g) for g in self.gpus]}

    def fingerprint(self) -> dict:
        """All that a result may depend on: the machine, its software and what it can do."""
        return self.describe() | {
            "software": self.software,
            "capabilities": {k: c.available for k, c in self.capabilities.items()},
        }


def parse_needs(text: str | Iterable[str]) -> frozenset[str]:
    """Read ``"docker,gpu"`` (commas or spaces) into a set of capability names.

    Raises UsageError for a name that is not a capability.
    """
    words = re.split(r"[,\s]+", text.strip()) if isinstance(text, str) else list(text)
    names = frozenset(w for w in words if w)
    unknown = sorted(names - set(CAPABILITIES))
    if unknown:
        raise UsageError(
            f"unknown capability {', '.join(unknown)}: choose from {', '.join(CAPABILITIES)}"
        )
    return names


def required(parameter: str = "") -> frozenset[str]:
    """What must be live: the union of the parameter and the environment variable REQUIRE."""
    return parse_needs(parameter) | parse_needs(os.environ.get("REQUIRE", ""))


def check(require: Iterable[str], machine: Machine | None = None) -> None:
    """Raise MissingCapability, naming everything missing, unless all of ``require`` is here."""
    missing = (machine or probe()).missing(sorted(require))
    if missing:
        reasons = "; ".join(f"{name}: {why}" for name, why in missing.items())
        raise MissingCapability(f"required here but missing: {reasons}")


@functools.cache
def probe() -> Machine:
    """Look at this machine. The answer is kept for the life of the process."""
    gpus, cuda, gpu = _gpus()
    docker_version, docker = _docker()
    toolkit_version, toolkit = _toolkit()
    slurm_version, slurm = _slurm()
    software = {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "numpy": _version("numpy"),
        "gpubook": _version("gpubook"),
        "docker": docker_version,
        "toolkit": toolkit_version,
        "slurm": slurm_version,
        "driver": gpus[0].driver if gpus else None,
        "cuda": cuda,
    }
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory_bytes=_memory(),
        gpus=gpus,
        os=_os_name(),
        kernel=platform.release(),
        container=_in_container(),
        software=software,
        capabilities={
            "docker": docker,
            "host": _host(docker),
            "root": _root(),
            "gpu": gpu,
            "toolkit": toolkit,
            "slurm": slurm,
        },
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _cpu() -> str:
    match = re.search(r"^model name\s*:\s*(.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def _cores() -> int:
    """Cores this process may use, which taskset and cgroups' cpusets can make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory() -> int:
    """Memory in bytes: the machine's, or the container's limit where that is lower."""
    import psutil

    total = psutil.virtual_memory().total
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = _read(path).strip()
        if text.isdigit():
            total = min(total, int(text))
    return total


def _os_name() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.MULTILINE)
    return match[1] if match else platform.system()


def _in_container() -> bool:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    return bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def _gpus() -> tuple[tuple[Gpu, ...], str | None, Capability]:
    """The GPUs by NVML, the driver's CUDA version, and whether torch can compute on them."""
    try:
        import pynvml
    except ImportError:
        return (), None, Capability(False, "the package nvidia-ml-py is not installed")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), None, Capability(False, f"no NVIDIA driver answers ({error})")
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        raw = pynvml.nvmlSystemGetCudaDriverVersion_v2()
        gpus = tuple(_gpu(pynvml, i, driver) for i in range(pynvml.nvmlDeviceGetCount()))
    except pynvml.NVMLError as error:
        return (), None, Capability(False, f"the NVIDIA driver does not describe its GPUs: {error}")
    finally:
        pynvml.nvmlShutdown()
    cuda = f"{raw // 1000}.{raw % 1000 // 10}"
    if not gpus:
        return gpus, cuda, Capability(False, f"driver {driver} shows no GPU")
    torch = _version("torch")
    if torch is None or torch.endswith("+cpu"):
        found = "no torch" if torch is None else f"torch {torch}"
        return gpus, cuda, Capability(False, f"{gpus[0].name} is here, but {found} has no CUDA")
    return gpus, cuda, Capability(True, f"{len(gpus)} × {gpus[0].name}, driver {driver}")


def _gpu(pynvml, index: int, driver: str) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=pynvml.nvmlDeviceGetName(handle),
        memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
        driver=driver,
        compute_capability=f"{major}.{minor}",
    )


def docker_endpoint() -> str:
    """Where the docker command would look for the engine: DOCKER_HOST, the context, the socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    from docker.context import ContextAPI
    from docker.errors import DockerException

    try:
        context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
        host = context.Host if context else None
    except (DockerException, OSError, ValueError, KeyError):
        host = None
    return (host or "unix:///var/run/docker.sock").replace("http+unix://", "unix://")


def _docker() -> tuple[str | None, Capability]:
    """The engine's version, and whether both engine and client can be used."""
    import docker
    from docker.errors import DockerException

    endpoint = docker_endpoint()
    try:
        client = docker.DockerClient(base_url=endpoint, timeout=_PROBE_SECONDS)
        try:
            version = client.version()["Version"]
        finally:
            client.close()
    except (DockerException, OSError, ValueError, KeyError) as error:
        reason = "permission denied" if "Permission denied" in str(error) else "no answer"
        return None, Capability(False, f"no Docker Engine at {endpoint} ({reason})")
    if not shutil.which("docker"):
        return version, Capability(False, "an engine answers, but there is no docker command")
    return version, Capability(True, f"Docker Engine {version} at {endpoint}")


def _host(docker: Capability) -> Capability:
    """Whether the engine's processes are among this machine's."""
    if not docker.available:
        return Capability(False, docker.why)
    names = (_read(str(path)) for path in Path("/proc").glob("[0-9]*/comm"))
    if any(name.strip() == "dockerd" for name in names):
        return Capability(True, "dockerd is in this machine's process table")
    return Capability(
        False,
        "dockerd is not in this machine's process table: the engine runs elsewhere (Docker "
        "Desktop's virtual machine, say), or this is a container without --pid=host",
    )


def _root() -> Capability:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Capability(True, "running as root")
    return Capability(False, "running as an ordinary user")


def _toolkit() -> tuple[str | None, Capability]:
    command = shutil.which("nvidia-ctk")
    if command is None:
        return None, Capability(False, "no nvidia-ctk command (NVIDIA Container Toolkit)")
    try:
        text = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=_PROBE_SECONDS
        ).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, Capability(False, f"nvidia-ctk does not answer: {error}")
    match = re.search(r"version\s+v?(\d\S*)", text)
    version = match[1] if match else None
    return version, Capability(True, f"NVIDIA Container Toolkit {version or 'of unknown version'}")


def _slurm() -> tuple[str | None, Capability]:
    """Slurm's version, and whether its controller answers."""
    command = shutil.which("sinfo")
    if command is None:
        return None, Capability(False, "no sinfo command (Slurm)")
    try:
        version, nodes = (
            subprocess.run(
                [command, *options], capture_output=True, text=True, timeout=_PROBE_SECONDS
            )
            for options in (["--version"], ["--noheader", "--format=%D"])
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, Capability(False, f"sinfo does not answer: {error}")
    number = version.stdout.strip().rpartition(" ")[2] or None
    if nodes.returncode:
        reason = (nodes.stderr.strip().splitlines() or ["no answer"])[-1]
        return number, Capability(False, f"no Slurm controller answers ({reason})")
    count = sum(map(int, nodes.stdout.split()))
    return number, Capability(True, f"Slurm {number}, {count} nodes")
