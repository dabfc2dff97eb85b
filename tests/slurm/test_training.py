"""The shipped script under a real Slurm: two nodes, stopped, a node lost, and the right result.

One job goes through all of it, and one process on its own makes the scores to compare with.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.conftest import ROOT
from tests.unit.spam_tiny import tiny_bert  # noqa: F401 - the fixture `tiny`

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(
        "gpubook-slurm" not in os.environ.get("SLURM_CONF", ""),
        reason="slurm: a node is killed, so only with the one that .ci/slurm started",
    ),
]
# FP32 and no dropout: what is left between one process and two is the order of additions.
OPTIONS = [
    "--train-embeddings", "--learning-rate=2e-3", "--dropout=0", "--precision=fp32",
    "--epochs=3", "--batch-size=64",
]  # fmt: skip
WITHIN = 0.001  # of a probability: the margin that the page states
ALLOCATION = ["--gpus-per-node=0", "--cpus-per-task=1", "--mem=2G"]
ENVIRONMENT = os.environ | {
    "CONTAINER": "",
    "PROCESSES": "1",
    "OMP_NUM_THREADS": "1",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}


def run(*command: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(command, env=ENVIRONMENT, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def until(true: Callable[[], bool], what: str, seconds: float = 240) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


@dataclass
class Job:
    number: str
    folder: Path

    @property
    def log(self) -> str:
        path = self.folder / f"spam-classify-{self.number}.log"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def attempts(self) -> list[str]:
        """The log, divided where the program started again."""
        return re.split(r"(?m)^(?=\d+ messages, \d+ spam)", self.log)[1:]

    @property
    def state(self) -> str:
        return run("squeue", "--noheader", "--states=all", f"--jobs={self.number}", "--format=%T")

    @property
    def nodes(self) -> list[str]:
        listed = run("squeue", "--noheader", f"--jobs={self.number}", "--format=%N")
        return run("scontrol", "show", "hostnames", listed).split()

    def steps(self, attempt: int) -> list[int]:
        text = self.attempts[attempt] if len(self.attempts) > attempt else ""
        return [int(n) for n in re.findall(r"(?m)^ +step (\d+)/", text)]

    def wait_for_step(self, attempt: int, step: int) -> None:
        def there() -> bool:
            assert self.state not in {"FAILED", "COMPLETED"}, self.log
            return any(n >= step for n in self.steps(attempt))

        until(there, f"step {step} of attempt {attempt}")

    def accounting(self) -> list[dict[str, str]]:
        columns = "JobID,JobName,State,NNodes,AllocCPUS,ElapsedRaw,CPUTimeRAW,MaxRSS"
        rows = run(
            "sacct", "--duplicates", f"--jobs={self.number}", "--parsable2", f"--format={columns}"
        ).splitlines()
        return [dict(zip(columns.split(","), row.split("|"), strict=True)) for row in rows[1:]]


def kill_node(name: str) -> list[str]:
    """Kill a node's daemon and all that it runs; returns the daemon's command line."""
    conf = os.environ["SLURM_CONF"]
    victims, daemon = set(), []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, environment = process.info["cmdline"] or [], process.info["environ"] or {}
        if environment.get("SLURM_CONF") != conf:
            continue
        if command[-2:] == ["-N", name]:
            daemon = command
            victims.add(process)
        elif environment.get("SLURMD_NODENAME") == name:
            victims.add(process)
            above = process.parents()
            victims |= {p for p in above if "slurmstepd" in " ".join(p.cmdline())}
    assert daemon
    assert len(victims) > 2, victims
    for process in victims:
        process.send_signal(signal.SIGKILL)
    return daemon


@pytest.fixture(scope="module")
def work(tiny, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("slurm")
    shutil.copytree(tiny, folder / "tiny-bert")
    return folder


def submit(work: Path) -> Job:
    script = ROOT / "examples/slurm/spam-classify.sbatch"
    options = ["--model=tiny-bert", *OPTIONS, "--save-seconds=0.2"]
    return Job(run("sbatch", "--parsable", *ALLOCATION, script, *options, cwd=work), work)


class Alone:
    """The same training in one process, without Slurm."""

    def __init__(self, work: Path) -> None:
        command = ["spam_classify", "--model=tiny-bert", *OPTIONS, "--output=alone"]
        self.folder = work / "alone"
        self.process = subprocess.Popen(
            command, cwd=work, env=ENVIRONMENT, stdout=subprocess.DEVNULL
        )

    def scores(self) -> dict:
        assert self.process.wait(240) == 0
        return json.loads((self.folder / "metrics.json").read_text(encoding="utf-8"))


@dataclass
class Story:
    job: Job
    alone: Alone
    lost: str  # the node that was killed
    last_nodes: list[str]  # where the job ended


@pytest.fixture(scope="module")
def story(work) -> Iterator[Story]:
    """Requeued in the middle of an epoch, then one node lost, then finished on another."""
    with contextlib.ExitStack() as after:
        job = submit(work)
        after.callback(run, "scancel", job.number)
        job.wait_for_step(0, 15)
        run("scontrol", "requeue", job.number)
        job.wait_for_step(1, 70)
        lost = job.nodes[-1]
        daemon = kill_node(lost)
        after.callback(revive, daemon, lost)
        alone = Alone(work)  # while the controller finds out
        after.callback(alone.process.kill)
        until(lambda: len(job.attempts) == 3, "the job starts again")
        nodes = job.nodes
        until(lambda: job.state in {"COMPLETED", "FAILED"}, "the job ends")
        yield Story(job, alone, lost, nodes)


@pytest.fixture
def job(story) -> Job:
    return story.job


def revive(daemon: list[str], name: str) -> None:
    """Start a node's daemon again, as .ci/slurm did."""
    folder = Path(os.environ["SLURM_CONF"]).parent
    environment = ENVIRONMENT | {"GPUBOOK_SLURM_RUN": str(folder), "LD_LIBRARY_PATH": libraries()}
    with (folder / f"{name}.output").open("a") as sink:
        subprocess.Popen(
            daemon, env=environment, cwd="/", stdout=sink, stderr=sink, start_new_session=True
        )
    until(lambda: "idle" in run("sinfo", "--noheader", f"--nodes={name}", "--format=%T"), name)


def libraries() -> str:
    """Where the unpacked Slurm's libraries are, as the running daemons have them."""
    for process in psutil.process_iter(["environ"]):
        environment = process.info["environ"] or {}
        if "GPUBOOK_SLURM_RUN" in environment and "LD_LIBRARY_PATH" in environment:
            return environment["LD_LIBRARY_PATH"]
    pytest.fail("no daemon of .ci/slurm runs")


def test_the_shipped_script_trains_on_two_nodes(job):
    assert job.state == "COMPLETED", job.log
    assert "2 process(es)" in job.attempts[0]
    metrics = json.loads((job.folder / "bert_spam_classifier/metrics.json").read_text())
    assert metrics["provenance"]["processes"] == 2


def per_epoch(job: Job) -> tuple[int, int]:
    (total,) = {int(n) for n in re.findall(r"(?m)^ +step \d+/(\d+)", job.log)}
    return total // 3, total


def resumed(attempt: str) -> int:
    (step,) = re.findall(r"(?m)^Resumed after step (\d+) of", attempt)
    return int(step)


def test_requeued_in_the_middle_of_an_epoch_it_goes_on_from_there(job):
    assert "No checkpoint" in job.attempts[0]
    assert "DUE TO JOB REQUEUE" in job.attempts[0]
    first, again = job.steps(0), resumed(job.attempts[1])
    epoch, _ = per_epoch(job)
    assert again >= first[-1], "SIGTERM reached the training: no finished step is lost"
    assert again % epoch, "in the middle of an epoch"
    assert job.steps(1)[0] > again


def test_after_a_lost_node_it_goes_on_elsewhere_from_the_last_checkpoint(job, story):
    second, again = job.steps(1), resumed(job.attempts[2])
    assert f"Node failure on {story.lost}" in job.attempts[1]
    assert len(story.last_nodes) == 2
    assert story.lost not in story.last_nodes
    assert resumed(job.attempts[1]) < again <= second[-1] + 10, "a report comes every five steps"
    _, total = per_epoch(job)
    epochs = re.findall(r"(?m)^epoch (\d)/3:", job.log)
    assert set(epochs) == {"1", "2", "3"}
    assert job.steps(2)[-1] > total - 10


def test_the_accounting_has_each_attempt_and_what_it_used(job):
    until(
        lambda: len([r for r in job.accounting() if r["State"] == "COMPLETED"]) == 3, "accounting"
    )
    rows = job.accounting()
    jobs = [row for row in rows if row["JobID"] == job.number]
    assert [row["State"] for row in jobs] == ["REQUEUED", "NODE_FAIL", "COMPLETED"]
    assert {row["NNodes"] for row in jobs} == {"2"}
    for row in jobs:
        assert int(row["CPUTimeRAW"]) == int(row["AllocCPUS"]) * int(row["ElapsedRaw"]) > 0
    training = [row for row in rows if row["JobName"] == "torchrun"]
    assert int(training[-1]["MaxRSS"].rstrip("K")) > 100_000, "memory, in KiB, of torch at least"


def test_its_predictions_are_those_of_one_process(job, story):
    one = story.alone.scores()
    two = json.loads((job.folder / "bert_spam_classifier/metrics.json").read_text())
    assert one["provenance"]["processes"] == 1
    assert two["test_predictions"]["labels"] == one["test_predictions"]["labels"]
    assert two["test_predictions"]["probabilities"] == pytest.approx(
        one["test_predictions"]["probabilities"], abs=WITHIN
    )
    assert [row["epoch"] for row in two["history"]] == [1, 2, 3]
    assert one["test"]["pr_auc"] > 0.6, "or there is nothing to compare"


def test_nothing_of_the_job_is_left(job):
    assert not (job.folder / "bert_spam_classifier.checkpoint").exists()
    left = [
        p.info["cmdline"] for p in psutil.process_iter(["cmdline", "environ"])
        if (p.info["environ"] or {}).get("SLURM_JOB_ID") == job.number
    ]  # fmt: skip
    assert left == []
