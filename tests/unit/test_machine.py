"""The probe: never fails, says why something is not here, and asks the right host and GPU."""

from __future__ import annotations

import json
import socket
import sys
import threading
from types import SimpleNamespace

import pytest

from gpubook import machine
from gpubook.errors import MissingCapability, UsageError
from gpubook.machine import gpus, host, info
from gpubook.machine.host import Host
from tests.unit.fake_nvml import NVMLError, fake_nvml
from tests.unit.test_machine_endpoint import store_context


def test_the_probe_describes_this_machine():
    here = machine.probe()
    assert here.cores >= 1
    assert here.memory_bytes > 2**28
    assert set(here.capabilities) == set(machine.CAPABILITIES)
    assert all(capability.why for capability in here.capabilities.values())


def test_memory_is_the_containers_limit_where_that_is_lower(tmp_path):
    here = host.memory(Host(tmp_path))
    assert here > 2**28
    limit = tmp_path / "sys/fs/cgroup/memory.max"
    limit.parent.mkdir(parents=True)
    for text, memory in (("1000\n", 1000), ("max\n", here)):
        limit.write_text(text)
        assert host.memory(Host(tmp_path)) == memory


# The engine, and what belongs to its host


def docker(host):
    engine = info.look(host.env)
    return engine, machine._docker(host, engine)


def test_an_engine_that_is_not_there_is_a_reason_not_an_exception(tmp_path):
    engine, capability = docker(Host(env={"DOCKER_HOST": f"unix://{tmp_path}/no.sock"}))
    assert engine["info"] == {}
    assert not capability.available
    assert "no.sock (no answer)" in capability.why


def test_something_that_is_no_engine_is_a_reason_not_an_exception(tmp_path):
    path = tmp_path / "odd.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer():
            for _ in range(2):  # the knock, the question
                connection, _ = server.accept()
                if connection.recv(1000):
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        engine, capability = docker(Host(env={"DOCKER_HOST": f"unix://{path}"}))
    assert engine["info"] == {}
    assert not capability.available


def test_the_engine_is_asked_for_at_the_contexts_address(tmp_path):
    store_context(tmp_path, "lab", "tcp://127.0.0.1:1")
    (tmp_path / ".docker/config.json").write_text(json.dumps({"currentContext": "lab"}))
    env = {"DOCKER_CONFIG": str(tmp_path / ".docker")}
    assert docker(Host(env=env))[1].why == "no Docker Engine at tcp://127.0.0.1:1 (no answer)"
    lost = docker(Host(env=env | {"DOCKER_CONTEXT": "nope"}))[1]
    assert "'nope'" in lost.why


ANSWER = {"server": "29.2.1", "runtimes": ["runc"], "cdi": {"devices": []}}
AWAY = {"host": "ssh://lab", "elsewhere": True, "info": ANSWER, "error": ""}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({}, "names no NVIDIA runtime"),
        ({"runtimes": ["nvidia", "runc"]}, "has NVIDIA's toolkit"),
        ({"cdi": {"devices": ["nvidia.com/gpu=all"]}}, "has NVIDIA's toolkit"),
    ],
)
def test_the_toolkit_of_an_engine_on_another_host_is_not_ours(tmp_path, more, says):
    ctk = tmp_path / "nvidia-ctk"
    ctk.write_text("#!/bin/sh\necho NVIDIA Container Toolkit CLI version 1.20.0\n")
    ctk.chmod(0o755)
    host = Host(env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    version, capability = machine._toolkit(host, AWAY | {"info": ANSWER | more})
    assert (version, capability.available) == (None, False)
    assert f"the engine at ssh://lab {says}" in capability.why
    version, capability = machine._toolkit(host, AWAY | {"elsewhere": False})
    assert (version, capability.available) == ("1.20.0", True)


def test_the_processes_of_an_engine_on_another_host_are_not_ours(monkeypatch):
    class Dockerd:
        info = {"name": "dockerd"}  # noqa: RUF012

    monkeypatch.setattr("psutil.process_iter", lambda names: [Dockerd])
    here = machine.Capability(True, "an engine answers")
    assert machine._host(here, AWAY | {"elsewhere": False}).available
    assert not machine._host(here, AWAY).available


# GPUs


@pytest.fixture
def nvml(monkeypatch):
    """Two GPUs, the second cut into slices; torch has not started."""
    module = fake_nvml("a", "b", mig="b")
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.setitem(sys.modules, "torch", None)
    return module


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, "ab"),
        ("1", "b"),
        ("1,0", "ba"),
        ("0, 1", "ab"),
        ("GPU-b", "b"),
        ("GPU-", ""),  # the beginning of both
        ("0,7,1", "a"),  # what follows an unknown one is not seen
        ("-1", ""),
        ("", ""),
        ("MIG-1234", "b"),
    ],
)
def test_a_program_sees_the_gpus_that_the_variable_names_in_its_order(
    nvml, monkeypatch, chosen, names
):
    env = {} if chosen is None else {"CUDA_VISIBLE_DEVICES": chosen}
    assert "".join(gpu.name for gpu in gpus.visible(gpus.read().gpus, env)) == names


def test_cudas_number_of_a_gpu_is_not_nvmls(nvml, monkeypatch):
    assert gpus.handle(nvml, 1) == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert gpus.handle(nvml, 0) == 1
    with pytest.raises(NVMLError):
        gpus.handle(nvml, 1)


def test_a_torch_that_computes_already_says_which_gpu_it_uses(nvml, monkeypatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        get_device_properties=lambda index: SimpleNamespace(uuid="ba"[index]),
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert [gpus.handle(nvml, index) for index in (0, 1)] == [1, 0]


def test_a_gpu_is_described_and_its_uuid_is_not_published(nvml, monkeypatch):
    driver = gpus.read()
    assert (driver.version, driver.cuda, driver.error) == ("580.95.05", "13.2", "")
    assert [(g.compute_capability, g.mig) for g in driver.gpus] == [("9.0", False), ("9.0", True)]
    assert machine._described(driver.gpus[0]) == {
        "name": "a", "memory_bytes": 80 * 2**30, "driver": "580.95.05", "compute_capability": "9.0",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "visible", "torch", "why"),
    [
        (gpus.Driver(error="Not Found"), "", "2.13.0", "no NVIDIA driver answers (Not Found)"),
        (gpus.Driver("580.95.05"), "", "2.13.0", "driver 580.95.05 shows no GPU"),
        (None, "", "2.13.0", "CUDA_VISIBLE_DEVICES hides a"),
        (None, "a", None, "a is here, but no torch has no CUDA"),
        (None, "a", "2.13.0+cpu", "a is here, but torch 2.13.0+cpu has no CUDA"),
        (None, "ab", "2.13.0", ""),
    ],
)
def test_a_gpu_that_cannot_be_used_is_a_reason(nvml, monkeypatch, driver, visible, torch, why):
    monkeypatch.setattr("gpubook.machine.host.package", lambda name: torch)
    driver = driver or gpus.read()
    shown = tuple(gpu for gpu in driver.gpus if gpu.name in visible)
    capability = machine._gpu(driver, shown)
    assert capability.available == (not why)
    assert capability.why == (why or "2 × a, driver 580.95.05")


# What a measurement needs


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("docker,gpu", {"docker", "gpu"}),
        (" gpu , docker ", {"docker", "gpu"}),
        (["gpu", "docker"], {"docker", "gpu"}),
        ("", set()),
    ],
)
def test_needs_are_read_with_commas_or_spaces(text, names):
    assert machine.parse_needs(text) == names


def test_an_unknown_need_names_the_known_ones():
    with pytest.raises(UsageError, match=f"choose from {', '.join(machine.CAPABILITIES)}"):
        machine.parse_needs("docker,tpu")


def test_required_is_the_union_of_parameter_and_environment(monkeypatch):
    monkeypatch.setenv("REQUIRE", "docker")
    assert machine.required("gpu") == {"docker", "gpu"}


def test_all_that_is_missing_is_named_at_once():
    here = machine.probe()
    lacking = [name for name, c in here.capabilities.items() if not c.available]
    if not lacking:
        machine.check(machine.CAPABILITIES)
        return
    with pytest.raises(MissingCapability) as caught:
        machine.check(machine.CAPABILITIES)
    for name in lacking:
        assert f"{name}: {here.capabilities[name].why}" in str(caught.value)


@pytest.mark.parametrize(
    ("script", "available", "why"),
    [
        ("echo sha256:0123456789abcdef", True, "gpu-plus-container:cuda, 0123456789ab"),
        ("exit 1", False, "`make image` builds it"),
        (None, False, "docker image inspect does not answer"),
    ],
)
def test_the_books_image_is_one_that_the_engine_has(tmp_path, script, available, why):
    if script:
        (tmp_path / "docker").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "docker").chmod(0o755)
    there = machine.Capability(True, "an engine")
    told = machine._image(Host(env={"PATH": str(tmp_path)}), there)
    assert told.available == available and why in told.why
    assert machine._image(Host(env={}), machine.Capability(False, "none")).why == "none"


@pytest.mark.parametrize(
    ("script", "version", "available", "why"),
    [
        ('echo "slurm-wlm 22.05.8" || { echo 2; echo 3; }', "22.05.8", True, "Slurm 22.05.8, 5"),
        ('echo "slurm 26.05.1" || { echo refused >&2; exit 1; }', "26.05.1", False, "(refused)"),
    ],
)
def test_a_slurm_is_one_whose_controller_answers(tmp_path, script, version, available, why):
    sinfo = tmp_path / "sinfo"  # a stand-in for Slurm's command
    sinfo.write_text(f'#!/bin/sh\n[ "$1" = --version ] && {script}\n', encoding="utf-8")
    sinfo.chmod(0o755)
    answer, capability = machine._slurm(Host(env={"PATH": str(tmp_path)}))
    assert (answer, capability.available) == (version, available)
    assert why in capability.why
