"""The final project's last two items, for real: the image is built, and run with no network."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, gpubook
from tests.docker.containers import listed, wait_until
from tests.unit.test_project import edit, put

pytestmark = pytest.mark.docker

GOOD = ROOT / "examples" / "project"


def verify(folder: Path, base: str) -> tuple[int, dict[str, dict]]:
    done = gpubook("project", str(folder), "--json", "--require", "docker",
                   "--build-arg", f"BASE={base}")  # fmt: skip
    assert done.stderr == ""
    return done.returncode, {item["id"]: item for item in json.loads(done.stdout)["items"]}


@pytest.fixture(autouse=True)
def nothing_is_left(engine):
    """The command removes its images and containers."""
    yield
    tags = [tag for image in engine.images.list() for tag in image.tags]
    assert not [tag for tag in tags if tag.startswith("gpubook-project:")]
    names = [container.name for container in listed(engine)]
    assert not [name for name in names if name.startswith("gpubook-project-")]


def test_the_example_is_built_and_run_and_meets_every_item(base):
    code, items = verify(GOOD, base)
    assert {item["state"] for item in items.values()} == {"met"}, items
    assert code == 0
    assert "n = 30" in items["runs"]["found"]


SEEDED, PRINTED = "random.seed(0)\n", "print(json"
FORKS = "import os, signal\n\nwhile True:\n    os.fork() or signal.pause()\n"
CALLS = 'import socket\n\nsocket.create_connection(("192.0.2.1", 80), 5)\n'


def missing(found: str) -> dict:
    return {"runs": ("missing", found)}


BREAKS = {
    "a step of the build fails": (
        put("Dockerfile", "WORKDIR", "RUN echo broken step && false\nWORKDIR"),
        {"builds": ("missing", "docker build ended with"), "runs": ("not checked", "no image")},
    ),
    "the script needs the network": (
        put("bench.py", SEEDED, CALLS + SEEDED), missing("Network is unreachable"),
    ),
    "it prints more than the result": (
        put("bench.py", PRINTED, f'print("ready")\n{PRINTED}'), missing("it printed 'ready'"),
    ),
    "it prints fifty megabytes": (
        put("bench.py", SEEDED, 'print("x" * 50_000_000)\n'),
        missing(f"it printed '{'x' * 60}', which is not one JSON object"),
    ),
    "its figures are made up": (
        put("bench.py", '"median": median', '"median": 2 * median'),
        missing("but that of the samples is"),
    ),
    "it prints 100 MB first": (
        put("bench.py", PRINTED, f'print("x" * 10**8)\n{PRINTED}'), missing("it printed 'xxx"),
    ),
    "it takes all memory": (
        put("bench.py", SEEDED, f"b'x' * 5 * 2**30\n{SEEDED}"),
        missing("the container ended with 137"),
    ),
    "it starts processes without end": (
        put("bench.py", SEEDED, FORKS), missing("BlockingIOError"),
    ),
    "it runs as root after all": (
        put("Dockerfile", "USER 1000", "USER 0"),
        {"non-root": ("missing", "USER is 0")} | missing("runs as root"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_only_a_run_can_show_is_shown(tmp_path, base, name):
    folder = shutil.copytree(GOOD, tmp_path / "mine")
    spoil, expected = BREAKS[name]
    spoil(folder)
    code, items = verify(folder, base)
    assert code == 1
    wrong = {id_: item for id_, item in items.items() if item["state"] != "met"}
    assert set(wrong) == set(expected)
    for id_, (state, said) in expected.items():
        assert wrong[id_]["state"] == state
        assert said in wrong[id_]["found"]


def test_a_command_that_is_killed_leaves_no_container(engine, base, tmp_path):
    folder = shutil.copytree(GOOD, tmp_path / "mine")
    edit(folder / "bench.py", "random.seed(0)\n", "time.sleep(600)\n")
    command = [
        sys.executable,
        "-m",
        "gpubook.cli",
        "project",
        folder,
        "--build-arg",
        f"BASE={base}",
    ]

    def there(**more: str) -> bool:
        return bool(listed(engine, name="gpubook-project-", **more))

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        wait_until(engine, lambda: there(status="running"), "no container")
        process.kill()
    try:
        wait_until(engine, lambda: not there(), "it still runs", seconds=60)
    finally:  # what was built stays: nobody was left to remove it
        for image in engine.images.list():
            for tag in image.tags:
                if tag.startswith("gpubook-project:"):
                    engine.images.remove(tag, force=True)
