"""What the Docker tests share: an engine, the image built once, containers that are removed.

GPUBOOK_IMAGE names an image that is there already; without it the image is built here, with the
network cut, from a wheelhouse that this machine's pip has filled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from gpubook.machine.endpoint import connect
from tests.docker.containers import Containers

ROOT = Path(__file__).resolve().parents[2]
NAME = "gpubook-test"


# What the build reads.
KEPT = {
    "_config.yml", "_toc.yml", "LICENSE", "README.md", "book", "docker", "examples", "gpubook",
    "notebooks", "pyproject.toml", "recordings", "requirements", "tests", "tools", ".dockerignore",
}  # fmt: skip


def copy_of_the_tree(target: Path) -> Path:
    """What the build reads, as a folder of its own that a test may edit."""
    shutil.copytree(
        ROOT,
        target,
        ignore=lambda folder, names: (
            [n for n in names if n not in KEPT] if Path(folder) == ROOT else ["__pycache__"]
        ),
    )
    return target


@pytest.fixture(scope="session")
def tree(tmp_path_factory) -> Path:
    """A copy of what the image is built from, which nobody edits during the tests."""
    return copy_of_the_tree(tmp_path_factory.mktemp("context") / "tree")


@dataclass(frozen=True)
class Build:
    """One run of docker/build."""

    image: str
    log: str
    seconds: float


def build(folder: Path, name: str = NAME, **environment: str) -> Build:
    """Build the CPU image as ``make image`` does; fails the test with the log's end."""
    begun = time.monotonic()
    done = subprocess.run(
        ["docker/build", "--progress", "plain"],
        cwd=folder,
        env=os.environ | {"IMAGE": name, "VARIANT": "cpu"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return Build(f"{name}:cpu", done.stdout, time.monotonic() - begun)


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """The engine, proved to be one by a question only an engine answers."""
    client = connect()
    assert client.version()["ApiVersion"], "no engine"
    yield client
    client.close()


@pytest.fixture(scope="session")
def base(engine) -> str:
    """The base image: the Dockerfile's where it is at hand, else one of Debian's packages."""
    if chosen := os.environ.get("BASE"):
        return chosen
    done = subprocess.run(
        [ROOT / "docker" / "make-base"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="session")
def built(engine, base, tree) -> Build | None:
    """The image built with the network cut, or None when one was given."""
    if os.environ.get("GPUBOOK_IMAGE"):
        return None
    done = subprocess.run(
        [ROOT / "docker" / "fill-wheelhouse"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    wheels = str(ROOT / "wheelhouse")
    return build(tree, BASE=base, WHEELHOUSE=wheels, OFFLINE="1", REVISION=head.stdout.strip())


@pytest.fixture(scope="session")
def image(built) -> str:
    return built.image if built else os.environ["GPUBOOK_IMAGE"]


@pytest.fixture
def containers(engine) -> Iterator[Containers]:
    tracked = Containers(engine)
    yield tracked
    tracked.remove_all()


@dataclass(frozen=True)
class Folder:
    """A folder of the host, and the options that mount it for its owner."""

    path: Path
    uid: int
    gid: int

    @property
    def options(self) -> dict:
        return {
            "user": f"{self.uid}:{self.gid}",
            "volumes": {str(self.path): {"bind": "/mnt", "mode": "rw"}},
        }


@pytest.fixture
def folder(tmp_path) -> Folder:
    """A host folder owned by a uid that the image has never heard of, where root can make one."""
    path = tmp_path / "work"
    path.mkdir()
    uid, gid = (54321, 54322) if os.getuid() == 0 else (os.getuid(), os.getgid())
    os.chown(path, uid, gid)
    return Folder(path, uid, gid)
