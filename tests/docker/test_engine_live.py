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

import pytest

from gpubook import engine
from gpubook.engine.container import LABEL
from tests.docker.containers import listed, wait_until

pytestmark = pytest.mark.docker

ROOT = Path(__file__).parents[2]
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may read the bundle")


@pytest.fixture(scope="module")
def client():
    with contextlib.closing(engine.connect()) as docker:
        assert docker.ping(), "this test needs a real engine"
        yield docker


@pytest.fixture(scope="module")
def image(client):
    return engine.choose_image(client=client)


@pytest.fixture(scope="module")
def container(client, image):
    with engine.running(image, "sleep 120", client=client) as running:
        yield running


def command_says(*arguments: str) -> str:
    return subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True, timeout=60
    ).stdout


def test_the_sdks_answer_and_the_commands_answer_are_one(client):
    """Connected the way the command does, parsed by the parser of the captures."""
    ours, theirs = (
        engine.info(client),
        engine.parse_info(json.loads(command_says("info", "--format", "{{json .}}"))),
    )
    changing = ("containers", "images")
    assert {k: v for k, v in ours.items() if k not in changing} == {
        k: v for k, v in theirs.items() if k not in changing
    }
    version = json.loads(command_says("version", "--format", "{{json .}}"))
    assert engine.version(client) == engine.parse_version(version) | {
        "api": client.version()["ApiVersion"]
    }


def test_the_engine_is_new_enough_for_cdi(client):
    info = engine.info(client)
    assert int(engine.release(info["server"]).split(".")[0]) >= 25
    assert "/etc/cdi" in info["cdi"]["directories"]


def test_the_chain_ends_in_the_process_that_the_engine_names(container):
    chain = engine.process_chain(container)
    assert chain["visible"], chain["why"]
    links = {link["role"]: link for link in chain["links"]}
    assert list(links) == ["dockerd", "containerd", "shim", "workload"]
    assert links["workload"]["pid"] == container.attrs["State"]["Pid"]
    assert links["workload"]["command"] == "sleep 120"
    assert chain["container_id"] == container.id


def test_each_link_is_the_child_that_ps_says_it_is(container):
    for link in engine.process_chain(container)["links"]:
        ps = subprocess.run(
            ["ps", "-o", "ppid=", "-p", str(link["pid"])], capture_output=True, text=True
        )
        assert int(ps.stdout) == link["ppid"]


def test_the_shim_is_not_below_containerd(container):
    links = {link["role"]: link for link in engine.process_chain(container)["links"]}
    assert links["shim"]["ppid"] not in (links["containerd"]["pid"], links["dockerd"]["pid"])


def test_two_containers_have_two_shims_and_one_containerd(container, client, image):
    with engine.running(image, "sleep 121", client=client) as other:
        one, two = engine.process_chain(container), engine.process_chain(other)
    first, second = ({link["role"]: link["pid"] for link in c["links"]} for c in (one, two))
    assert first["containerd"] == second["containerd"]
    assert first["shim"] != second["shim"]
    assert two["links"][-1]["command"] == "sleep 121"


def test_from_inside_a_pid_namespace_the_chain_is_hidden_and_says_so(container, tmp_path):
    """An empty /proc stands for the one that a container would see."""
    chain = engine.process_chain(container, proc=tmp_path)
    assert chain["visible"] is False
    assert "--pid=host" in chain["why"]


def test_runc_comes_and_goes_and_its_last_stage_is_the_workload(client, image):
    with engine.created(image, "sleep 0.5", client=client) as made:
        life = engine.watch_life(made)
    assert life["visible"], life["why"]
    create = life["runc"][0]
    assert (create["subcommand"], create["container_id"]) == ("create", made.id)
    names = [row["name"] for row in life["seen"] if row["pid"] == life["workload_pid"]]
    assert names[-2:] == ["runc:[2:INIT]", "sleep"]
    assert not any(Path(f"/proc/{r['pid']}").exists() for r in life["runc"])


@AS_ROOT
def test_runcs_state_lives_exactly_as_long_as_the_container(client, image):
    with engine.created(image, "sleep 60", client=client) as made:
        life = engine.watch(made.start, about=made.id)
        commands = [row["command"] for row in life["seen"] if row["label"] == "runc create"]
        create = engine.parse_runc_command(commands[0].split())
        state = json.loads((Path(create["state_dir"]) / "state.json").read_text())
        made.reload()
        assert state["init_process_pid"] == made.attrs["State"]["Pid"]
        assert state["id"] == made.id
    assert not Path(create["state_dir"]).exists()


@AS_ROOT
def test_the_bundle_holds_what_was_asked_for(client, image):
    options = {"user": "1234:5678", "cap_drop": ["ALL"], "hostname": "here"}
    with engine.running(image, "sleep 60", client=client, **options) as made:
        bundle = engine.oci_spec(made)
    assert bundle["readable"], bundle["why"]
    spec = bundle["spec"]
    assert (spec["args"], spec["user"], spec["hostname"]) == (["sleep", "60"], "1234:5678", "here")
    assert spec["capabilities"] == []
    assert bundle["bundle"].endswith(made.id)
    assert not Path(bundle["bundle"]).exists()


@AS_ROOT
def test_the_namespaces_that_the_container_reports_are_those_the_host_sees(container):
    view = engine.container_view(container)
    folder = Path(f"/proc/{container.attrs['State']['Pid']}/ns")
    for row in view["namespaces"]:
        assert str((folder / row["kind"]).readlink()) == f"{row['kind']}:[{row['theirs']}]"


def test_limits_reach_the_container_and_no_limits_are_none(container, client, image):
    limits = {"mem_limit": 300 * 2**20, "nano_cpus": 750_000_000, "pids_limit": 33}
    with engine.running(image, "sleep 60", client=client, **limits) as made:
        view = engine.container_view(made)
    assert view["limits"] == {"memory_bytes": 300 * 2**20, "cpus": 0.75, "pids": 33}
    free = engine.container_view(container)["limits"]
    assert (free["memory_bytes"], free["cpus"]) == (None, None)


def test_the_cgroup_outside_carries_the_containers_id(container):
    view = engine.container_view(container)
    assert container.id in view["cgroup_outside"]
    assert view["cgroup_inside"] in ("/", view["cgroup_outside"])


def test_a_written_file_shows_in_the_top_layer_of_its_container_only(container, client, image):
    with engine.running(image, "sleep 60", client=client) as made:
        made.exec_run(["sh", "-c", "echo hello > /tmp/note"])
        view, other = engine.container_view(made), engine.container_view(container)
    assert {"path": "/tmp/note", "change": "added"} in view["changes"]
    assert other["changes"] == []
    assert view["overlay"]["upper"] != other["overlay"]["upper"]
    assert view["overlay"]["lower"][1:] == other["overlay"]["lower"][1:]  # the image is shared


def test_a_container_is_removed_even_when_the_body_fails(client, image):
    with (
        pytest.raises(ZeroDivisionError),
        engine.running(image, "sleep 60", client=client) as made,
    ):
        raise ZeroDivisionError
    assert made.id not in [c.id for c in listed(client)]


def test_an_image_that_cannot_be_had_is_one_line_with_what_is_here(client, image):
    with pytest.raises(engine.ImageMissing) as raised:
        engine.choose_image("localhost:1/none:1", client=client)
    assert "`docker pull localhost:1/none:1`" in str(raised.value)
    assert image in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_unknown_runtime_is_refused_in_the_engines_words(client, image):
    with (
        pytest.raises(engine.EngineRefused, match=r"(?i)runtime.*nosuch"),
        engine.running(image, "sleep 1", client=client, runtime="nosuch"),
    ):
        pass


def test_daemon_json_and_binaries_are_those_of_the_engine_that_answers(client):
    found = {row["name"]: row for row in engine.binaries(client)}
    assert found["dockerd"]["found_by"].startswith("process ")
    text = subprocess.run(
        [found["dockerd"]["path"], "--version"], capture_output=True, text=True, check=True
    ).stdout
    assert engine.version(client)["server"] in text
    assert Path(found["runc"]["path"]).is_file()
    config = engine.daemon_config()
    root = config["config"].get("data-root", "/var/lib/docker")
    assert root == engine.info(client)["root_dir"]


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
    """Just what a run of notebook 01 needs, so that the real build folder is left alone."""
    (folder / "notebooks").mkdir()
    shutil.copy(ROOT / "_toc.yml", folder)
    shutil.copy(ROOT / "notebooks/01-docker-engine.ipynb", folder / "notebooks")
    shutil.copytree(ROOT / "recordings", folder / "recordings")
    return folder


def dockerd_at(host: str) -> int:
    """The pid of the dockerd whose folder holds that socket."""
    folder = str(Path(host.removeprefix("unix://")).parent)
    (pid,) = [
        p["pid"]
        for p in engine.read_processes()
        if p["args"] and p["args"][0].endswith("/dockerd") and folder in " ".join(p["args"])
    ]
    return pid


def test_an_engine_killed_in_the_middle_of_notebook_01_is_one_line_and_exit_1(
    engine_to_kill, client, image, tmp_path
):
    host = engine_to_kill["DOCKER_HOST"]
    own = engine.connect(engine.Endpoint(host, "this test"))
    own.images.load(b"".join(client.images.get(image).save(named=True)))
    victim = dockerd_at(host)
    book = copy_of_the_book(tmp_path)
    environment = os.environ | engine_to_kill | {"GPUBOOK_ROOT": str(book)}

    def kill_while_a_container_of_the_page_runs() -> None:
        wait_until(
            own, lambda: bool(listed(own, label=LABEL, status="running")), "no container",
            label=LABEL,
        )  # fmt: skip
        os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill_while_a_container_of_the_page_runs)
    killer.start()
    run = subprocess.run(
        [sys.executable, "-m", "gpubook.cli", "run", "01-docker-engine", "-p", "IMAGE", image],
        cwd=book, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    killer.join()
    said = run.stdout + run.stderr
    assert run.returncode == 1, said
    # Killed between two requests it cannot be reached; within one, it stopped answering.
    words = re.compile(r"Docker Engine (stopped answering while|answers at)")
    assert len(words.findall(said)) == 1, said
    assert re.search(r"FAILED: cell \d+ \([a-z-]+\): Engine(Stopped|Unreachable)", said), said
    assert "Traceback" not in said
    assert not list((book / "_build").glob("results/*.json"))
