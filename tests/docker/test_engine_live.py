"""The engine room against a real Docker Engine: what it says must be what is there."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from gpubook import engine
from gpubook.machine import endpoint, info
from tests.docker.containers import Containers, listed, wait_until
from tests.notebooks.pages import names

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the bundle")


@pytest.fixture(scope="module")
def client():
    with contextlib.closing(endpoint.connect()) as docker:
        assert docker.ping(), "this test needs a real engine"
        yield docker


@pytest.fixture(scope="module")
def image(client):
    return engine.choose_image(client=client)


@pytest.fixture(scope="module")
def containers(client):
    tracked = Containers(client)
    yield tracked
    tracked.remove_all()


def sleeping(containers, image, **options):
    container = containers.start(image, entrypoint=["sleep", "120"], init=False, **options)
    container.reload()
    return container


@pytest.fixture(scope="module")
def parents():
    """The page's own walk from a process to its parents."""
    return names("02-behind-docker-run", "parents")["parents"]


def shim_of(container, parents):
    return parents(container.attrs["State"]["Pid"])[1]["pid"]


def command_says(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_sdks_answer_and_the_commands_answer_are_one(client):
    """Connected the way the command does."""
    answer = json.loads(command_says("info", "--format", "{{json .}}"))
    assert info.info(client) == info.parse_info(answer)


def test_the_engine_is_new_enough_for_cdi(client):
    answer = info.info(client)
    assert int(answer["server"].split(".")[0]) >= 25
    assert "/etc/cdi" in answer["cdi"]["directories"]


def test_the_shim_is_the_parent_that_ps_names_and_that_the_page_finds(containers, image, parents):
    container = sleeping(containers, image)
    pid = container.attrs["State"]["Pid"]
    ps = subprocess.run(["ps", "-o", "ppid=", "-p", str(pid)], capture_output=True, text=True)
    assert [row["pid"] for row in parents(pid)][:2] == [pid, int(ps.stdout)]
    name = Path(f"/proc/{int(ps.stdout)}/comm").read_text()
    assert name.startswith("containerd-shim")
    assert shim_of(sleeping(containers, image), parents) != int(ps.stdout), (
        "another container has a shim of its own"
    )


@AS_ROOT
def test_the_shim_works_in_the_bundle_of_its_container(containers, image, parents):
    options = {"user": "1234:5678", "cap_drop": ["ALL"], "hostname": "here"}
    made = sleeping(containers, image, **options)
    bundle = Path(f"/proc/{shim_of(made, parents)}/cwd").readlink()
    spec = json.loads((bundle / "config.json").read_text())
    containers.remove(made)
    in_short = names("02-behind-docker-run", "in-short")["in_short"](spec)
    assert (in_short["process.args"], spec["hostname"]) == ("sleep 120", "here")
    assert (in_short["process.user"], in_short["process.capabilities"]) == ("1234:5678", 0)
    assert bundle.name == made.id
    assert not bundle.exists()


def test_a_leftover_container_is_removed_by_its_name_and_a_missing_one_is_no_error(client, image):
    client.containers.create(image, "true", name="gpubook-test-leftover")
    engine.remove("gpubook-test-leftover")
    engine.remove("gpubook-test-leftover")
    assert not client.containers.list(all=True, filters={"name": "gpubook-test-leftover"})


def test_an_image_that_cannot_be_had_is_one_line_with_what_is_here(client, image):
    with pytest.raises(endpoint.ImageMissing) as raised:
        engine.choose_image("localhost:1/none:1", client=client)
    assert "`docker pull localhost:1/none:1`" in str(raised.value)
    assert image in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_runtime_is_refused_in_the_engines_words(client, image):
    with (
        pytest.raises(endpoint.EngineRefused, match=r"(?i)runtime.*nosuch"),
        endpoint.answering("creating a container"),
    ):
        client.containers.create(image, "true", runtime="nosuch")


def test_daemon_json_is_that_of_the_engine_that_answers(client):
    config = engine.daemon_config()
    assert config["path"] == engine.config_path()
    root = config["config"].get("data-root", "/var/lib/docker")
    assert root == info.info(client)["root_dir"]


# ------------------------------------------------------------- an engine that is killed half-way


@pytest.fixture
def engine_to_kill():
    """An engine of its own, beside the main one, so that it can be killed."""
    if os.geteuid() != 0 or not (ROOT / ".ci/engine").exists():
        pytest.skip("only root can start a second engine, with the repository's .ci/engine")
    name = f"kill{os.getpid()}"
    script = [sys.executable, str(ROOT / ".ci/engine")]
    started = subprocess.run(
        [*script, "start", "--bare", "--name", name], capture_output=True, text=True, timeout=300
    )
    assert started.returncode == 0, started.stderr
    variables = dict(re.findall(r"^export (\w+)=(\S+)$", started.stdout, re.MULTILINE))
    config = Path(variables["DOCKER_HOST"].removeprefix("unix://")).with_name("daemon.json")
    data = Path(json.loads(config.read_text())["data-root"]).parent
    yield variables
    environment = {k: v for k, v in os.environ.items() if k != "GPUBOOK_ENGINE"}
    ended = subprocess.run(
        [*script, "stop", "--name", name], capture_output=True, text=True, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert name in data.name
    shutil.rmtree(data)


def copy_of_the_book(folder: Path) -> Path:
    """Just what a run of page 02 needs, so that the real build folder is left alone."""
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "_toc.yml", folder)
    shutil.copy(ROOT / "notebooks/02-behind-docker-run.ipynb", folder / "notebooks")
    shutil.copytree(ROOT / "recordings", folder / "recordings")
    return folder


def dockerd_at(host: str) -> int:
    """The pid of the dockerd whose folder holds that socket."""
    folder = str(Path(host.removeprefix("unix://")).parent)
    (pid,) = [
        p.pid
        for p in psutil.process_iter(["name", "cmdline"])
        if p.info["name"] == "dockerd" and folder in " ".join(p.info["cmdline"])
    ]
    return pid


def test_an_engine_killed_in_the_middle_of_a_page_is_one_line_and_exit_1(
    engine_to_kill, client, image, tmp_path
):
    host = engine_to_kill["DOCKER_HOST"]
    own = endpoint.connect(endpoint.Endpoint(host, "this test"))
    own.images.load(b"".join(client.images.get(image).save(named=True)))
    victim = dockerd_at(host)
    book = copy_of_the_book(tmp_path)
    environment = os.environ | engine_to_kill | {"GPUBOOK_ROOT": str(book)}

    def kill_while_a_container_of_the_page_runs() -> None:
        wait_until(
            own, lambda: bool(listed(own, name="gpubook-02", status="running")), "no container",
            container="gpubook-02",
        )  # fmt: skip
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_while_a_container_of_the_page_runs)
    killer.start()
    run = subprocess.run(
        [sys.executable, "-m", "gpubook.cli", "run", "02-behind-docker-run", "-p", "IMAGE", image],
        cwd=book, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    killer.join()
    said = run.stdout + run.stderr
    assert run.returncode == 1, said
    assert re.search(r"FAILED: cell \d+ \([a-z-]+\): \w+: ", said), said
    # By the command, or by the SDK, in the page's own code.
    assert re.search(r"annot connect to the Docker daemon|Connection (refused|aborted)", said), said
    assert "Traceback" not in said
    assert not list((book / "_build").glob("results/*.json"))
