"""What can be read of a machine without changing it and without root, each within a time limit.

Every reader runs in a thread of its own: one that hangs (a dead network disk, a driver that does
not answer) is left behind, and its fact is `Unread` with the reason. Nothing here judges.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubook.engine import daemon_config
from gpubook.errors import BookError
from gpubook.machine import gpus, info
from gpubook.machine import host as hosts
from gpubook.machine.endpoint import sockets
from gpubook.machine.gpus import Driver, Gpu
from gpubook.machine.host import Host

NVIDIA = "0x10de"  # numbers of PCI vendors
AMD = "0x1002"
NOT_ASKED = "not asked"


@dataclass(frozen=True)
class Unread:
    """A fact that could not be read, and why."""

    why: str


class NotRead(Exception):
    """A check asked for a fact that could not be read: the check is left out."""


class Facts:
    """What the readers answered, by their names: ``facts.driver``. Raises NotRead for one that
    could not be read; `get` takes another value instead."""

    def __init__(self, host: Host, answers: Mapping[str, Any]) -> None:
        self.host, self.answers = host, answers

    def __getattr__(self, name: str) -> Any:
        if name not in READERS:
            raise AttributeError(name)
        if isinstance(self.answers[name], Unread):
            raise NotRead(name)
        return self.answers[name]

    def get(self, name: str, otherwise: Any) -> Any:
        """A fact, or ``otherwise`` where it could not be read."""
        answer = self.answers[name]
        return otherwise if isinstance(answer, Unread) else answer

    @property
    def engine_info(self) -> dict[str, Any]:
        """What the engine says of itself; empty where none answers."""
        return self.get("engine", {}).get("info") or {}

    @property
    def module(self) -> str:
        """The version of the loaded kernel module; empty for none."""
        return self.get("driver", {"module": ""})["module"]

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that NVML shows."""
        return self.get("nvml", Driver()).gpus

    @property
    def has_gpu(self) -> bool:
        """Whether anything speaks for an NVIDIA GPU: on the bus, its driver, its nodes."""
        nodes = self.get("nodes", {"nodes": {}})["nodes"].values()
        return bool(self.get("bus", []) or self.module or any(node["device"] for node in nodes))

    @property
    def toolkit_version(self) -> str:
        """The toolkit's version; empty where it is not known."""
        return self.get("toolkit", {"version": ""})["version"]


def _gpus_on_bus(host: Host, wanted: str = NVIDIA) -> list[str]:
    """PCI addresses of one vendor's display controllers and accelerators (classes 0x03…, 0x12…)."""
    addresses = []
    for device in sorted(host.path("/sys/bus/pci/devices").glob("*")):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if vendor == wanted and kind.startswith(("0x03", "0x12")):
            addresses.append(device.name)
    return addresses


_LIBRARY_FOLDERS = (
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/lib64",
    "/usr/lib",
    "/usr/lib/wsl/lib",
    "/usr/local/nvidia/lib64",
)


def _driver(host: Host) -> dict[str, Any]:
    text = host.read("/proc/driver/nvidia/version")
    version = re.search(r"^NVRM version: .*?\s(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    libraries = {}
    for name in ("libnvidia-ml.so", "libcuda.so"):
        paths = [p for f in _LIBRARY_FOLDERS for p in sorted(host.path(f).glob(f"{name}.*"))]
        libraries[name] = sorted({p.name.removeprefix(f"{name}.") for p in paths})
    boot = host.path("/sys/firmware/efi/efivars").glob("SecureBoot-8be4df61-*")
    others = (m for m in ("nouveau", "nova_core") if host.path(f"/sys/module/{m}").is_dir())
    return {
        "module": version[1] if version else "",
        "holder": next(others, ""),
        "open_module": "Open Kernel Module" in text,
        "libraries": libraries,
        "smi": host.which("nvidia-smi") or "",
        "secure_boot": next((p.read_bytes()[-1:] == b"\x01" for p in boot), None),
    }


def _nodes(host: Host) -> dict[str, Any]:
    nodes = {}
    for path in sorted([*host.path("/dev").glob("nvidia*"), *host.path("/dev").glob("dxg")]):
        if path.is_dir():
            continue
        status = path.stat()
        nodes["/dev/" + path.name] = {
            "device": stat.S_ISCHR(status.st_mode),
            "major": os.major(status.st_rdev),
            "minor": os.minor(status.st_rdev),
            "open": os.access(path, os.R_OK | os.W_OK),
        }
    majors = re.findall(r"^\s*(\d+) (nvidia\S*)$", host.read("/proc/devices"), re.MULTILINE)
    links = [
        path.name
        for path in host.path("/dev/char").glob("*")
        if path.is_symlink() and "nvidia" in str(path.readlink())
    ]
    return {
        "nodes": nodes,
        "majors": {name: int(number) for number, name in majors},
        "links": links,
    }


def _engine(host: Host) -> dict[str, Any]:
    """The engine that the docker command would use, and where that command is."""
    engine = {"info": {}, "error": "no Docker Engine answers", "kind": "", "source": ""}
    if host.real or "DOCKER_HOST" in host.env:
        engine = info.look(host.env, Path(host.env.get("HOME") or "/"))
    return engine | {"command": host.which("docker")}


def _daemon_json(host: Host) -> dict[str, Any]:
    path = None if host.real else host.path("/etc/docker/daemon.json")
    try:
        return daemon_config(path) | {"error": ""}
    except BookError as error:
        return {"path": "/etc/docker/daemon.json", "exists": True, "config": {}, "why": ""} | {
            "error": str(error)
        }


def _refresh(host: Host) -> dict[str, str]:
    """The states of the service that renews the CDI specification, where systemd runs."""
    command = host.which("systemctl")
    if not command or not host.path("/run/systemd/system").is_dir():
        return {}
    units = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")
    states = host.run(command, "is-enabled", *units)[1].split("\n")
    return dict(zip(units, (state.strip() for state in states), strict=False))


def _user(host: Host) -> dict[str, Any]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "uid": os.getuid(),
        "home": host.env.get("HOME", ""),
        "home_writable": os.access(host.env.get("HOME") or "/", os.W_OK),
        "nofile": [soft, hard],
    }


def _torch(host: Host) -> dict[str, str]:
    """The torch of this Python, read from its files: importing it takes seconds."""
    version, spec = hosts.package("torch"), importlib.util.find_spec("torch")
    if version is None:
        return {}
    cuda = ""
    if spec and spec.origin:
        text = (Path(spec.origin).parent / "version.py").read_text(encoding="utf-8")
        match = re.search(r"^cuda\b[^=\n]*= *'([\d.]+)'", text, re.MULTILINE)
        cuda = match[1] if match else ""
    return {"version": version, "cuda": cuda}


def _amd(host: Host) -> dict[str, Any]:
    """AMD's GPUs on the bus, and ROCm's nodes with whether this user may open them."""
    paths = [host.path("/dev/kfd"), *sorted(host.path("/dev/dri").glob("renderD*"))]
    return {
        "bus": _gpus_on_bus(host, AMD),
        "nodes": {
            f"/{p.relative_to(host.root)}": os.access(p, os.R_OK | os.W_OK)
            for p in paths
            if p.exists()
        },
    }


def _engines(host: Host) -> list[str]:
    """The engines that could answer here, by what installed them."""
    return [name for name, path in sockets(host.env).items() if host.path(path).exists()]


READERS: dict[str, Callable[[Host], Any]] = {
    "system": hosts.system,
    "bus": _gpus_on_bus,
    "driver": _driver,
    "nodes": _nodes,
    "nvml": lambda host: gpus.read() if host.real else Driver(error=NOT_ASKED),
    "engine": _engine,
    "daemon_json": _daemon_json,
    "toolkit": hosts.toolkit,
    "refresh": _refresh,
    "space": hosts.space,
    "user": _user,
    "torch": _torch,
    "amd": _amd,
    "engines": _engines,
    "mountinfo": lambda host: host.read("/proc/self/mountinfo"),
}


def collect(host: Host, readers: Mapping[str, Callable[[Host], Any]] = READERS) -> dict[str, Any]:
    """Every reader's fact, or `Unread`. Takes no longer than the host's limit, and never fails."""
    answers: dict[str, Any] = {}

    def read(name: str, reader: Callable[[Host], Any]) -> None:
        try:
            answer = reader(host)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            answer = Unread(f"{type(error).__name__}: {error}"[:300])
        answers.setdefault(name, answer)

    end = time.monotonic() + host.limit
    # A daemon thread does not keep the process alive when it hangs.
    threads = {
        name: threading.Thread(target=read, args=one, daemon=True)
        for name, one in zip(readers, readers.items(), strict=True)
    }
    for thread in threads.values():
        thread.start()
    for name, thread in threads.items():
        thread.join(max(0.0, end - time.monotonic()))
        answers.setdefault(name, Unread(f"no answer within {host.limit:g} s"))
    return {name: answers[name] for name in readers}
