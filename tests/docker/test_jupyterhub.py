"""A class: a real JupyterHub gives two learners a seat each, and nobody sees the other's."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import ssl
import stat
import subprocess
import time
import uuid
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import requests
import websocket

from gpubook import engine as engine_room
from gpubook.injection import own
from tests import service
from tests.docker.conftest import ROOT
from tests.docker.containers import listed, wait_until
from tests.service import Service

pytestmark = pytest.mark.docker

HUB = ROOT / "docker" / "jupyterhub" / "hub"
MEMORY = 1200 * 2**20
PASSWORDS = {"ada": "analytical engine", "grace": "compiler of A-0"}
TEACHERS = "nobody else's"  # the teacher's password
# Two devices, as two slices of one GPU would be: each leaves its number in the environment.
DEVICES = {
    "cdiVersion": "0.5.0",
    "kind": "example.com/seat",
    "devices": [
        {"name": name, "containerEdits": {"env": [f"SEAT_DEVICE={name}"]}} for name in ("0", "1")
    ],
}


def free_ports() -> int:
    """A port that is free together with the two that the Hub takes on this machine beside it."""
    for _ in range(50):
        with closing(socket.socket()) as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                for other in (port + 1, port + 81):
                    with closing(socket.socket()) as next_one:
                        next_one.bind(("0.0.0.0", other))
                return port
    pytest.fail("no free ports")


@dataclass
class Learner:
    """One who has logged in: a browser's session, and a token as JupyterLab would ask for."""

    hub: Hub
    name: str
    session: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def send_form(self, password: str, new: str = "") -> requests.Response:
        """The login form, sent as a browser does."""
        self.session.trust_env, self.session.verify = False, str(self.hub.certificate)
        self.session.get(f"{self.hub.url}/hub/login", timeout=20)
        return self.session.post(
            f"{self.hub.url}/hub/login",
            data={"username": self.name, "password": password, "new_password": new,
                  "_xsrf": self._xsrf()},
            timeout=30, allow_redirects=False,
        )  # fmt: skip

    def log_in(self, password: str, new: str = "") -> bool:
        """Send the login form and ask for a token; False when the Hub refuses."""
        if self.send_form(password, new).status_code != 302:
            return False
        self.session.get(f"{self.hub.url}/hub/home", timeout=20)
        made = self.session.post(
            f"{self.hub.url}/hub/api/users/{self.name}/tokens",
            headers={"X-XSRFToken": self._xsrf(), "Referer": f"{self.hub.url}/hub/home"},
            json={"note": "test"}, timeout=20,
        )  # fmt: skip
        assert made.status_code == 201, made.text
        self.token = made.json()["token"]
        return True

    def _xsrf(self) -> str:
        return next(c.value for c in self.session.cookies if c.name == "_xsrf")

    def ask(self, method: str, path: str, **more) -> requests.Response:
        """A request with this learner's token."""
        headers = {"Authorization": f"token {self.token}"}
        return self.hub.ask(method, path, headers=headers, **more)

    def take_seat(self) -> None:
        """Ask the Hub for a seat and follow its account of the start to the end."""
        server = f"/hub/api/users/{self.name}/server"
        asked = self.ask("POST", server)
        assert asked.status_code in {201, 202}, asked.text
        if asked.status_code == 202:
            with self.ask("GET", f"{server}/progress", stream=True) as account:
                lines = [line for line in account.iter_lines() if line.startswith(b"data:")]
            last = json.loads(lines[-1].removeprefix(b"data:"))
            assert last.get("ready"), f"no seat for {self.name}: {last}\n{self.hub.service.said}"

    def run(self, code: str) -> str:
        """What ``code`` prints in a kernel of this learner's seat."""
        made = self.ask("POST", f"/user/{self.name}/api/kernels", json={"name": "python3"})
        assert made.status_code == 201, made.text
        kernel = made.json()["id"]
        base = self.hub.url.replace("http", "ws", 1)
        url = f"{base}/user/{self.name}/api/kernels/{kernel}/channels"
        channel = websocket.create_connection(
            url, header=[f"Authorization: token {self.token}"], timeout=60,
            sslopt={"ca_certs": str(self.hub.certificate)},
        )  # fmt: skip
        message = uuid.uuid4().hex
        request = {
            "header": {
                "msg_id": message, "msg_type": "execute_request", "username": self.name,
                "session": uuid.uuid4().hex, "version": "5.3", "date": "",
            },
            "parent_header": {}, "metadata": {}, "channel": "shell",
            "content": {"code": code, "silent": False},
        }  # fmt: skip
        printed = []
        with closing(channel):
            channel.send(json.dumps(request))
            while True:
                answer = json.loads(channel.recv())
                if answer["parent_header"].get("msg_id") != message:
                    continue
                content = answer["content"]
                if answer["msg_type"] == "stream":
                    printed.append(content["text"])
                elif answer["msg_type"] == "error":
                    pytest.fail("\n".join(content["traceback"]))
                elif answer["msg_type"] == "status" and content["execution_state"] == "idle":
                    break
        self.ask("DELETE", f"/user/{self.name}/api/kernels/{kernel}")
        return "".join(printed)


@dataclass
class Hub:
    """A running Hub: where it answers, the first word of what it makes, its folder and process."""

    url: str
    mark: str
    folder: Path
    service: Service

    @property
    def certificate(self) -> Path:
        """What a browser is told to trust."""
        return self.folder / "certificate.pem"

    def ask(self, method: str, path: str, **more) -> requests.Response:
        """A request; who asks is in ``more``."""
        certificate = str(self.certificate)
        return requests.request(method, self.url + path, verify=certificate, timeout=30, **more)

    def codes(self) -> dict[str, str]:
        """The printed list, by name."""
        environment = os.environ | {"HUB_FOLDER": str(self.folder)}
        printed = command("codes", environment).stdout
        return dict(re.findall(r"name  (\S+)\n  code  (\S+) ", printed))

    def end(self) -> None:
        """Ctrl-C, as whoever started it would press; nothing of it may be left."""
        process = self.service.process
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def command(words: str, environment: dict, **more) -> subprocess.CompletedProcess[str]:
    """One command of docker/jupyterhub/hub, which must end well."""
    done = subprocess.run(
        [HUB, *words.split()], env=environment, capture_output=True, text=True, timeout=300,
        check=False, **more,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def containers_of(engine, mark: str) -> dict[str, object]:
    """The seats there are, by the learner's name."""
    seats = listed(engine, name=f"^/?{mark}-")
    return {seat.name.removeprefix(f"{mark}-"): seat for seat in seats}


def variables(image: str, mark: str, folder: Path, port: int) -> dict[str, str]:
    """The environment of a Hub for a test."""
    return os.environ | {
        "HUB_LEARNERS": " ".join(PASSWORDS), "HUB_TEACHERS": "lin", "HUB_IMAGE": image,
        "HUB_PORT": str(port), "HUB_NETWORK": mark, "HUB_FOLDER": str(folder),
        "SEAT_MEMORY": "1200M", "SEAT_CPUS": "1.5",
    }  # fmt: skip


@contextmanager
def running(image: str, mark: str, folder: Path, **settings: str):
    """A Hub started as the guide says; ended as Ctrl-C ends it."""
    port = free_ports()
    log = folder / f"log-{port}"
    environment = variables(image, mark, folder, port) | settings
    for name in environment["HUB_TEACHERS"].split():
        command(f"password {name}", environment, input=TEACHERS + "\n")
    started = service.start(
        [HUB, "run"], ready="JupyterHub is now running", log=log, seconds=240, env=environment,
        start_new_session=True,
    )  # fmt: skip
    hub = Hub(f"https://127.0.0.1:{port}", mark, folder, started)
    try:
        assert hub.ask("GET", "/hub/health").status_code == 200
        yield hub
    finally:
        hub.end()


@pytest.fixture(scope="module")
def place(engine, tmp_path_factory):
    """The name of all that a Hub makes here, and the Hub's folder; nothing is left behind."""
    mark = f"gpubook-test-hub-{secrets.token_hex(3)}"
    yield mark, tmp_path_factory.mktemp("hub")
    for container in containers_of(engine, mark).values():
        container.remove(force=True)
    for volume in engine.volumes.list(filters={"name": mark}):
        volume.remove(force=True)
    for network in engine.networks.list(names=[mark]):
        network.remove()


def test_a_network_on_which_seats_could_meet_is_refused(engine, image, place, tmp_path):
    mark = f"{place[0]}-open"
    engine.networks.create(mark)
    done = subprocess.run(
        [HUB, "run"], env=variables(image, mark, tmp_path, free_ports()) | {"HUB_TEACHERS": ""},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(f"docker network rm {mark}")


@pytest.fixture(scope="module")
def devices():
    """The names of two CDI devices that this engine knows while the tests run; none without CDI."""
    folders = engine_room.info()["cdi"]["directories"]
    if not folders:
        yield ""
        return
    with own.placed(
        engine_room.choose_image(), folders[0], {"gpubook-seats.yaml": json.dumps(DEVICES)}
    ):
        yield "example.com/seat=0 example.com/seat=1"


@pytest.fixture(scope="module")
def hub(image, place, devices):
    with running(image, *place, SEAT_GPUS=devices) as started:
        yield started


@pytest.fixture(scope="module")
def learners(hub) -> dict[str, Learner]:
    """Both learners, logged in with their codes, each in a seat."""
    both = {name: Learner(hub, name) for name in PASSWORDS}
    codes = hub.codes()
    assert codes.keys() == PASSWORDS.keys(), "the teacher needs none"
    for learner in both.values():
        assert learner.log_in(codes[learner.name], PASSWORDS[learner.name])
        learner.take_seat()
    return both


def test_only_listed_names_get_in_and_a_teacher_is_not_who_comes_first(hub, learners):
    assert hub.codes() == {}, "each has been used"
    assert not Learner(hub, "mallory").log_in("a password of mine", "a password of mine")
    assert not Learner(hub, "lin").log_in("I was here first", "I was here first")
    assert not Learner(hub, "ada").log_in("not the engine")
    assert Learner(hub, "ada").log_in(PASSWORDS["ada"])
    stale = {"username": "ada", "password": PASSWORDS["ada"], "_xsrf": "of yesterday"}
    refused = hub.ask("POST", "/hub/login", data=stale)
    assert refused.status_code == 403
    assert "Try again" in refused.text
    lin = Learner(hub, "lin")
    assert lin.log_in(TEACHERS)
    assert {user["name"] for user in lin.ask("GET", "/hub/api/users").json()} == {*PASSWORDS, "lin"}
    assert learners["ada"].ask("GET", "/hub/api/users").status_code == 403


def test_the_login_form_says_what_is_wrong_and_guessing_is_stopped(hub, learners):
    joan = Learner(hub, "grace")
    long = joan.send_form("x" * 5000)
    assert (long.status_code, "at most 200 characters" in long.text) == (400, True)
    short = joan.send_form(PASSWORDS["grace"], "short")
    assert (short.status_code, "10 to 200 characters" in short.text) == (400, True)
    assert joan.send_form(PASSWORDS["grace"]).status_code == 302
    guesser = Learner(hub, "lin")
    codes = [guesser.send_form(f"guess number {n}").status_code for n in range(6)]
    assert codes[-1] == 429, codes
    stopped = guesser.send_form(TEACHERS)
    assert (stopped.status_code, "Wait a minute" in stopped.text) == (429, True)
    assert Learner(hub, "ada").log_in(PASSWORDS["ada"]), "others are not kept waiting"


def test_nothing_is_said_without_tls(hub):
    with pytest.raises(requests.RequestException):
        requests.get(hub.url.replace("https", "http") + "/hub/login", timeout=20)
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(f"{hub.url}/hub/login", timeout=20)  # nobody trusts it untold
    secrets_ = [hub.folder / name for name in ("key.pem", "accounts.json", "jupyterhub.sqlite")]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets_} == {0o600}


def test_requests_that_never_end_keep_nobody_waiting(hub, learners):
    trust = ssl.create_default_context(cafile=hub.certificate)
    port = int(hub.url.rpartition(":")[2])
    head = (
        "POST /hub/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/plain\r\n"
        "Content-Length: 1000000\r\n\r\nusername="
    )
    with ExitStack() as held:
        for _ in range(50):
            plain = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            slow = held.enter_context(trust.wrap_socket(plain, server_hostname="127.0.0.1"))
            slow.sendall(head.encode())
        assert learners["grace"].ask("GET", "/user/grace/api/status").status_code == 200


def test_each_learner_sees_the_own_folder_only(hub, learners):
    ada, grace = learners["ada"], learners["grace"]
    saved = ada.ask(
        "PUT", "/user/ada/api/contents/work/secret.txt",
        json={"type": "file", "format": "text", "content": "Ada's"},
    )  # fmt: skip
    assert saved.status_code == 201, saved.text
    assert ada.run("print(open('/mnt/secret.txt').read())") == "Ada's\n"

    # The other's files, seen from the own seat: an empty folder, and no way to the neighbour's.
    listed = grace.ask("GET", "/user/grace/api/contents/work").json()
    assert listed["content"] == []
    assert grace.run("import os; print(os.listdir('/mnt'))") == "[]\n"
    assert grace.ask("GET", "/user/grace/api/contents/work/secret.txt").status_code == 404
    refused = grace.ask("GET", "/user/ada/api/contents/work/secret.txt")
    assert refused.status_code == 403
    anonymous = hub.ask("GET", "/user/ada/api/contents/work/secret.txt")
    assert anonymous.status_code == 403


def test_seats_reach_the_hub_but_not_one_another(engine, hub, learners):
    (network,) = (
        containers_of(engine, hub.mark)["ada"].attrs["NetworkSettings"]["Networks"].values()
    )
    code = (
        "import socket\n"
        "def reach(host, port):\n"
        "    try:\n"
        "        socket.create_connection((host, port), timeout=3).close()\n"
        "        return True\n"
        "    except OSError:\n"
        "        return False\n"
        f"print(reach({network['IPAddress']!r}, 8888), "
        f"reach({network['Gateway']!r}, {int(hub.url.rpartition(':')[2]) + 81}))"
    )
    assert learners["ada"].run(code) == "True True\n", "the seat's own server listens there"
    assert learners["grace"].run(code) == "False True\n"


def test_a_notebook_of_the_book_runs_in_a_seat_within_its_limits(learners):
    notebook = learners["ada"].ask("GET", "/user/ada/api/contents/notebooks/08-matmul.ipynb").json()
    assert notebook["writable"], "a learner can edit it"
    setup = next(c["source"] for c in notebook["content"]["cells"] if "import Page" in c["source"])
    parameters = next(
        c["source"]
        for c in notebook["content"]["cells"]
        if "parameters" in c["metadata"].get("tags", ())
    )
    code = (
        "import os; os.chdir('/book/notebooks')\n"
        f"{parameters}\n{setup}\n"
        "import torch; print('product', float((torch.ones(64, 64) @ torch.ones(64, 64)).sum()))\n"
        "from pathlib import Path\n"
        "limits = ('memory.max', 'memory/memory.limit_in_bytes')  # control groups 2 and 1\n"
        "found = [p for name in limits if (p := Path('/sys/fs/cgroup') / name).exists()]\n"
        "print('memory', found[0].read_text().strip())\n"
        "print('user', os.getuid())"
    )
    printed = learners["ada"].run(code)
    assert "product 262144.0" in printed
    limit = re.search(r"memory (\d+)", printed)
    assert limit, printed
    assert MEMORY - 4096 < int(limit[1]) <= MEMORY
    assert "user 1000" in printed


def test_a_seat_is_a_container_without_rights_or_the_engines_socket(engine, hub, image, learners):
    seats = containers_of(engine, hub.mark)
    assert sorted(seats) == sorted(PASSWORDS)
    for name, seat in seats.items():
        checked = seat.exec_run(["healthcheck"])
        assert (checked.exit_code, b"answers" in checked.output) == (0, True), checked.output
        config = seat.attrs["HostConfig"]
        assert config["Memory"] == MEMORY
        assert config["CpuQuota"] == 1.5 * config["CpuPeriod"]
        assert config["CapDrop"] == ["ALL"]
        assert config["SecurityOpt"] == ["no-new-privileges:true"]
        assert not config["PortBindings"], "only the Hub's proxy leads to it"
        assert config["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
        assert mounts_of(seat) == {
            "/book": f"{hub.mark}-{name}-book-{image_digits(engine, image)}-1",
            "/mnt": f"{hub.mark}-{name}-work",
        }


def mounts_of(seat) -> dict[str, str]:
    """Volumes by where they are."""
    return {m["Destination"]: m["Name"] for m in seat.attrs["Mounts"] if m["Type"] == "volume"}


def image_digits(engine, image: str) -> str:
    """The part of an image's id that is in the names of its books."""
    return engine.images.get(image).id.removeprefix("sha256:")[:12]


def test_nothing_but_the_own_volumes_and_tmp_can_be_written(learners):
    code = (
        "import errno, pathlib\n"
        "for place in '/ /opt/venv /opt/gpubook /home/book /etc /tmp /mnt /book'.split():\n"
        "    try:\n"
        "        pathlib.Path(place, 'planted').write_text('x')\n"
        "        print(place)\n"
        "    except OSError as error:\n"
        "        assert error.errno in (errno.EROFS, errno.EACCES), error"
    )
    assert learners["ada"].run(code) == "/tmp\n/mnt\n/book\n"


def stop_seat(engine, learner: Learner) -> None:
    """Stop a seat as the Hub Control Panel does, and wait until it is gone."""
    stopped = learner.ask("DELETE", f"/hub/api/users/{learner.name}/server")
    assert stopped.status_code in {202, 204}
    mark = learner.hub.mark
    wait_until(engine, lambda: learner.name not in containers_of(engine, mark), "the seat is there")


def test_a_fresh_book_and_a_rebuilt_image_reach_the_seat_and_nothing_is_lost(
    engine, hub, image, containers, learners
):
    grace, mark = learners["grace"], hub.mark
    grace.run("open('/book/notebooks/08-matmul.ipynb', 'w').write('edited')")
    grace.run("open('/mnt/own.txt', 'w').write('own')")
    environment = variables(image, mark, hub.folder, 1)
    command("renew grace", environment)
    assert grace.run("print(open('/book/notebooks/08-matmul.ipynb').read())") == "edited\n"
    stop_seat(engine, grace)
    grace.take_seat()
    show = (
        "import json, pathlib\n"
        "print(len(json.loads(pathlib.Path('/book/notebooks/08-matmul.ipynb').read_text())) > 1,"
        " pathlib.Path('/book/earlier/notebooks/08-matmul.ipynb').read_text(),"
        " pathlib.Path('/mnt/own.txt').read_text())"
    )
    assert grace.run(show) == "True edited own\n"
    with pytest.raises(pytest.fail.Exception, match="Read-only file system"):
        grace.run("open('/book/earlier/notebooks/08-matmul.ipynb', 'w')")
    # Another image under the same name: one file is new.
    grace.run("open('/book/notebooks/08-matmul.ipynb', 'w').write('edited again')")
    old = engine.images.get(image)
    name, _, tag = image.rpartition(":")
    changed = containers.start(image, ["touch", "/book/notebooks/new.txt"])
    changed.wait(timeout=60)
    try:
        changed.commit(name, tag, changes='CMD ["mat_mul"]')
        stop_seat(engine, grace)
        grace.take_seat()
        listed = grace.run("import os; print('new.txt' in os.listdir('/book/notebooks'))")
        assert (listed, grace.run(show)) == ("True\n", "True edited again own\n")
        stop_seat(engine, grace)
    finally:
        rebuilt = engine.images.get(image)
        old.tag(name, tag)
    grace.take_seat()
    assert mounts_of(containers_of(engine, mark)["grace"])["/book"].endswith("-2"), "as before it"
    assert rebuilt.id != engine.images.get(image).id


def test_devices_are_given_out_in_turn(devices, learners):
    if not devices:
        pytest.skip("this engine reads no CDI specifications")
    code = "import os; print(os.environ.get('SEAT_DEVICE'))"
    assert learners["ada"].run(code) == "0\n"
    assert learners["grace"].run(code) == "1\n"


def test_a_stopped_seat_leaves_its_files_where_a_teacher_finds_them(
    engine, hub, learners, containers, image
):
    ada = learners["ada"]
    ada.run("open('/mnt/kept.txt', 'w').write('kept')")
    stop_seat(engine, ada)
    volumes = {f"{hub.mark}-ada-work": {"bind": "/mnt", "mode": "ro"}}
    assert containers.run(image, ["cat", "/mnt/kept.txt"], volumes=volumes).stdout == "kept"


def test_ending_the_hub_ends_the_seats_and_the_next_one_stops_an_idle_seat(
    engine, hub, learners, image, place
):
    """Ends the Hub of the tests above."""
    mark, folder = place
    assert containers_of(engine, mark), "someone sits there"
    hub.end()
    assert containers_of(engine, mark) == {}
    with running(image, mark, folder, SEAT_IDLE_MINUTES="0.05") as again:
        grace = Learner(again, "grace")
        assert grace.log_in(PASSWORDS["grace"]), "passwords outlive the Hub"
        grace.take_seat()
        wait_until(engine, lambda: not containers_of(engine, mark), "an idle seat is there")
    assert containers_of(engine, mark) == {}


def test_who_is_no_longer_listed_has_no_access_and_who_was_a_teacher_is_none(image, place):
    """The same folder, other names: Grace has left, Lin learns now, Joan teaches."""
    mark, folder = f"{place[0]}-list", place[1] / "list"
    folder.mkdir()
    with running(image, mark, folder) as before:
        ada, grace, teacher = (Learner(before, name) for name in ("ada", "grace", "lin"))
        for learner in (ada, grace):
            assert learner.log_in(before.codes()[learner.name], PASSWORDS[learner.name])
        assert teacher.log_in(TEACHERS)
        assert teacher.ask("GET", "/hub/api/users/grace").status_code == 200
    with running(image, mark, folder, HUB_LEARNERS="ada lin", HUB_TEACHERS="joan") as after:
        for old in (teacher, grace):
            old.hub = after
        assert grace.ask("GET", "/hub/api/user").status_code == 403, "her token is dead"
        assert "/hub/login" in grace.session.get(f"{after.url}/hub/home", timeout=20).url
        assert not Learner(after, "grace").log_in(PASSWORDS["grace"], "compiler of A-1")
        assert teacher.ask("GET", "/hub/api/users").status_code == 403
        assert not teacher.ask("GET", "/hub/api/user").json()["admin"]
        assert Learner(after, "ada").log_in(PASSWORDS["ada"])


def test_as_a_service_it_outlives_its_shell_and_a_crash_and_no_kernel_is_lost(engine, image, place):
    mark, folder = f"{place[0]}-service", place[1] / "service"
    folder.mkdir()
    port = free_ports()
    environment = variables(image, mark, folder, port) | {
        "HUB_LEARNERS": "ada", "HUB_TEACHERS": "", "SEAT_CPUS": "1",
    }  # fmt: skip
    told = command("up", environment, start_new_session=True).stdout
    hub = Hub(re.search(r"https://\S+", told)[0], mark, folder, None)
    try:
        ada = Learner(hub, "ada")
        assert ada.log_in(hub.codes()["ada"], PASSWORDS["ada"])
        ada.take_seat()
        ada.run("open('/tmp/here', 'w').write('yes')")
        assert f"{mark}-ada" in command("status", environment).stdout
        twice = subprocess.run([HUB, "up"], env=environment, capture_output=True, timeout=60)
        assert (twice.returncode, b"runs already" in twice.stderr) == (1, True)
        pid = int(re.search(r"RUNNING   pid (\d+)", command("status", environment).stdout)[1])
        os.kill(pid, signal.SIGKILL)
        wait_for_health(hub, other_than=pid, environment=environment)
        assert ada.run("print(open('/tmp/here').read())") == "yes\n", "the same container"
    finally:
        command("down", environment)
    assert containers_of(engine, mark) == {}
    with pytest.raises(requests.ConnectionError):
        hub.ask("GET", "/hub/health")
    gone = subprocess.run([HUB, "status"], env=environment, capture_output=True, timeout=60)
    assert gone.returncode == 3


def wait_for_health(hub: Hub, *, other_than: int, environment: dict) -> None:
    """Wait until another process is the Hub and answers."""
    for _ in range(120):
        said = subprocess.run([HUB, "status"], env=environment, capture_output=True, text=True)
        pid = re.search(r"RUNNING   pid (\d+)", said.stdout)
        if pid and int(pid[1]) != other_than:
            with suppress(requests.RequestException):
                if hub.ask("GET", "/hub/health").ok:
                    return
        time.sleep(0.5)
    pytest.fail((hub.folder / "hub.log").read_text()[-3000:])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"HUB_LEARNERS": ""}, "name the learners"),
        ({"HUB_LEARNERS": "ada Grace"}, "not 'Grace'"),
        ({"HUB_TEACHERS": "lin"}, "no password yet: docker/jupyterhub/hub password lin"),
        ({"HUB_CERT": "/dev/null", "HUB_KEY": "/dev/null"}, "not a certificate and its key"),
        ({"SEAT_MEMORY": "a lot"}, "SEAT_MEMORY is a whole number"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_the_hub_cannot_start_with_is_one_line(engine, image, tmp_path, settings, said):
    mark = f"gpubook-test-hub-{secrets.token_hex(3)}"
    environment = {
        "HUB_LEARNERS": "ada", "HUB_IMAGE": image, "HUB_FOLDER": str(tmp_path), "HUB_NETWORK": mark,
    }  # fmt: skip
    done = subprocess.run(
        [HUB, "run"], env=os.environ | environment | settings, capture_output=True, text=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert said in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not engine.networks.list(names=[mark]), "nothing was made"
