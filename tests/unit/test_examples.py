"""The jobs for Kubernetes and Slurm: sound files, and commands that the real parsers take."""

from __future__ import annotations

import argparse
import copy
import os
import re
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest
import yaml

from gpubook.errors import UsageError
from gpubook.spam import cli
from tests.conftest import ROOT

KUBERNETES = ROOT / "examples/kubernetes/spam-classify.yaml"
SLURM = ROOT / "examples/slurm/spam-classify.sbatch"
SCHEMAS = ("1.31", "1.37")


def documents() -> dict[str, dict]:
    found = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    return {document["kind"]: document for document in found}


def pod() -> dict:
    return documents()["Job"]["spec"]["template"]["spec"]


def container() -> dict:
    (only,) = pod()["containers"]
    return only


def parsed(command: list[str]) -> tuple[argparse.Namespace, argparse.Namespace]:
    """A command line as torchrun and spam_classify understand it."""
    from torch.distributed.run import get_args_parser

    assert Path(command[0]).name == "torchrun"
    launch = get_args_parser().parse_args(command[1:])
    assert launch.no_python
    assert launch.training_script == "spam_classify"
    return launch, cli._classify_parser().parse_args(launch.training_script_args)


# Kubernetes


def validate(document: dict, version: str) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", SCHEMAS)
def test_kubernetes_takes_each_document(version):
    assert set(documents()) == {"Service", "PersistentVolumeClaim", "Job"}
    for document in documents().values():
        validate(document, version)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "completions"), "two"),
        (("spec", "completionMod"), "Indexed"),
        (("spec", "template", "spec", "containers", 0, "resource"), {}),
        (("spec", "podFailurePolicy", "rules", 0, "onPodCondition"), []),
    ],
)
def test_a_wrong_field_would_be_noticed(path, value):
    from kubernetes_validate import ValidationError

    broken = copy.deepcopy(documents()["Job"])
    inner = broken
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    with pytest.raises(ValidationError):
        validate(broken, SCHEMAS[-1])


def job_command(number: int = 0) -> list[str]:
    """The container's arguments as the kubelet passes them on in the pod of this number."""
    (rank,) = container()["env"]
    field = rank["valueFrom"]["fieldRef"]["fieldPath"]
    assert field == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
    return [arg.replace(f"$({rank['name']})", str(number)) for arg in container()["args"]]


def test_the_jobs_command_is_one_that_the_commands_take():
    launch, train = parsed(job_command(number=1))
    assert train.resume
    assert launch.nproc_per_node == "gpu"
    assert launch.node_rank == 1
    (mount,) = [m for m in container()["volumeMounts"] if m["name"] == "work"]
    assert PurePosixPath(str(train.output)).is_relative_to(mount["mountPath"])


def test_the_pods_are_as_many_as_they_think_and_find_each_other():
    launch, _ = parsed(job_command())
    job, service = documents()["Job"], documents()["Service"]
    assert int(launch.nnodes) == job["spec"]["completions"] == job["spec"]["parallelism"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["name"] == pod()["subdomain"]
    assert launch.master_addr == f"{job['metadata']['name']}-0.{pod()['subdomain']}"
    selector = {"batch.kubernetes.io/job-name": job["metadata"]["name"]}
    assert service["spec"]["selector"] == selector


def test_a_pod_asks_for_gpus_shared_memory_and_the_volume_that_outlives_it():
    assert container()["resources"]["limits"]["nvidia.com/gpu"] >= 1
    volumes = {volume["name"]: volume for volume in pod()["volumes"]}
    mounts = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    assert set(mounts.values()) == set(volumes)
    assert volumes[mounts["/dev/shm"]]["emptyDir"]["medium"] == "Memory"
    claim = documents()["PersistentVolumeClaim"]
    assert volumes[mounts["/mnt"]]["persistentVolumeClaim"] == {
        "claimName": claim["metadata"]["name"]
    }
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"], "pods on two nodes write to it"


def test_a_pod_that_makes_room_has_time_for_a_checkpoint_and_is_replaced():
    assert pod()["terminationGracePeriodSeconds"] > 30, "torchrun waits 30 s for its processes"
    (rule,) = documents()["Job"]["spec"]["podFailurePolicy"]["rules"]
    assert rule["action"] == "Ignore"
    assert rule["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]


# Slurm


def directives() -> dict[str, str]:
    lines = SLURM.read_text(encoding="utf-8").splitlines()
    options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    return dict((*option.split("=", 1), "")[:2] for option in options)


@pytest.fixture
def slurm_command(tmp_path) -> list[str]:
    """What the script gives to srun, run by bash, with stand-ins for Slurm's two commands."""
    said = tmp_path / "said"
    for name, script in (
        ("scontrol", "printf '%s\\n' node-7 node-9"),
        ("srun", f"printf '%s\\0' \"$@\" > '{said}'"),
    ):
        stand_in = tmp_path / name
        stand_in.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        stand_in.chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node-[7,9]",
        "SLURM_NNODES": directives()["nodes"],
        "SLURM_JOB_ID": "42",
        "SLURM_SUBMIT_DIR": "/home/me/my folder",
    }
    done = subprocess.run(["bash", SLURM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return said.read_text(encoding="utf-8").split("\0")[:-1]


def test_shellcheck_finds_nothing_in_the_script():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([shellcheck, SLURM], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_scripts_command_is_one_that_the_commands_take(slurm_command):
    launch, train = parsed(slurm_command[slurm_command.index("torchrun") :])
    assert (launch.nnodes, launch.nproc_per_node) == ("2", "gpu")
    assert (launch.rdzv_backend, launch.rdzv_endpoint) == ("c10d", "node-7:29500")
    assert train.resume
    around = slurm_command[: slurm_command.index("torchrun")]
    assert "apptainer" in around
    assert "--nv" in around
    assert around[around.index("--bind") + 1] == "/home/me/my folder:/mnt"
    assert PurePosixPath(str(train.output)).is_relative_to("/mnt")


def test_slurm_starts_one_torchrun_a_node_signals_in_time_and_queues_again():
    asked = directives()
    assert asked["ntasks-per-node"] == "1"
    assert int(asked["gpus-per-node"]) >= 1
    name, seconds = asked["signal"].split("@")
    assert name == "TERM"
    assert int(seconds) > 30
    assert "requeue" in asked


# Both


def test_an_option_that_does_not_exist_turns_these_tests_red():
    with pytest.raises(UsageError, match="--output-folder"):
        parsed(["torchrun", "--no-python", "spam_classify", "--output-folder=x"])


def test_the_book_shows_the_files_themselves():
    page = (ROOT / "book/training.md").read_text(encoding="utf-8")
    shown = re.findall(r"{literalinclude} \.\./(\S+)", page)
    assert shown == [path.relative_to(ROOT).as_posix() for path in (KUBERNETES, SLURM)]
