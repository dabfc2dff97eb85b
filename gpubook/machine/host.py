"""Where to look at a machine, and what its files and programs tell. Nothing here judges."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

LIMIT_SECONDS = 2.0
"""The longest that all of the doctor's readers together may take."""

TOOLKIT = (
    "nvidia-ctk",
    "nvidia-cdi-hook",
    "nvidia-container-runtime",
    "nvidia-container-runtime-hook",
    "nvidia-container-cli",
)
"""The programs of the NVIDIA Container Toolkit."""


@dataclass(frozen=True)
class Host:
    """The real machine, or in tests a tree of files in its place."""

    root: Path = Path("/")
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    limit: float = LIMIT_SECONDS

    @property
    def real(self) -> bool:
        """Whether drivers and engines answer here: a tree of files has none."""
        return self.root == Path("/")

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

    def run(self, *command: str) -> tuple[int, str]:
        """A command's exit code and both its streams. OSError when it cannot be run in time."""
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
        return done.returncode, done.stdout.decode("utf-8", errors="replace")


def system(host: Host) -> dict[str, Any]:
    """Name, kernel and processor type; whether this is a container, or WSL."""
    name = re.search(r'^PRETTY_NAME="?([^"\n]+)', host.read("/etc/os-release"), re.MULTILINE)
    kernel = host.read("/proc/sys/kernel/osrelease").strip() or platform.release()
    marks = ("/.dockerenv", "/run/.containerenv")
    inside = any(host.path(mark).exists() for mark in marks)
    return {
        "name": name[1] if name else platform.system(),
        "kernel": kernel,
        "machine": platform.machine(),
        "container": inside or bool(host.env.get("KUBERNETES_SERVICE_HOST")),
        "wsl": "microsoft" in kernel.lower() or host.path("/dev/dxg").exists(),
    }


def cpu(host: Host) -> str:
    """The processor's name."""
    match = re.search(r"^model name\s*:\s*(.+)$", host.read("/proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else platform.processor() or platform.machine()


def cores() -> int:
    """Cores this process may use, which taskset and cgroups' cpusets can make fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory(host: Host) -> int:
    """Memory in bytes: the machine's, or the container's limit where that is lower."""
    import psutil

    limits = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
    texts = [host.read(path).strip() for path in limits]
    return min([psutil.virtual_memory().total, *(int(t) for t in texts if t.isdigit())])


def space(host: Host) -> dict[str, dict[str, float]]:
    """Free and total bytes, and the free share of inodes, of the places that fill up."""
    places = {}
    for place in ("/", "/var/lib/docker", "/var/lib/containerd", "/tmp", "/dev/shm"):
        try:
            disk = os.statvfs(host.path(place))
        except OSError:
            continue
        places[place] = {
            "free": disk.f_bavail * disk.f_frsize,
            "total": disk.f_blocks * disk.f_frsize,
            "inodes": disk.f_favail / disk.f_files if disk.f_files else 1.0,
        }
    return places


def toolkit(host: Host) -> dict[str, Any]:
    """Where the toolkit's ``programs`` are, and the ``version`` that nvidia-ctk tells; "" unknown.

    OSError when nvidia-ctk does not answer.
    """
    programs = {name: host.which(name) for name in TOOLKIT}
    match = None
    if command := programs["nvidia-ctk"]:
        match = re.search(r"version v?(\d\S*)", host.run(command, "--version")[1])
    return {"programs": programs, "version": match[1] if match else ""}


def numbers(version: str) -> tuple[int, ...]:
    """``(28, 5, 2)`` for ``28.5.2+dfsg4``; empty for what is no version."""
    match = re.match(r"v?(\d+(?:\.\d+){0,3})", version.strip())
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def package(name: str) -> str | None:
    """The version of an installed Python package."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
