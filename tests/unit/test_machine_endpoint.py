"""Where the engine is, and what a reader is told when it cannot be reached."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from gpubook.machine import endpoint
from gpubook.machine.endpoint import DEFAULT_HOST, Endpoint, connect, resolve
from gpubook.machine.info import info


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def folder():
    """A short path: a Unix socket's may have 107 characters."""
    path = tempfile.mkdtemp(prefix="gb", dir="/tmp")
    yield Path(path)
    shutil.rmtree(path)


def store_context(home: Path, name: str, host: str, *, skip_verify: bool = False) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = home / ".docker/contexts/meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": skip_verify}}
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    return home / ".docker/contexts/tls" / digest / "docker"


CERTS = {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}


@pytest.mark.parametrize(
    ("env", "current", "expected"),
    [
        ({}, "", Endpoint(DEFAULT_HOST, "the default")),
        ({}, "desk", Endpoint("unix:///desk.sock", "docker context use: desk")),
        (
            {"DOCKER_CONTEXT": "lab"},
            "desk",
            Endpoint("tcp://lab:2376", "DOCKER_CONTEXT: lab"),
        ),
        (
            {"DOCKER_CONTEXT": "default"},
            "desk",
            Endpoint(DEFAULT_HOST, "DOCKER_CONTEXT: default"),
        ),
        (
            {"DOCKER_CONTEXT": "lab", "DOCKER_HOST": "tcp://there:2375"},
            "desk",
            Endpoint("tcp://there:2375", "DOCKER_HOST"),
        ),
        ({"DOCKER_HOST": "/tmp/d.sock"}, "", Endpoint("unix:///tmp/d.sock", "DOCKER_HOST")),
        (
            {"DOCKER_HOST": "tcp://x:2376"} | CERTS,
            "",
            Endpoint("tcp://x:2376", "DOCKER_HOST", Path("/certs")),
        ),
    ],
)
def test_the_address_is_found_in_the_order_of_the_docker_command(home, env, current, expected):
    store_context(home, "lab", "tcp://lab:2376")
    store_context(home, "desk", "unix:///desk.sock")
    (home / ".docker/config.json").write_text(json.dumps({"currentContext": current}))
    assert resolve(env, home) == expected
    moved = env | {"DOCKER_CONFIG": str(home / ".docker")}
    assert resolve(moved, home / "nowhere") == expected


def test_a_contexts_certificates_and_its_word_on_checking_them_are_used(home):
    tls = store_context(home, "lab", "tcp://lab:2376", skip_verify=True)
    tls.mkdir(parents=True)
    where = resolve({"DOCKER_CONTEXT": "lab"}, home)
    assert (where.tls, where.tls_verify) == (tls, False)


@pytest.mark.parametrize(
    ("host", "elsewhere"),
    [
        ("unix:///var/run/docker.sock", False),
        ("tcp://127.0.0.1:2375", False),
        ("tcp://localhost:2375", False),
        ("tcp://10.0.0.2:2376", True),
        ("ssh://ada@lab", True),
    ],
)
def test_an_engine_at_an_address_of_another_host_is_elsewhere(host, elsewhere):
    assert Endpoint(host, "DOCKER_HOST").elsewhere is elsewhere


def test_an_unknown_context_is_named_with_what_to_type(home):
    with pytest.raises(endpoint.ContextUnknown, match=r"'nope' \(DOCKER_CONTEXT\).*docker context"):
        resolve({"DOCKER_CONTEXT": "nope"}, home)


def test_a_broken_configuration_is_named_by_its_path(home):
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text("{")
    with pytest.raises(endpoint.UnexpectedAnswer, match=r"config\.json is not JSON"):
        resolve({}, home)


@pytest.mark.parametrize(
    ("host", "kind", "says"),
    [
        ("unix://FOLDER/no.sock", "EngineUnreachable", r"no\.sock \(from DOCKER_HOST\).*systemctl"),
        ("unix://FOLDER/dead.sock", "EngineUnreachable", "Connection refused"),
        (
            "unix:///run/user/4242424/docker.sock",  # started by the user, not by root
            "RootlessStopped",
            "systemctl --user start docker",
        ),
        ("tcp://127.0.0.1:PORT", "EngineUnreachable", "127.0.0.1:"),
    ],
)
def test_an_engine_that_cannot_be_reached_is_named_with_what_to_type(folder, host, kind, says):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "dead.sock"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, not listening: the port refuses
        port = listener.getsockname()[1]
        host = host.replace("FOLDER", str(folder)).replace("PORT", str(port))
        with pytest.raises(getattr(endpoint, kind), match=says):
            connect(Endpoint(host, "DOCKER_HOST"))


def test_another_engines_socket_is_offered_when_the_default_is_missing(folder, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "docker.sock"))
        with pytest.raises(endpoint.EngineUnreachable, match=f"DOCKER_HOST=unix://{folder}"):
            connect(Endpoint(f"unix://{folder}/no.sock", "the default"))


def test_a_denied_socket_is_not_a_missing_engine(folder, monkeypatch):
    def denied(*_):  # root, whom CI may be, is never denied
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("socket.socket.connect", denied)
    with pytest.raises(endpoint.SocketDenied) as raised:
        connect(Endpoint(f"unix://{folder}/d.sock", "the default"))
    assert str(raised.value).startswith("permission denied at the engine's socket")
    assert "usermod -aG docker" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_the_process_behind_a_socket_is_found_or_honestly_unknown(folder):
    where = Endpoint(f"unix://{folder}/d.sock", "the default")
    assert endpoint.daemon_pid(where) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "d.sock"))
        listener.listen()
        assert endpoint.daemon_pid(where) == os.getpid()
    assert endpoint.daemon_pid(Endpoint("tcp://127.0.0.1:1", "DOCKER_HOST")) is None


class FakeEngine:
    """Answers HTTP on a Unix socket with the given bodies, one connection each, then dies."""

    def __init__(self, path: Path, answers: list[tuple[int, dict]]) -> None:
        self.host = f"unix://{path}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.answers = answers
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        for status, body in self.answers:
            with contextlib.suppress(OSError):
                self.answer(status, body)
        self.listener.close()

    def answer(self, status: int, body: dict) -> None:
        connection, _ = self.listener.accept()
        with connection:
            if not connection.recv(65536):
                return self.answer(status, body)  # the knock: opened and closed
            text = json.dumps(body).encode()
            connection.sendall(
                f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(text)}\r\n\r\n".encode()
                + text
            )
        return None


VERSION = {"Version": "99.0", "ApiVersion": "1.47", "MinAPIVersion": "1.24"}


@pytest.mark.parametrize(
    ("answers", "kind", "says"),
    [
        ([], "EngineStopped", "stopped answering while asking for its info: look"),
        (
            [(400, {"message": "unknown or invalid runtime name: nvidia\nmore"})],
            "EngineRefused",
            "asking for its info: unknown or invalid runtime name: nvidia$",
        ),
        ([(200, {"podman": True})], "UnexpectedAnswer", "has no ServerVersion"),
    ],
)
def test_an_engine_that_dies_refuses_or_is_none_is_one_line(folder, answers, kind, says):
    fake = FakeEngine(folder / "d.sock", [(200, VERSION), *answers])
    with contextlib.closing(connect(Endpoint(fake.host, "the default"))) as client:
        if not answers:
            fake.thread.join(5)
        with pytest.raises(getattr(endpoint, kind), match=says):
            info(client)
