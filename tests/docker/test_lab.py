"""JupyterLab in the container: a token always, health that means something, this machine only."""

import os
import re
import socket
import subprocess
import time
from contextlib import closing

import pytest
import requests

from tests.docker.conftest import ROOT
from tests.docker.containers import check_log, listed, wait_until

pytestmark = pytest.mark.docker

TOKEN = "a-token-for-this-test"


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def status(port: int, *, token: str | None = None, host: str = "127.0.0.1") -> int:
    """The answer to a question that needs the token."""
    headers = {"Authorization": f"token {token}"} if token else {}
    return requests.get(
        f"http://{host}:{port}/api/contents", headers=headers, timeout=10
    ).status_code


def wait_for_health(container, *, seconds: float = 90) -> float:
    """Wait until Docker reports the container healthy; the seconds that it took."""
    begun = time.monotonic()

    def healthy() -> bool:
        container.reload()
        assert container.status == "running", container.logs(tail=20).decode()
        return container.attrs["State"]["Health"]["Status"] == "healthy"

    wait_until(container.client, healthy, "not healthy", seconds=seconds, container=container.id)
    return time.monotonic() - begun


def lab(containers, image, *, port: int, inside: int = 8888, **options):
    return containers.start(image, ports={f"{inside}/tcp": ("127.0.0.1", port)}, **options)


def test_the_lab_turns_healthy_refuses_without_the_token_and_answers_with_it(
    containers, image, folder
):
    port = free_port()
    container = lab(
        containers, image, port=port, command=["start"], environment={"JUPYTER_TOKEN": TOKEN},
        **folder.options,
    )  # fmt: skip
    seconds = wait_for_health(container)
    print(f"healthy after {seconds:.1f} s")
    assert status(port) == 403
    assert status(port, token="another") == 403
    assert status(port, token=TOKEN) == 200
    # What is saved through the lab is a file of the caller in the mounted folder.
    saved = requests.put(
        f"http://127.0.0.1:{port}/api/contents/work/note.txt",
        json={"type": "file", "format": "text", "content": "kept"},
        headers={"Authorization": f"token {TOKEN}"}, timeout=10,
    )  # fmt: skip
    assert saved.status_code == 201
    note = folder.path / "note.txt"
    assert note.read_text() == "kept"
    assert (note.stat().st_uid, note.stat().st_gid) == (folder.uid, folder.gid)
    # A notebook of the book can be changed and saved, whatever the uid.
    url = f"http://127.0.0.1:{port}/api/contents/notebooks/08-matmul.ipynb"
    book = requests.get(url, headers={"Authorization": f"token {TOKEN}"}, timeout=10).json()
    again = requests.put(url, json=book, headers={"Authorization": f"token {TOKEN}"}, timeout=10)
    assert again.status_code == 200
    log = container.logs().decode()
    assert TOKEN not in log, "the token is nowhere in the log"
    check_log(re.sub(r".*\b403\b.*|.*Forbidden.*", "", log))


@pytest.mark.parametrize("given", [{}, {"JUPYTER_TOKEN": ""}], ids=["no token", "an empty token"])
def test_without_a_token_jupyter_makes_one_up(containers, image, given):
    port = free_port()
    container = lab(containers, image, port=port, command=["jupyter", "lab"], environment=given)
    wait_for_health(container)
    assert status(port) == 403
    made = re.search(r"token=([0-9a-f]{32,})", container.logs().decode())
    assert made, "the log tells the token"
    assert status(port, token=made[1]) == 200


def test_the_port_can_be_chosen_and_the_old_names_of_start_work(containers, image):
    port = free_port()
    container = lab(
        containers, image, port=port, inside=9999, command=["start-notebook.sh"],
        environment={"JUPYTER_TOKEN": TOKEN, "JUPYTER_PORT": "9999"},
    )  # fmt: skip
    wait_for_health(container)
    assert status(port, token=TOKEN) == 200


def test_health_is_bad_when_the_lab_hangs_and_good_for_a_command_that_is_no_server(
    containers, image
):
    check = ["healthcheck"]
    busy = containers.start(image, ["sleep", "60"])
    assert busy.exec_run(check).exit_code == 0
    hung = containers.start(image, ["start"], environment={"JUPYTER_TOKEN": TOKEN})
    assert hung.exec_run(check).exit_code == 1, "not healthy before it answers"
    wait_for_health(hung)
    hung.exec_run(["bash", "-c", "kill -STOP $(pgrep -f jupyter-lab || echo 7)"])
    stopped = hung.exec_run(
        ["python", "-c", "import os, signal, pathlib\n"
         "for p in pathlib.Path('/proc').glob('[0-9]*/cmdline'):\n"
         "    if b'jupyter-lab' in p.read_bytes() and int(p.parent.name) != os.getpid():\n"
         "        os.kill(int(p.parent.name), signal.SIGSTOP); print('stopped')"],
    )  # fmt: skip
    assert b"stopped" in stopped.output
    ended = hung.exec_run(check)
    assert (ended.exit_code, b"does not answer" in ended.output) == (1, True)


def test_compose_up_is_healthy_here_only_and_down_leaves_nothing(engine, image, folder):
    port = free_port()
    environment = os.environ | {
        "IMAGE": image.rpartition(":")[0],
        "COMPOSE_PROJECT_NAME": "gpubook-test",
        "JUPYTER_PORT": str(port),
        "JUPYTER_TOKEN": TOKEN,
        "WORK": str(folder.path),
        "HOST_UID": str(folder.uid),
        "HOST_GID": str(folder.gid),
    }
    compose = ["docker", "compose", "--file", str(ROOT / "docker" / "compose.yaml")]
    mine = {"label": "com.docker.compose.project=gpubook-test"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*compose, *arguments], env=environment, capture_output=True, text=True, timeout=180
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    try:
        run("up", "--detach", "--wait", "lab-cpu")
        assert status(port) == 403
        assert status(port, token=TOKEN) == 200
        # Bound to 127.0.0.1: the machine's other addresses refuse, another loopback one as well.
        with pytest.raises(requests.ConnectionError):
            status(port, token=TOKEN, host="127.0.0.2")
        (container,) = listed(engine, **mine)
        config = container.attrs["HostConfig"]
        assert {b["HostIp"] for b in config["PortBindings"]["8888/tcp"]} == {"127.0.0.1"}
        assert config["ShmSize"] >= 2**30
        assert config["RestartPolicy"]["Name"] == "unless-stopped"
        mounts = {m["Destination"]: m["Source"] for m in container.attrs["Mounts"]}
        assert mounts == {"/mnt": str(folder.path)}, "the engine's socket is not among them"
    finally:
        run("--profile", "cpu", "down", "--remove-orphans")
    assert not listed(engine, **mine)
    assert not engine.networks.list(filters=mine)


def test_make_up_prints_an_address_that_opens_and_make_down_ends_it(engine, image, folder):
    port = free_port()
    mine = {"label": "com.docker.compose.project=gpubook-test-up"}
    environment = os.environ | {
        "IMAGE": image.rpartition(":")[0],
        "COMPOSE_PROJECT_NAME": "gpubook-test-up",
        "JUPYTER_PORT": str(port),
        "JUPYTER_TOKEN": "",
        "WORK": str(folder.path / "made"),
    }

    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "docker" / "up", *arguments], env=environment, capture_output=True, text=True,
            timeout=180, check=False,
        )  # fmt: skip

    try:
        up = script()
        assert up.returncode == 0, up.stderr[-3000:]
        address = re.search(rf"http://127\.0\.0\.1:{port}/lab\?token=([0-9a-f]{{48}})", up.stdout)
        assert address, up.stdout
        assert requests.get(address[0], timeout=10).status_code == 200
        assert status(port, token=address[1]) == 200
        assert (folder.path / "made").stat().st_uid == os.getuid()
    finally:
        down = script("down")
    assert down.returncode == 0, down.stderr
    assert not listed(engine, **mine)


def test_up_without_an_image_is_one_line_that_says_make_image(engine):
    done = subprocess.run(
        [ROOT / "docker" / "up"], env=os.environ | {"IMAGE": "gpubook-no-such-image"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith("yet: make image")
