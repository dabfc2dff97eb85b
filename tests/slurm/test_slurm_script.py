"""`.ci/slurm` starts nodes that run jobs, and leaves nothing: no process, no folder, no job."""

import time
from collections.abc import Iterator

import psutil
import pytest

from tests.slurm.own import ROOT_ON_DEBIAN, Own, own_slurm

pytestmark = [pytest.mark.slurm, ROOT_ON_DEBIAN]


@pytest.fixture(scope="module")
def own() -> Iterator[Own]:
    with own_slurm() as slurm:
        yield slurm


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
    own.start()
    assert not any("sleep 600" in line for line in own.processes())
    assert "idle" in own.command("sinfo")

    own.command("sbatch", "--nodes=2", "--output=/dev/null", "--wrap=srun sleep 601")
    stopped = own.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert own.left() == []
    assert not own.run.exists()
