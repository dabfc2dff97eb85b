"""`.ci/engine` starts an engine and leaves nothing of it: no process, no mount, no folder."""

import os
import secrets
import select
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil
import pytest

from gpubook.machine.endpoint import resolve
from tests.docker.conftest import ROOT

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(
        os.getuid() != 0 or not Path("/etc/debian_version").exists(),
        reason="docker: only root on Debian can start an engine beside the one that is here",
    ),
]


@dataclass(frozen=True)
class Own:
    """An engine of this test's own, beside the one that the other tests use."""

    name: str

    @property
    def run(self) -> Path:
        return Path("/run/gpubook-engine") / self.name

    def script(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("GPUBOOK_")}
        return subprocess.run(
            [ROOT / ".ci" / "engine", *arguments, "--name", self.name],
            env=clean | environment, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip

    def processes(self) -> list[str]:
        """Command lines that name the engine's folder."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            if f"{self.run}/" in line:
                found.append(line)
        return found

    def mounts(self) -> list[str]:
        return [
            line for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if f"/{self.name}/" in line or f"data-{self.name}/" in line
        ]  # fmt: skip


@pytest.fixture
def own() -> Iterator[Own]:
    engine = Own(f"t{secrets.token_hex(3)}")
    started = engine.script("start", "--bare")
    assert started.returncode == 0, started.stderr
    assert "GPUBOOK_ENGINE=started" in started.stdout
    try:
        yield engine
    finally:
        engine.script("stop")
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        subprocess.run(
            ["rm", "-rf", "--one-file-system", cache / f"gpubook/engine/data-{engine.name}"],
            check=True,
        )


def container_in(own: Own, base: str) -> int:
    """Start a container in the engine; the process id of its ``sleep`` on this machine."""
    host = f"unix://{own.run}/docker.sock"
    save = subprocess.Popen(["docker", "save", base], stdout=subprocess.PIPE)
    subprocess.run(
        ["docker", "--host", host, "load", "--quiet"], stdin=save.stdout, check=True,
        capture_output=True, timeout=120,
    )  # fmt: skip
    assert save.wait(timeout=10) == 0
    client = docker.DockerClient(base_url=host)
    container = client.containers.run(base, ["sleep", "600"], detach=True, network_mode="none")
    container.reload()
    client.close()
    return container.attrs["State"]["Pid"]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_stop_ends_every_process_and_releases_every_mount_and_no_other_engines(own, engine, base):
    workload = container_in(own, base)
    assert any("dockerd" in line for line in own.processes())
    assert any("containerd-shim" in line for line in own.processes())
    assert own.mounts()
    stopped = own.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert own.processes() == []
    assert own.mounts() == []
    assert gone(workload)
    assert not own.run.exists()
    assert engine.ping(), "the engine of the other tests runs on"


def test_after_a_killed_dockerd_stop_still_leaves_nothing(own, base):
    workload = container_in(own, base)
    pid = int((own.run / "docker.pid").read_text())
    end_of_it = os.pidfd_open(pid)
    psutil.Process(pid).kill()
    select.select([end_of_it], [], [], 10)  # readable when the process has ended
    os.close(end_of_it)
    assert not gone(workload), "a container outlives its killed daemon"
    stopped = own.script("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert (own.processes(), own.mounts(), gone(workload)) == ([], [], True)


def test_an_engine_that_is_here_is_used_and_left_running(engine):
    host = resolve().host
    same = Own("never-started")
    found = same.script("start", DOCKER_HOST=host)
    assert found.returncode == 0, found.stderr
    assert "GPUBOOK_ENGINE=found" in found.stdout
    stopped = same.script("stop", DOCKER_HOST=host, GPUBOOK_ENGINE="found")
    assert stopped.returncode == 0
    assert "left running" in stopped.stderr
    assert engine.ping()
    assert not same.run.exists()
