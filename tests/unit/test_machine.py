"""The probe: never fails, says why something is not here."""

from __future__ import annotations

import socket
import threading

import pytest

from gpubook import machine
from gpubook.errors import MissingCapability, UsageError


def test_the_probe_describes_this_machine():
    here = machine.probe()
    assert here.cores >= 1
    assert here.memory_bytes > 2**28
    assert set(here.capabilities) == set(machine.CAPABILITIES)
    assert all(capability.why for capability in here.capabilities.values())


def test_an_engine_that_is_not_there_is_a_reason_not_an_exception(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    version, capability = machine._docker()
    assert version is None
    assert not capability.available
    assert "no.sock (no answer)" in capability.why


def test_something_that_is_no_engine_is_a_reason_not_an_exception(monkeypatch, tmp_path):
    path = tmp_path / "odd.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def answer():
        connection, _ = server.accept()
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        connection.close()

    threading.Thread(target=answer, daemon=True).start()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    version, capability = machine._docker()
    server.close()
    assert version is None
    assert not capability.available


@pytest.mark.parametrize("text", ["docker,gpu", "docker gpu", " gpu , docker ", ["gpu", "docker"]])
def test_needs_are_read_with_commas_or_spaces(text):
    assert machine.parse_needs(text) == {"docker", "gpu"}


def test_nothing_needed_is_nothing():
    assert machine.parse_needs("") == frozenset()


def test_an_unknown_need_names_the_known_ones():
    with pytest.raises(UsageError, match="choose from docker, host, root, gpu, toolkit, slurm"):
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


@pytest.fixture
def sinfo(tmp_path, monkeypatch):
    """A stand-in for Slurm's command: a shell script."""

    def write(script):
        path = tmp_path / "sinfo"
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return write


def test_a_slurm_that_answers_tells_its_version_and_nodes(sinfo):
    sinfo('[ "$1" = --version ] && echo "slurm-wlm 22.05.8" || { echo 2; echo 3; }')
    version, capability = machine._slurm()
    assert version == "22.05.8"
    assert capability == machine.Capability(True, "Slurm 22.05.8, 5 nodes")


def test_a_slurm_without_a_controller_is_a_reason(sinfo):
    sinfo('[ "$1" = --version ] && echo "slurm 26.05.1" || { echo connect failure >&2; exit 1; }')
    version, capability = machine._slurm()
    assert version == "26.05.1"
    assert not capability.available
    assert "connect failure" in capability.why
