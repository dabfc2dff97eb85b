"""What can be read of a machine without changing it and without root, each within a time limit.

Every reader runs in a thread of its own: one that hangs (a dead network disk, a driver that does
not answer) is left behind, and its fact is `Unread` with the reason. Nothing here judges.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpubook.errors import BookError

LIMIT_SECONDS = 2.0
"""The longest that all readers together may take."""

NVIDIA = "0x10de"  # numbers of PCI vendors
AMD = "0x1002"


@dataclass(frozen=True)
class Unread:
    """A fact that could not be read, and why."""

    why: str


@dataclass(frozen=True)
class Host:
    """Where to read: the real machine, or in tests a tree of files in its place."""

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    limit: float = LIMIT_SECONDS

    def path(self, absolute: str) -> Path:
        """The place of an absolute path."""
        return self.root / absolute.lstrip("/")

    def read(self, absolute: str) -> str:
        """A file's text, empty when it is not there."""
        try:
            return self.path(absolute).read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    def which(self, program: str) -> str | None:
        """Where a program is on this user's path or in the folders of administration."""
        folders = [*self.env.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin"]
        at = os.pathsep.join(str(self.path(f)) for f in folders if f.startswith("/"))
        return shutil.which(program, path=at)

    def run(self, *command: str) -> str:
        """What a command prints, both streams together. OSError when it cannot be run in time."""
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(self.env),
                timeout=self.limit * 0.8,
            )
        except subprocess.TimeoutExpired:
            raise OSError(f"`{' '.join(command)}` gave no answer in time") from None
        return done.stdout.decode("utf-8", errors="replace")


def _system(host: Host) -> dict[str, Any]:
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', host.read("/etc/os-release"), re.MULTILINE)
    kernel = host.read("/proc/sys/kernel/osrelease").strip() or platform.release()
    marks = ("/.dockerenv", "/run/.containerenv")
    inside = any(host.path(mark).exists() for mark in marks)
    inside = inside or bool(host.env.get("KUBERNETES_SERVICE_HOST"))
    return {
        "name": name[1] if name else platform.system(),
        "kernel": kernel,
        "machine": platform.machine(),
        "container": inside,
        "wsl": "microsoft" in kernel.lower() or host.path("/dev/dxg").exists(),
    }


def _gpus_on_bus(host: Host, wanted: str = NVIDIA) -> list[str]:
    """PCI addresses of one vendor's display controllers and accelerators (classes 0x03…, 0x12…)."""
    found = []
    for device in sorted(host.path("/sys/bus/pci/devices").glob("*")):
        try:
            vendor = (device / "vendor").read_text(encoding="ascii").strip()
            kind = (device / "class").read_text(encoding="ascii").strip()
        except OSError:
            continue
        if vendor == wanted and kind.startswith(("0x03", "0x12")):
            found.append(device.name)
    return found


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
    return {
        "module": version[1] if version else "",
        "holder": next(
            (m for m in ("nouveau", "nova_core") if host.path(f"/sys/module/{m}").is_dir()), ""
        ),
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
        seen = path.stat()
        nodes["/dev/" + path.name] = {
            "device": stat.S_ISCHR(seen.st_mode),
            "major": os.major(seen.st_rdev),
            "minor": os.minor(seen.st_rdev),
            "mode": stat.S_IMODE(seen.st_mode),
            "gid": seen.st_gid,
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


def _nvml(host: Host) -> dict[str, Any]:
    """What NVML says of the GPUs. Only of the real machine: a tree of files has no driver."""
    if host.root != Path("/"):
        return {"error": "not asked", "gpus": []}
    import pynvml as nvml

    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return {"error": str(error), "gpus": []}
    try:
        gpus = []
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            try:
                mig = nvml.nvmlDeviceGetMigMode(handle)[0] == 1
            except nvml.NVMLError:
                mig = False
            name = nvml.nvmlDeviceGetName(handle)
            gpus.append({"name": name, "capability": f"{major}.{minor}", "mig": mig})
        return {"error": "", "gpus": gpus, "driver": nvml.nvmlSystemGetDriverVersion()}
    except nvml.NVMLError as error:
        return {"error": str(error), "gpus": []}
    finally:
        nvml.nvmlShutdown()


def _engine(host: Host) -> dict[str, Any]:
    """Version and info of the engine that the docker command would use, or why there is none."""
    from contextlib import closing

    from gpubook import engine

    found: dict[str, Any] = {"command": host.which("docker"), "error": "", "kind": ""}
    try:
        endpoint = engine.resolve(host.env, Path(host.env.get("HOME") or "/"))
        found |= {"host": endpoint.host, "source": endpoint.source}
        if host.root != Path("/") and "DOCKER_HOST" not in host.env:
            raise engine.EngineUnreachable(f"no Docker Engine answers at {endpoint.host}")
        with closing(engine.connect(endpoint)) as client:
            return found | {"info": engine.info(client), "version": engine.version(client)}
    except BookError as error:
        return found | {"error": str(error), "kind": type(error).__name__}


def _daemon_json(host: Host) -> dict[str, Any]:
    from gpubook import engine

    path = None if host.root == Path("/") else host.path("/etc/docker/daemon.json")
    try:
        return engine.daemon_config(path) | {"error": ""}
    except BookError as error:
        return {"path": "/etc/docker/daemon.json", "exists": True, "config": {}, "why": ""} | {
            "error": str(error)
        }


PROGRAMS = (
    "nvidia-ctk",
    "nvidia-cdi-hook",
    "nvidia-container-runtime",
    "nvidia-container-runtime-hook",
    "nvidia-container-cli",
)


def _toolkit(host: Host) -> dict[str, Any]:
    programs = {name: host.which(name) for name in PROGRAMS}
    version = ""
    if programs["nvidia-ctk"]:
        match = re.search(r"version v?(\d\S*)", host.run(programs["nvidia-ctk"], "--version"))
        version = match[1] if match else ""
    return {"programs": programs, "version": version}


def _refresh(host: Host) -> dict[str, str]:
    """The states of the service that renews the CDI specification, where systemd runs."""
    command = host.which("systemctl")
    if not command or not host.path("/run/systemd/system").is_dir():
        return {}
    units = ("nvidia-cdi-refresh.path", "nvidia-cdi-refresh.service")
    states = host.run(command, "is-enabled", *units).split("\n")
    return dict(zip(units, (state.strip() for state in states), strict=False))


def _space(host: Host) -> dict[str, dict[str, float]]:
    """Free and total bytes, and the free share of inodes, of the places that fill up."""
    found = {}
    for place in ("/", "/var/lib/docker", "/var/lib/containerd", "/tmp", "/dev/shm"):
        try:
            seen = os.statvfs(host.path(place))
        except OSError:
            continue
        found[place] = {
            "free": seen.f_bavail * seen.f_frsize,
            "total": seen.f_blocks * seen.f_frsize,
            "inodes": seen.f_favail / seen.f_files if seen.f_files else 1.0,
        }
    return found


def _user(host: Host) -> dict[str, Any]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "uid": os.getuid(),
        "groups": sorted({os.getgid(), *os.getgroups()}),
        "home": host.env.get("HOME", ""),
        "home_writable": os.access(host.env.get("HOME") or "/", os.W_OK),
        "nofile": [soft, hard],
    }


def _torch(host: Host) -> dict[str, str]:
    """The torch of this Python, read from its files: importing it takes seconds."""
    try:
        version = importlib.metadata.version("torch")
        spec = importlib.util.find_spec("torch")
    except (importlib.metadata.PackageNotFoundError, ImportError, ValueError):
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
    """The sockets of all engines that could answer here, by what installed them."""
    home = host.env.get("HOME") or "/"
    runtime = host.env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    sockets = {
        "Docker Engine": "/run/docker.sock",
        "the snap": "/run/snap.docker/docker.sock",
        "a rootless engine": f"{runtime}/docker.sock",
        "Docker Desktop": f"{home}/.docker/desktop/docker.sock",
        "Podman": "/run/podman/podman.sock",
    }
    return [name for name, path in sockets.items() if host.path(path).exists()]


def _mountinfo(host: Host) -> str:
    return host.read("/proc/self/mountinfo")


READERS: dict[str, Callable[[Host], Any]] = {
    "system": _system,
    "bus": _gpus_on_bus,
    "driver": _driver,
    "nodes": _nodes,
    "nvml": _nvml,
    "engine": _engine,
    "daemon_json": _daemon_json,
    "toolkit": _toolkit,
    "refresh": _refresh,
    "space": _space,
    "user": _user,
    "torch": _torch,
    "amd": _amd,
    "engines": _engines,
    "mountinfo": _mountinfo,
}


def collect(host: Host, readers: Mapping[str, Callable[[Host], Any]] = READERS) -> dict[str, Any]:
    """Every reader's fact, or `Unread`. Takes no longer than the host's limit, and never fails."""
    facts: dict[str, Any] = {}

    def read(name: str, reader: Callable[[Host], Any]) -> None:
        try:
            fact = reader(host)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            fact = Unread(f"{type(error).__name__}: {error}"[:300])
        facts.setdefault(name, fact)

    end = time.monotonic() + host.limit
    threads = {}
    for name, reader in readers.items():
        # A daemon thread does not keep the process alive when it hangs.
        threads[name] = threading.Thread(target=read, args=(name, reader), daemon=True)
        threads[name].start()
    for name, thread in threads.items():
        thread.join(max(0.0, end - time.monotonic()))
        facts.setdefault(name, Unread(f"no answer within {host.limit:g} s"))
    return {name: facts[name] for name in readers}
