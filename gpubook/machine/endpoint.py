"""Where the Docker Engine is, and why it cannot be reached when it cannot.

The endpoint is found in the order of the `docker` command: DOCKER_HOST, DOCKER_CONTEXT, the
current context of the command's configuration, the default socket
(https://docs.docker.com/engine/manage-resources/contexts/). By hand, since the SDK's own reader of
contexts knows no environment and home but this process's.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gpubook import files
from gpubook.errors import BookError

if TYPE_CHECKING:
    from docker import DockerClient

DEFAULT_HOST = "unix:///var/run/docker.sock"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 120  # pulls and waits take longer than a first ping


class EngineError(BookError):
    """Something about the Docker Engine that the reader can act on."""


class ContextUnknown(EngineError):
    """A context was named that the docker command does not have."""


class EngineUnreachable(EngineError):
    """No engine answers at the endpoint."""


class RootlessStopped(EngineUnreachable):
    """The endpoint is a user's own (rootless) engine, which is not running."""


class SocketDenied(EngineError):
    """The engine's socket exists, and this user may not open it."""


class EngineStopped(EngineError):
    """The engine answered before and stopped in the middle of something."""


class EngineRefused(EngineError):
    """The engine answered with an error."""


class ImageMissing(EngineError):
    """An image is not on the engine and could not be pulled."""


class UnexpectedAnswer(EngineError):
    """An answer, or a capture of one, does not have the form that it should have."""


@dataclass(frozen=True)
class Endpoint:
    """Where the engine listens. ``source`` says who decided; ``tls`` holds its certificates."""

    host: str
    source: str
    tls: Path | None = None
    tls_verify: bool = True

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket's path, or ``None`` for tcp:// and ssh://."""
        return Path(self.host.removeprefix("unix://")) if self.host.startswith("unix://") else None

    @property
    def elsewhere(self) -> bool:
        """Whether the engine is on another host, whose files and programs are not ours."""
        return self.socket_path is None and urlsplit(self.host).hostname not in _LOOPBACK

    @property
    def rootless(self) -> bool:
        """Whether this is the place of a user's own engine (/run/user/UID/docker.sock)."""
        path = self.socket_path
        return path is not None and path.is_relative_to("/run/user")


def resolve(env: Mapping[str, str] | None = None, home: Path | None = None) -> Endpoint:
    """The endpoint that the docker command would use with this environment and home folder.

    Raises ContextUnknown when DOCKER_CONTEXT or the configuration names a context that has no
    endpoint stored, and UnexpectedAnswer when a configuration file is not JSON.
    """
    env = os.environ if env is None else env
    folder = Path(env.get("DOCKER_CONFIG") or (home or files.home()) / ".docker")
    if host := env.get("DOCKER_HOST"):
        verify = bool(env.get("DOCKER_TLS_VERIFY"))
        tls = Path(env.get("DOCKER_CERT_PATH") or folder) if verify else None
        return Endpoint(_normal(host), "DOCKER_HOST", tls)
    if name := env.get("DOCKER_CONTEXT"):
        return _of_context(name, "DOCKER_CONTEXT", folder)
    current = _read_json(folder / "config.json").get("currentContext")
    if current and isinstance(current, str):
        return _of_context(current, "docker context use", folder)
    return Endpoint(DEFAULT_HOST, "the default")


def _of_context(name: str, source: str, folder: Path) -> Endpoint:
    if name == "default":
        return Endpoint(DEFAULT_HOST, f"{source}: default")
    digest = hashlib.sha256(name.encode()).hexdigest()
    meta = _read_json(folder / "contexts" / "meta" / digest / "meta.json")
    endpoint = files.dict_of(files.dict_of(meta.get("Endpoints")).get("docker"))
    host = endpoint.get("Host")
    if not isinstance(host, str) or not host:
        raise ContextUnknown(
            f"the Docker context {name!r} ({source}) is not known here: "
            "`docker context ls` lists the contexts, `docker context use default` goes back"
        )
    tls = folder / "contexts" / "tls" / digest / "docker"
    return Endpoint(
        _normal(host),
        f"{source}: {name}",
        tls if tls.is_dir() else None,
        not endpoint.get("SkipTLSVerify", False),
    )


def _normal(host: str) -> str:
    """The docker command takes a bare path for a socket; the SDK wants the scheme."""
    return f"unix://{host}" if host.startswith("/") else host


def _read_json(path: Path) -> dict:
    try:
        document = files.read_json(path)
    except OSError:
        return {}
    except files.Malformed as error:
        raise UnexpectedAnswer(
            f"{error}: correct it, or move it away and type `docker info`"
        ) from None
    return files.dict_of(document)


def connect(endpoint: Endpoint | None = None) -> DockerClient:
    """A client of the engine, which has answered once. Close it (`contextlib.closing`).

    Raises SocketDenied, RootlessStopped or EngineUnreachable, each saying what to type.
    """
    import docker

    endpoint = endpoint or resolve()
    _knock(endpoint)
    try:
        client = docker.DockerClient(
            base_url=endpoint.host,
            version="auto",
            timeout=_CONNECT_SECONDS,
            tls=_tls(endpoint),
            use_ssh_client=endpoint.host.startswith("ssh://"),
        )
    except (docker.errors.DockerException, OSError, ValueError) as error:
        raise EngineUnreachable(
            f"no Docker Engine answers at {endpoint.host} (from {endpoint.source}): {error}; "
            "check the address with `docker context ls` and `echo $DOCKER_HOST`"
        ) from error
    client.api.timeout = _ANSWER_SECONDS
    return client


def _knock(endpoint: Endpoint) -> None:
    """Open a Unix socket by hand: the SDK's own error buries the reason three layers deep."""
    path = endpoint.socket_path
    if path is None:
        return
    where = f"{path} (from {endpoint.source})"
    try:
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_CONNECT_SECONDS)
            knock.connect(str(path))
    except PermissionError:
        raise SocketDenied(
            f"permission denied at the engine's socket {where}: let your user in with "
            f"`sudo usermod -aG docker {_user()}` and log in again (that equals root on this "
            "machine), or use rootless Docker"
        ) from None
    except OSError as error:
        if endpoint.rootless:
            raise RootlessStopped(
                f"your rootless Docker Engine does not answer at {where}: start it with "
                "`systemctl --user start docker`, or go back to the system's engine with "
                "`docker context use default`"
            ) from None
        raise EngineUnreachable(
            f"no Docker Engine answers at {where}: {error.strerror or error}; start it with "
            f"`sudo systemctl start docker`{_other_engine(path)}"
        ) from None


def daemon_pid(endpoint: Endpoint | None = None) -> int | None:
    """The process that listens at a Unix socket; ``None`` where that is not to be known.

    Where systemd opened the socket for dockerd, this is systemd's pid, 1.
    """
    try:
        path = (endpoint or resolve()).socket_path
        if path is None:
            return None
        with socket.socket(socket.AF_UNIX) as knock:
            knock.settimeout(_CONNECT_SECONDS)
            knock.connect(str(path))
            peer = knock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except (OSError, EngineError):
        return None
    return struct.unpack("3i", peer)[0]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid with no name, as in many containers
        return "$USER"


def sockets(env: Mapping[str, str]) -> dict[str, str]:
    """Where each kind of engine that could be here listens, by what installs it."""
    runtime = env.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return {
        "Docker Engine": "/run/docker.sock",
        "the snap": "/run/snap.docker/docker.sock",
        "a rootless engine": f"{runtime}/docker.sock",
        "Docker Desktop": f"{env.get('HOME') or '/'}/.docker/desktop/docker.sock",
        "Podman": "/run/podman/podman.sock",
    }


def _other_engine(path: Path) -> str:
    """A hint where another engine's socket is: rootless, or Docker Desktop."""
    known = sockets(os.environ)
    for name in ("a rootless engine", "Docker Desktop"):
        other = Path(known[name])
        with suppress(OSError):  # a folder that we may not even look into
            if other != path and other.is_socket():
                return f", or use the engine at {other}: `export DOCKER_HOST=unix://{other}`"
    return ""


def _tls(endpoint: Endpoint):
    """The SDK's TLS settings from a folder of ca.pem, cert.pem and key.pem."""
    if endpoint.tls is None:
        return False
    from docker.tls import TLSConfig

    ca, cert, key = (endpoint.tls / name for name in ("ca.pem", "cert.pem", "key.pem"))
    return TLSConfig(
        client_cert=(str(cert), str(key)) if cert.exists() and key.exists() else None,
        ca_cert=str(ca) if ca.exists() else None,
        verify=endpoint.tls_verify,
    )


@contextmanager
def answering(doing: str) -> Iterator[None]:
    """Turn what the SDK raises while ``doing`` something into one of this module's errors."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except APIError as error:
        reason = str(error.explanation or error).strip().splitlines()[0]
        raise EngineRefused(f"the Docker Engine refused while {doing}: {reason}") from error
    except (RequestException, HTTPError, DockerException, ConnectionError) as error:
        raise EngineStopped(
            f"the Docker Engine stopped answering while {doing}: look at it with "
            "`systemctl status docker` and `journalctl -u docker`, start it, and run this again"
        ) from error


@contextmanager
def using(client: DockerClient | None) -> Iterator[DockerClient]:
    """The given client, or one of our own that is closed at the end."""
    if client is not None:
        yield client
        return
    with closing(connect()) as own:
        yield own
