"""`srun --container`: a step of Slurm inside an image, without a daemon, and the shipped training.

The image becomes a folder (examples/slurm/bundle), and the node's runc starts it (oci.conf).
"""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docker.test_image import tiny_bert
from tests.slurm.own import ROOT_ON_DEBIAN, Own, own_slurm

pytestmark = [pytest.mark.docker, pytest.mark.slurm, ROOT_ON_DEBIAN]
IN_THE_IMAGE = Path("/opt/venv/bin")  # where the image has its programs, and this machine nothing


@pytest.fixture(scope="module")
def slurm() -> Iterator[Own]:
    with own_slurm() as own:
        yield own


def make_bundle(
    slurm: Own, image: str, folder: Path, work: Path
) -> subprocess.CompletedProcess[str]:
    work.mkdir(exist_ok=True)
    command = [ROOT / "examples/slurm/bundle", image, folder, work]
    variables = os.environ | slurm.environment  # its runc is on this PATH
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("slurm-container") / "work"


@pytest.fixture(scope="module")
def bundle(slurm, base, work) -> Path:
    """The base image as a bundle, with a word in it that no other file system has."""
    folder = work.parent / "base"
    made = make_bundle(slurm, base, folder, work)
    assert made.returncode == 0, made.stderr
    (folder / "rootfs/etc/gpubook-word").write_text(secrets.token_hex(8))
    return folder


def test_a_step_runs_in_the_image_on_both_nodes(slurm, bundle, work):
    script = "cat /etc/gpubook-word; echo; readlink /proc/self/ns/mnt; pwd; hostname; touch here"
    output = f"--output={work}/%t.txt"
    options = ["--nodes=2", "--ntasks=2", output, f"--container={bundle}"]
    slurm.command("srun", *options, "sh", "-c", script)
    assert (work / "here").exists()
    word = (bundle / "rootfs/etc/gpubook-word").read_text()
    outputs = [(work / name).read_text().splitlines() for name in ("0.txt", "1.txt")]
    assert [lines[0] for lines in outputs] == [word, word]
    node = str(Path("/proc/self/ns/mnt").readlink())
    assert all(lines[1] != node for lines in outputs), "mounts of its own"
    assert {lines[2] for lines in outputs} == {"/mnt"}
    assert {lines[3] for lines in outputs} == {os.uname().nodename}, "its nodes find each other"


def test_the_image_is_read_only_and_the_exit_code_is_the_steps(slurm, bundle):
    step = f"srun --container={bundle} sh -c 'touch /usr/x /tmp/x; exit 7'; echo $?"
    assert slurm.command("sh", "-c", f"{step} 2>&1").splitlines()[-1] == "7"
    assert not (bundle / "rootfs/usr/x").exists()
    assert not (bundle / "rootfs/tmp/x").exists()


def test_a_cancelled_container_gets_sigterm_and_leaves_nothing(slurm, bundle, work):
    job = waiting(slurm, bundle, work)
    slurm.command("scancel", job)
    until(lambda: not slurm.command("squeue", "--noheader", "--jobs", job).strip(), "it ends")
    until(lambda: not [line for line in slurm.left() if left_by_a_container(line)], "all gone")
    assert (work / "asked").exists(), "the signal reached the program in the container"


def left_by_a_container(line: str) -> bool:
    return "/containers/" in line or "waits.py" in line or "/sys/fs/cgroup" in line


WAITS = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(open("asked", "w").close()))
open("up", "w").close()
time.sleep(602)
"""


def waiting(slurm: Own, bundle: Path, work: Path) -> str:
    """A job whose container waits to be asked to end; its number."""
    for name in ("up", "asked"):
        (work / name).unlink(missing_ok=True)
    (work / "waits.py").write_text(WAITS)
    step = f"--wrap=srun --container={bundle} python3 waits.py"
    job = slurm.command("sbatch", "--parsable", "--output=/dev/null", step).strip()
    until((work / "up").exists, "the container runs")
    return job


def until(true, what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.1)


def test_the_shipped_script_trains_in_the_books_image_on_two_nodes(slurm, image, tmp_path):
    work = tmp_path / "work"
    made = make_bundle(slurm, image, tmp_path / "image", work)
    assert made.returncode == 0, made.stderr
    assert not IN_THE_IMAGE.exists(), "or this proves nothing"
    tiny_bert(work / "tiny")
    path = f"{IN_THE_IMAGE}:/usr/bin:/bin"
    settings = {
        "CONTAINER": f"--container={tmp_path / 'image'} env PATH={path} XDG_CACHE_HOME=/opt",
        "PROCESSES": "1",
        "OMP_NUM_THREADS": "1",
    }
    allocation = ["--parsable", "--gpus-per-node=0", "--cpus-per-task=1", "--mem=2G"]
    options = ["--model=tiny", "--epochs=1", "--batch-size=256", "--train-embeddings"]
    script = ROOT / "examples/slurm/spam-classify.sbatch"
    job = slurm.command("sbatch", *allocation, script, *options, cwd=work, **settings).strip()
    until(lambda: not slurm.command("squeue", "--noheader", "--jobs", job), "it ends", 400)
    log = (work / f"spam-classify-{job}.log").read_text()
    assert "2 process(es)" in log, log
    assert "epoch 1/1" in log, log
    metrics = json.loads((work / "bert_spam_classifier/metrics.json").read_text())
    assert metrics["provenance"]["processes"] == 2


def test_an_image_that_is_not_there_and_a_folder_that_is_are_one_line(slurm, base, tmp_path):
    done = make_bundle(slurm, "gpubook-nothing:here", tmp_path / "new", tmp_path / "work")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, "bundle: docker ended with 1")
    assert not (tmp_path / "new").exists()
    done = make_bundle(slurm, base, tmp_path / "work", tmp_path / "work")
    assert (done.returncode, done.stderr) == (1, f"bundle: {tmp_path / 'work'}: File exists\n")


def test_stop_ends_a_container_that_runs_and_leaves_nothing(slurm, bundle, work):
    waiting(slurm, bundle, work)
    stopped = slurm.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert slurm.left() == []
