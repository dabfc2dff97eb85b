"""A class's Hub as the tests drive it: started as the guide says, used as a browser would."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import uuid
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from tests import service
from tests.docker.conftest import ROOT
from tests.docker.containers import listed, wait_until
from tests.service import Service

HUB = ROOT / "docker" / "jupyterhub" / "hub"
MEMORY = 1200 * 2**20
PASSWORDS = {"ada": "analytical engine", "grace": "compiler of A-0"}
TEACHERS = "nobody else's"  # the teacher's password

# Five times the disk that a seat has in these tests, then a wait: only a dead seat ends it early.
FULL_DISK = """
import os, time
with open("/mnt/full", "wb") as file:
    for _ in range(1500):
        file.write(os.urandom(2**20))
time.sleep(60)
"""


def free_ports() -> int:
    """A port that is free together with those that the Hub takes on this machine beside it."""
    for _ in range(50):
        with closing(socket.socket()) as first:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            with suppress(OSError, OverflowError):
                for other in (port + 1, port + 81, port + 82):
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

    def run(self, code: str, seconds: float = 120) -> str:
        """What ``code`` prints in a kernel of this learner's seat.

        WebSocketTimeoutException when it has not ended after ``seconds``.
        """
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
        end = time.monotonic() + seconds
        with closing(channel):
            channel.send(json.dumps(request))
            while True:
                kind, text = channel.recv_data(control_frame=True)  # a ping is no end of the wait
                if time.monotonic() > end:
                    raise websocket.WebSocketTimeoutException(f"no end after {seconds} s")
                if kind == websocket.ABNF.OPCODE_CLOSE:
                    raise websocket.WebSocketConnectionClosedException("the seat has closed it")
                if kind != websocket.ABNF.OPCODE_TEXT:
                    continue
                answer = json.loads(text)
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
        "SEAT_MEMORY": "1200M", "SEAT_CPUS": "1.5", "SEAT_DISK": "300M",
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
        ["env", "--ignore-signal=INT", HUB, "run"],  # as a shell starts it in the background
        ready="JupyterHub is now running", log=log, seconds=240, env=environment,
        start_new_session=True,
    )  # fmt: skip
    hub = Hub(f"https://127.0.0.1:{port}", mark, folder, started)
    try:
        host = {"Host": settings.get("HUB_NAME", "127.0.0.1")}
        assert hub.ask("GET", "/hub/health", headers=host).status_code == 200
        yield hub
    finally:
        hub.end()


def stop_seat(engine, learner: Learner) -> None:
    """Stop a seat as the Hub Control Panel does, and wait until it is gone."""
    stopped = learner.ask("DELETE", f"/hub/api/users/{learner.name}/server")
    assert stopped.status_code in {202, 204}
    mark = learner.hub.mark
    wait_until(engine, lambda: learner.name not in containers_of(engine, mark), "the seat is there")


def clear(engine: Any, mark: str) -> None:
    """Remove what a Hub of that mark made."""
    for container in containers_of(engine, mark).values():
        container.remove(force=True)
    for volume in engine.volumes.list(filters={"name": mark}):
        volume.remove(force=True)
    for network in engine.networks.list(names=[mark]):
        network.remove()
