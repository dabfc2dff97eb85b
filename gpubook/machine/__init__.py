"""This machine, asked in one place: Docker Engine, GPUs, driver, toolkit, Slurm, disk.

`host` is where to look and what files and programs tell; `endpoint` is the engine's address and
why it cannot be reached; `info` is what the engine says of itself; `gpus` is what NVML says, in
CUDA's order. Here it is put together: probed once a process, used by the notebooks, the commands
and the tests. A probe never fails: what cannot be read is ``None`` or a capability that is not
available, with the reason. All rooms but errors and files may import this one.
"""

from __future__ import annotations

import functools
import os
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from gpubook.errors import MissingCapability, UsageError
from gpubook.machine import gpus, info
from gpubook.machine import host as hosts
from gpubook.machine.gpus import Gpu
from gpubook.machine.host import Host

CAPABILITIES = ("docker", "image", "host", "root", "gpu", "toolkit", "slurm")
"""What a measurement can need: a Docker Engine and its client; the book's image on that engine; the
engine's processes in this machine's process table; the rights of root; an NVIDIA GPU that this
Python can compute on; the NVIDIA Container Toolkit's command ``nvidia-ctk``; a Slurm controller
that answers ``sinfo``."""

IMAGE = "gpu-plus-container:cuda"
"""The book's image for GPUs, as `make image` calls it."""

_PROBE_SECONDS = 5


@dataclass(frozen=True)
class Capability:
    """Whether something can be measured here, and how we know."""

    available: bool
    why: str


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
        return {k: getattr(self, k) for k in keys} | {"gpus": [_described(g) for g in self.gpus]}

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


def _described(gpu: Gpu) -> dict:
    # A recording is published: a UUID would tell one card from all others.
    keys = ("name", "memory_bytes", "driver", "compute_capability")
    return {key: getattr(gpu, key) for key in keys}


class _Quiet(Host):
    """This machine, where a file that may not be read says as little as a missing one."""

    def read(self, absolute: str) -> str:
        try:
            return super().read(absolute)
        except OSError:
            return ""


@functools.cache
def probe() -> Machine:
    """Look at this machine. The answer is kept for the life of the process."""
    host = _Quiet(limit=_PROBE_SECONDS)
    system = hosts.system(host)
    driver = gpus.read()
    visible = gpus.visible(driver.gpus)
    engine = info.look(host.env)
    docker = _docker(host, engine)
    toolkit_version, toolkit = _toolkit(host, engine)
    slurm_version, slurm = _slurm(host)
    packages = ("torch", "transformers", "numpy", "gpubook")
    return Machine(
        cpu=hosts.cpu(host),
        cores=hosts.cores(),
        memory_bytes=hosts.memory(host),
        gpus=visible,
        os=system["name"],
        kernel=system["kernel"],
        container=system["container"],
        software={
            "python": platform.python_version(),
            **{name: hosts.package(name) for name in packages},
            "docker": engine["info"].get("server"),
            "toolkit": toolkit_version,
            "slurm": slurm_version,
            "driver": driver.version or None,
            "cuda": driver.cuda or None,
        },
        capabilities={
            "docker": docker,
            "image": _image(host, docker),
            "host": _host(docker, engine),
            "root": _root(),
            "gpu": _gpu(driver, visible),
            "toolkit": toolkit,
            "slurm": slurm,
        },
    )


def _gpu(driver: gpus.Driver, visible: tuple[Gpu, ...]) -> Capability:
    """Whether torch can compute on a GPU."""
    if driver.error:
        return Capability(False, f"no NVIDIA driver answers ({driver.error})")
    if not driver.gpus:
        return Capability(False, f"driver {driver.version} shows no GPU")
    if not visible:
        return Capability(False, f"CUDA_VISIBLE_DEVICES hides {driver.gpus[0].name}")
    name = visible[0].name
    torch = hosts.package("torch")
    if torch is None or torch.endswith("+cpu"):
        build = "no torch" if torch is None else f"torch {torch}"
        return Capability(False, f"{name} is here, but {build} has no CUDA")
    return Capability(True, f"{len(visible)} × {name}, driver {driver.version}")


def _docker(host: Host, engine: dict) -> Capability:
    """Whether both engine and client can be used."""
    if engine["error"]:
        reason = "permission denied" if engine["kind"] == "SocketDenied" else "no answer"
        at = f"no Docker Engine at {engine['host']} ({reason})"
        return Capability(False, at if engine["host"] else engine["error"])
    if not host.which("docker"):
        return Capability(False, "an engine answers, but there is no docker command")
    return Capability(True, f"Docker Engine {engine['info']['server']} at {engine['host']}")


def _image(host: Host, docker: Capability) -> Capability:
    """Whether the engine has the book's image."""
    if not docker.available:
        return Capability(False, docker.why)
    try:
        code, answer = host.run("docker", "image", "inspect", "--format={{.Id}}", IMAGE)
    except OSError as error:
        return Capability(False, f"docker image inspect does not answer: {error}")
    if code:
        return Capability(False, f"no image {IMAGE} on the engine: `make image` builds it")
    return Capability(True, f"{IMAGE}, {answer.strip()[7:19]}")


def _host(docker: Capability, engine: dict) -> Capability:
    """Whether the engine's processes are among this machine's."""
    import psutil

    if not docker.available:
        return Capability(False, docker.why)
    names = (process.info["name"] for process in psutil.process_iter(["name"]))
    if not engine["elsewhere"] and "dockerd" in names:
        return Capability(True, "dockerd is in this machine's process table")
    return Capability(
        False,
        "the engine's dockerd is not in this machine's process table: it runs elsewhere (another "
        "host, or Docker Desktop's virtual machine), or this is a container without --pid=host",
    )


def _root() -> Capability:
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Capability(True, "running as root")
    return Capability(False, "running as an ordinary user")


def _toolkit(host: Host, engine: dict) -> tuple[str | None, Capability]:
    """The toolkit that serves the engine: an nvidia-ctk beside another host's engine does not."""
    if engine["elsewhere"]:
        has = engine["info"] and info.has_toolkit(engine["info"])
        offer = "has NVIDIA's toolkit" if has else "names no NVIDIA runtime"
        why = f"the engine at {engine['host']} {offer}; nvidia-ctk has to be asked on that host"
        return None, Capability(False, why)
    try:
        toolkit = hosts.toolkit(host)
    except OSError as error:
        return None, Capability(False, f"nvidia-ctk does not answer: {error}")
    if toolkit["programs"]["nvidia-ctk"] is None:
        return None, Capability(False, "no nvidia-ctk command (NVIDIA Container Toolkit)")
    version = toolkit["version"]
    why = f"NVIDIA Container Toolkit {version or 'of unknown version'}"
    return version or None, Capability(True, why)


def _slurm(host: Host) -> tuple[str | None, Capability]:
    """Slurm's version, and whether its controller answers."""
    command = host.which("sinfo")
    if command is None:
        return None, Capability(False, "no sinfo command (Slurm)")
    try:
        version = host.run(command, "--version")[1].strip().rpartition(" ")[2] or None
        code, nodes = host.run(command, "--noheader", "--format=%D")
    except OSError as error:
        return None, Capability(False, f"sinfo does not answer: {error}")
    if code:
        reason = (nodes.strip().splitlines() or ["no answer"])[-1]
        return version, Capability(False, f"no Slurm controller answers ({reason})")
    return version, Capability(True, f"Slurm {version}, {sum(map(int, nodes.split()))} nodes")
