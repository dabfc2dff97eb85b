"""`.ci/slurm` starts nodes that run jobs, and leaves nothing: no process, no folder, no job."""

from __future__ import annotations

import os
import secrets
import shlex
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        os.getuid() != 0 or not Path("/etc/debian_version").exists(),
        reason="slurm: only root on Debian can start one beside the one that is here",
    ),
]


@dataclass
class Own:
    """A Slurm of this test's own, beside the one that the other tests use."""

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

    def command(self, *words: str) -> str:
        done = subprocess.run(
            words, env=os.environ | self.environment, capture_output=True, text=True, timeout=60,
            check=False, cwd="/tmp",
        )  # fmt: skip
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


def opened_by(pid: int) -> list[str]:
    """Paths that a process holds open, removed ones as well: a slurmstepd shows nothing else."""
    with suppress(OSError):
        return [str(file.readlink()) for file in Path(f"/proc/{pid}/fd").iterdir()]
    return []


def started(own: Own) -> None:
    done = own.script("start", "--own")
    assert done.returncode == 0, done.stderr
    lines = [shlex.split(line)[1].split("=", 1) for line in done.stdout.splitlines()]
    own.environment = dict(lines)
    assert own.environment.pop("GPUBOOK_SLURM") == "started"


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    slurm = Own(f"t{secrets.token_hex(3)}")
    try:
        started(slurm)
        yield slurm
    finally:
        slurm.script("stop")


def test_two_nodes_run_a_step_and_its_cost_is_kept(own):
    names = own.command("srun", "--nodes=2", "--ntasks=2", "sh", "-c", "echo $SLURMD_NODENAME")
    assert sorted(names.split()) == ["n1", "n2"]
    deadline = time.monotonic() + 20  # the database hears of it a moment later
    while not (rows := own.command("sacct", "-X", "-n", "-P", "--format=State,NNodes").split()):
        assert time.monotonic() < deadline, "no accounting"
    assert rows == ["COMPLETED|2"]


def test_a_job_does_not_inherit_slurms_libraries(own):
    told = own.command("srun", "--nodes=1", "env")
    assert "SLURMD_NODENAME=" in told
    assert str(own.run) not in "\n".join(v for v in told.split("\n") if v.startswith("LD_"))
    assert "GPUBOOK_SLURM_RUN" not in told


def test_stop_leaves_a_slurm_that_was_here_before(own):
    assert own.script("stop", GPUBOOK_SLURM="found").returncode == 0
    assert "idle" in own.command("sinfo")


def test_start_clears_up_after_a_controller_that_died_and_stop_leaves_nothing(own):
    own.command("sbatch", "--nodes=2", "--output=/dev/null", "--wrap=srun sleep 600")
    deadline = time.monotonic() + 30
    while not any("sleep 600" in line for line in own.processes()):
        assert time.monotonic() < deadline, own.processes()
    (controller,) = [
        p for p in psutil.process_iter(["cmdline"])
        if p.info["cmdline"] and p.info["cmdline"][0] == f"{own.run}/slurmctld"
    ]  # fmt: skip
    controller.kill()
    controller.wait(10)
    started(own)
    assert not any("sleep 600" in line for line in own.processes())
    assert "idle" in own.command("sinfo")

    own.command("sbatch", "--nodes=2", "--output=/dev/null", "--wrap=srun sleep 601")
    stopped = own.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert own.processes() == []
    assert not own.run.exists()
