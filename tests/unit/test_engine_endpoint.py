"""Where the engine is, and what a reader is told when it cannot be reached."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path

import pytest

from gpubook import engine
from gpubook.engine import endpoint as endpoint_module
from gpubook.engine.endpoint import DEFAULT_HOST, Endpoint


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


def test_with_nothing_set_the_default_socket_is_used(home):
    assert engine.resolve({}, home) == Endpoint(DEFAULT_HOST, "the default")


def test_docker_host_beats_docker_context_beats_the_current_context(home):
    store_context(home, "lab", "tcp://lab:2376")
    store_context(home, "desk", "unix:///desk.sock")
    (home / ".docker/config.json").write_text('{"currentContext": "desk"}')
    both = {"DOCKER_HOST": "tcp://there:2375", "DOCKER_CONTEXT": "lab"}
    assert engine.resolve(both, home).host == "tcp://there:2375"
    assert engine.resolve({"DOCKER_CONTEXT": "lab"}, home).host == "tcp://lab:2376"
    assert engine.resolve({}, home).host == "unix:///desk.sock"
    assert engine.resolve({"DOCKER_CONTEXT": "default"}, home).host == DEFAULT_HOST


def test_the_source_names_who_decided(home):
    store_context(home, "lab", "tcp://lab:2376")
    assert engine.resolve({"DOCKER_HOST": "tcp://x:1"}, home).source == "DOCKER_HOST"
    assert engine.resolve({"DOCKER_CONTEXT": "lab"}, home).source == "DOCKER_CONTEXT: lab"


def test_a_bare_path_in_docker_host_is_a_socket(home):
    found = engine.resolve({"DOCKER_HOST": "/tmp/d.sock"}, home)
    assert found.host == "unix:///tmp/d.sock"
    assert found.socket_path == Path("/tmp/d.sock")


def test_docker_config_moves_the_context_store(home, tmp_path):
    store_context(tmp_path / "else", "lab", "tcp://lab:2376")
    env = {"DOCKER_CONFIG": str(tmp_path / "else/.docker"), "DOCKER_CONTEXT": "lab"}
    assert engine.resolve(env, home).host == "tcp://lab:2376"


def test_a_contexts_certificates_and_its_word_on_checking_them_are_used(home):
    tls = store_context(home, "lab", "tcp://lab:2376", skip_verify=True)
    tls.mkdir(parents=True)
    found = engine.resolve({"DOCKER_CONTEXT": "lab"}, home)
    assert (found.tls, found.tls_verify) == (tls, False)


def test_certificates_are_checked_unless_the_context_says_otherwise(home):
    store_context(home, "lab", "tcp://lab:2376")
    assert engine.resolve({"DOCKER_CONTEXT": "lab"}, home).tls_verify is True
    host = {"DOCKER_HOST": "tcp://x:2376", "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    found = engine.resolve(host, home)
    assert (found.tls, found.tls_verify) == (Path("/certs"), True)


def test_an_unknown_context_is_named_with_what_to_type(home):
    with pytest.raises(engine.ContextUnknown, match=r"'nope' \(DOCKER_CONTEXT\).*docker context"):
        engine.resolve({"DOCKER_CONTEXT": "nope"}, home)


def test_a_broken_configuration_is_named_by_its_path(home):
    (home / ".docker").mkdir(parents=True)
    (home / ".docker/config.json").write_text("{")
    with pytest.raises(engine.UnexpectedAnswer, match=r"config\.json is not JSON"):
        engine.resolve({}, home)


def test_a_missing_socket_says_where_it_looked_and_how_to_start_the_engine(folder):
    where = Endpoint(f"unix://{folder}/no.sock", "DOCKER_HOST")
    with pytest.raises(engine.EngineUnreachable, match=r"no\.sock \(from DOCKER_HOST\).*systemctl"):
        engine.connect(where)


def test_a_socket_that_nobody_listens_at_is_unreachable_too(folder):
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "d.sock"))
    with pytest.raises(engine.EngineUnreachable, match="Connection refused"):
        engine.connect(Endpoint(f"unix://{folder}/d.sock", "the default"))


def test_a_stopped_rootless_engine_is_started_by_the_user_not_by_root():
    where = Endpoint("unix:///run/user/4242424/docker.sock", "docker context use: rootless")
    with pytest.raises(engine.RootlessStopped, match=r"systemctl --user start docker"):
        engine.connect(where)


def test_another_engines_socket_is_offered_when_the_default_is_missing(folder, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(folder / "docker.sock"))
        with pytest.raises(engine.EngineUnreachable, match=f"DOCKER_HOST=unix://{folder}"):
            engine.connect(Endpoint(f"unix://{folder}/no.sock", "the default"))


def test_a_tcp_address_without_an_engine_is_unreachable():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, not listening: the port refuses
        port = listener.getsockname()[1]
        with pytest.raises(engine.EngineUnreachable, match=f"127.0.0.1:{port}"):
            engine.connect(Endpoint(f"tcp://127.0.0.1:{port}", "DOCKER_HOST"))


def message_as_nobody(where: Endpoint) -> str:
    """What connect says to a user without rights, really: in a child with another uid."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            try:
                engine.connect(where)
                said = "connected"
            except engine.EngineError as error:
                said = f"{type(error).__name__}: {error}"
            os.write(writer, said.encode())
        finally:
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, encoding="utf-8") as answer:
        return answer.read()


def test_a_denied_socket_is_not_a_missing_engine(folder):
    import docker  # noqa: F401 - the child, as nobody, may not be able to read it

    folder.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "d.sock"))
        (folder / "d.sock").chmod(0)
        listener.listen()
        said = message_as_nobody(Endpoint(f"unix://{folder}/d.sock", "the default"))
    assert said.startswith("SocketDenied: permission denied")
    assert "usermod -aG docker" in said
    assert "\n" not in said


def test_the_process_behind_a_socket_is_found_or_honestly_unknown(folder):
    where = Endpoint(f"unix://{folder}/d.sock", "the default")
    assert endpoint_module.daemon_pid(where) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "d.sock"))
        listener.listen()
        assert endpoint_module.daemon_pid(where) == os.getpid()
    assert endpoint_module.daemon_pid(Endpoint("tcp://127.0.0.1:1", "DOCKER_HOST")) is None


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


def test_an_engine_that_dies_in_the_middle_is_one_line(folder):
    fake = FakeEngine(folder / "d.sock", [(200, VERSION)])
    with contextlib.closing(engine.connect(Endpoint(fake.host, "the default"))) as client:
        fake.thread.join(5)
        with pytest.raises(engine.EngineStopped, match="stopped answering while asking for its in"):
            engine.info(client)


def test_an_engines_refusal_carries_its_reason(folder):
    body = {"message": "unknown or invalid runtime name: nvidia\nmore"}
    fake = FakeEngine(folder / "d.sock", [(200, VERSION), (400, body)])
    with (
        contextlib.closing(engine.connect(Endpoint(fake.host, "the default"))) as client,
        pytest.raises(engine.EngineRefused) as raised,
    ):
        engine.info(client)
    assert str(raised.value).endswith(
        "asking for its info: unknown or invalid runtime name: nvidia"
    )


def test_something_else_on_the_socket_is_not_taken_for_an_engine(folder):
    fake = FakeEngine(folder / "d.sock", [(200, VERSION), (200, {"podman": True})])
    with (
        contextlib.closing(engine.connect(Endpoint(fake.host, "the default"))) as client,
        pytest.raises(engine.UnexpectedAnswer, match="has no ServerVersion"),
    ):
        engine.info(client)


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for kind in vars(endpoint_module).values()
        if isinstance(kind, type) and issubclass(kind, engine.EngineError)
    ],
)
def test_every_error_of_the_room_ends_a_command_with_1(kind):
    assert kind("x").exit_code == 1
