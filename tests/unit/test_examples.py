"""The jobs for Kubernetes and Slurm: sound files, and commands that the real parsers take."""

import argparse
import copy
import functools
import operator
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
TRAINJOB = ROOT / "examples/kubernetes/spam-classify-trainjob.yaml"
SLURM = ROOT / "examples/slurm/spam-classify.sbatch"
SCHEMAS = ("1.31", "1.37")


def documents() -> dict[str, dict]:
    found = yaml.safe_load_all(KUBERNETES.read_text(encoding="utf-8"))
    return {document["kind"]: document for document in found}


def with_value(document: dict, path: tuple, value: object) -> dict:
    """A copy of a document with something else at the place that a path leads to."""
    changed = copy.deepcopy(document)
    *above, last = path
    functools.reduce(operator.getitem, above, changed)[last] = value
    return changed


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

    broken = with_value(documents()["Job"], path, value)
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


# Kubeflow


def trainjob() -> dict:
    return yaml.safe_load(TRAINJOB.read_text(encoding="utf-8"))


def understood(document: dict) -> dict:
    """What Kubeflow's own models keep of a TrainJob; they ignore a field that they do not know."""
    from kubeflow_trainer_api.models.trainer_v1alpha1_train_job import TrainerV1alpha1TrainJob

    return TrainerV1alpha1TrainJob.from_dict(copy.deepcopy(document)).to_dict()


def test_kubeflow_understands_every_field_of_the_trainjob():
    assert understood(trainjob()) == trainjob()


@pytest.mark.parametrize("path", [("spec", "trainer", "numNode"), ("spec", "runtimePatch")])
def test_a_field_that_kubeflow_does_not_know_would_be_noticed(path):
    broken = with_value(trainjob(), path, 2)
    assert understood(broken) != broken


def test_kubeflow_refuses_a_trainjob_without_a_runtime_or_with_nodes_in_words():
    for path, value in ((("spec", "runtimeRef"), None), (("spec", "trainer", "numNodes"), "two")):
        broken = with_value(trainjob(), path, value)
        with pytest.raises(ValueError, match=path[-1]):
            understood(broken)


def test_trainjob_and_job_train_the_same():
    trainer = trainjob()["spec"]["trainer"]
    _, ours = parsed([*trainer["command"], *trainer["args"]])
    launch, theirs = parsed(job_command())
    assert ours == theirs
    assert trainer["numNodes"] == int(launch.nnodes)
    assert trainer["image"] == container()["image"]
    patched = trainjob()["spec"]["runtimePatches"][0]["trainingRuntimeSpec"]
    (replicated,) = patched["template"]["spec"]["replicatedJobs"]
    spec = replicated["template"]["spec"]["template"]["spec"]
    assert spec["volumes"] == pod()["volumes"]
    assert spec["securityContext"] == pod()["securityContext"]
    assert spec["containers"][0]["volumeMounts"] == container()["volumeMounts"]
    assert int(trainer["resourcesPerNode"]["limits"]["nvidia.com/gpu"]) == trainer["numProcPerNode"]


# Slurm


def directives() -> dict[str, str]:
    lines = SLURM.read_text(encoding="utf-8").splitlines()
    options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")]
    return dict((*option.split("=", 1), "")[:2] for option in options)


def commands(folder: Path, *options: str, **environment: str) -> list[str]:
    """What the script gives to srun, run by bash, with stand-ins for Slurm's two commands."""
    said = folder / "said"
    for name, script in (
        ("scontrol", "case $* in *hostnames*) printf 'node-7\\nnode-9\\n';;\n"
         "*'show node node-7') echo NodeName=node-7 NodeAddr=10.0.0.7 Port=6818;; esac"),
        ("srun", f"printf '%s\\0' \"$@\" > '{said}'"),
    ):  # fmt: skip
        stand_in = folder / name
        stand_in.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        stand_in.chmod(0o755)
    environment |= {
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node-[7,9]",
        "SLURM_NNODES": directives()["nodes"],
        "SLURM_JOB_ID": "123456",
        "SLURM_SUBMIT_DIR": "/home/me/my folder",
    }
    done = subprocess.run(
        ["bash", SLURM, *options], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return said.read_text(encoding="utf-8").split("\0")[:-1]


def test_shellcheck_finds_nothing_in_the_script():
    shellcheck = Path(sys.executable).parent / "shellcheck"
    done = subprocess.run([shellcheck, SLURM], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_scripts_command_is_one_that_the_commands_take(tmp_path):
    command = commands(tmp_path)
    launch, train = parsed(command[command.index("torchrun") :])
    assert (launch.nnodes, launch.nproc_per_node) == ("2", "gpu")
    assert (launch.rdzv_backend, launch.rdzv_endpoint) == ("c10d", "10.0.0.7:23456")
    assert train.resume
    around = command[: command.index("torchrun")]
    assert "apptainer" in around
    assert "--nv" in around
    assert around[around.index("--bind") + 1] == "/home/me/my folder:/mnt"
    assert around[around.index("--pwd") + 1] == "/mnt", "or the result stays in the container"
    assert not train.output.is_absolute()


def test_another_container_none_and_more_options_are_given_from_outside(tmp_path):
    command = commands(tmp_path, CONTAINER="docker run --rm image")
    assert command[1:5] == ["docker", "run", "--rm", "image"]
    command = commands(tmp_path, CONTAINER="--container=/b env PATH=/opt/venv/bin")
    assert command[1:5] == ["--container=/b", "env", "PATH=/opt/venv/bin", "torchrun"]
    command = commands(tmp_path, "--epochs", "5", CONTAINER="", PROCESSES="1")
    assert command[1] == "torchrun"
    launch, train = parsed(command[1:])
    assert launch.nproc_per_node == "1"
    assert train.epochs == 5


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
    assert shown == [path.relative_to(ROOT).as_posix() for path in (KUBERNETES, TRAINJOB, SLURM)]
