"""The devcontainers: what they name exists, and they agree with the image and with compose."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT

CPU = ROOT / ".devcontainer" / "devcontainer.json"
GPU = ROOT / ".devcontainer" / "gpu" / "devcontainer.json"
# The fields that we use, and their types, as the Development Container Specification has them.
FIELDS = {
    "name": str, "build": dict, "workspaceMount": str, "workspaceFolder": str, "remoteUser": str,
    "containerEnv": dict, "runArgs": list, "hostRequirements": dict, "customizations": dict,
}  # fmt: skip


@pytest.fixture(params=[CPU, GPU], ids=["cpu", "gpu"])
def place(request) -> Path:
    return request.param


@pytest.fixture
def config(place) -> dict:
    return json.loads(place.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def test_it_has_the_specifications_fields_and_no_others(config):
    assert {name: type(value) for name, value in config.items()} == FIELDS
    assert set(config["build"]) == {"dockerfile", "context", "args"}
    assert all(isinstance(value, str) for value in config["build"]["args"].values())
    assert all(re.fullmatch(r"\d+[kmgt]b", config["hostRequirements"][k]) for k in
               ("memory", "storage"))  # fmt: skip


def test_it_builds_the_projects_own_image(place, config, dockerfile):
    build = config["build"]
    assert (place.parent / build["dockerfile"]).resolve() == ROOT / "docker" / "Dockerfile"
    assert (place.parent / build["context"]).resolve() == ROOT
    arguments = set(re.findall(r"^ARG ([A-Z_]+)", dockerfile, re.MULTILINE))
    assert set(build["args"]) <= arguments, "an argument that the Dockerfile does not have"


def test_the_workspace_takes_the_books_place_as_the_images_user(config, dockerfile):
    assert config["workspaceFolder"] == "/book"
    assert "target=/book,type=bind" in config["workspaceMount"]
    assert re.search(r"GPUBOOK_ROOT=/book\b", dockerfile)
    assert config["containerEnv"] == {"PYTHONPATH": "/book"}, "the library is the one being edited"
    assert re.search(rf"useradd .*\b{config['remoteUser']}\b", dockerfile)
    python = config["customizations"]["vscode"]["settings"]["python.defaultInterpreterPath"]
    assert f"python3 -m venv {python.removesuffix('/bin/python')}" in dockerfile


def test_it_has_the_limits_of_the_compose_file(config):
    compose = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))
    common = compose["x-common"]
    arguments = config["runArgs"]
    assert f"--shm-size={common['shm_size'].removesuffix('b')}" in arguments
    assert f"--cap-drop={common['cap_drop'][0]}" in arguments
    assert f"--security-opt={common['security_opt'][0]}" in arguments
    assert not any("docker.sock" in argument for argument in arguments)


def test_only_one_of_them_asks_for_a_gpu():
    cpu, gpu = (json.loads(path.read_text(encoding="utf-8")) for path in (CPU, GPU))
    assert (cpu["build"]["args"]["VARIANT"], gpu["build"]["args"]["VARIANT"]) == ("cpu", "cuda")
    assert "gpu" not in cpu["hostRequirements"] and gpu["hostRequirements"]["gpu"] is True
    assert "--gpus=all" in gpu["runArgs"] and not any("gpu" in a for a in cpu["runArgs"])
    for name in set(FIELDS) - {"name", "build", "runArgs", "hostRequirements"}:
        assert cpu[name] == gpu[name]
