"""A Slurm of a test's own, started with `.ci/slurm` and ended with it."""

import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

ROOT_ON_DEBIAN = pytest.mark.skipif(
    os.getuid() != 0 or not Path("/etc/debian_version").exists(),
    reason="slurm: only root on Debian can start one beside the one that is here",
)


@dataclass
class Own:
    """A Slurm beside the one that the other tests use."""

    name: str
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def run(self) -> Path:
        return Path("/run/gpubook-slurm") / self.name

    def script(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("GPUBOOK_", "SLURM_"))}
        return subprocess.run(
            [ROOT / ".ci" / "slurm", *arguments, "--name", self.name],
            env=clean | environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def start(self) -> None:
        done = self.script("start", "--own")
        assert done.returncode == 0, done.stderr
        lines = [shlex.split(line)[1].split("=", 1) for line in done.stdout.splitlines()]
        self.environment = dict(lines)
        assert self.environment.pop("GPUBOOK_SLURM") == "started"

    def command(self, *words: str | Path, cwd: Path = Path("/tmp"), **environment: str) -> str:
        variables = os.environ | self.environment | environment
        done = subprocess.run(
            words, env=variables, capture_output=True, text=True, timeout=60, check=False, cwd=cwd
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def processes(self) -> list[str]:
        """What was started with this Slurm's folder in its command line or environment."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            environment = process.info["environ"] or {}
            words = [*(process.info["cmdline"] or []), *environment.values()]
            if any(f"{self.run}/" in word for word in [*words, *opened_by(process.pid)]):
                found.append(" ".join(process.info["cmdline"] or ["?"]))
        return found

    def left(self) -> list[str]:
        """Processes, mounts, files and control groups of containers that are still there."""
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        groups = Path("/sys/fs/cgroup").rglob("n[0-9].root.[0-9]*")
        files = self.run.rglob("*")
        return [
            *self.processes(), *(m for m in mounts if f"{self.run}/" in m), *map(str, groups),
            *map(str, files),
        ]  # fmt: skip


def opened_by(pid: int) -> list[str]:
    """Paths that a process holds open, removed ones as well: a slurmstepd shows nothing else."""
    with suppress(OSError):
        return [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return []


@contextmanager
def own_slurm() -> Iterator[Own]:
    slurm = Own(f"t{secrets.token_hex(3)}")
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.script("stop")
