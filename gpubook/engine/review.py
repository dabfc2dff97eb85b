"""The engine's own account of itself: `docker version`, `docker info`, daemon.json."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from gpubook import files
from gpubook.engine.endpoint import (
    UnexpectedAnswer,
    answering,
    daemon_pid,
    resolve,
    using,
)
from gpubook.engine.processes import dockerd_of, read_processes

if TYPE_CHECKING:
    from docker import DockerClient

FEATURES = "org.opencontainers.runtime-spec.features"
"""The status key under which a runtime's `features` output is passed on (JSON in a string)."""

SYSTEM_CONFIG = Path("/etc/docker/daemon.json")
ROOTLESS_CONFIG = files.home() / ".config/docker/daemon.json"


def release(version: str) -> str:
    """The upstream release in a version: ``"1.3.6+ds1"`` → ``"1.3.6"``, ``"v2.1"`` → ``"2.1"``."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", version.strip())
    return match[1] if match else ""


def parse_version(document: object) -> dict:
    """What `docker version --format json` or the API's /version says, as

    ``{"server", "client", "api", "min_api", "kernel", "components": [{"name", "version",
    "release"}]}``; ``client`` is ``None`` where only the API was asked.
    Raises UnexpectedAnswer when there is no server in it.
    """
    document = _object(document, "docker version")
    client = document.get("Client")
    server = _object(document.get("Server", document), "docker version: Server")
    components = []
    for item in _list(server.get("Components")):
        if isinstance(item, dict) and isinstance(item.get("Name"), str):
            version = _text(item.get("Version"))
            components.append(
                {"name": item["Name"], "version": version, "release": release(version)}
            )
    return {
        "server": _required_text(server, "Version", "docker version"),
        "client": _text(client.get("Version")) or None if isinstance(client, dict) else None,
        "api": _required_text(server, "ApiVersion", "docker version"),
        "min_api": _text(server.get("MinAPIVersion")),
        "kernel": _text(server.get("KernelVersion")),
        "components": components,
    }


def version(client: DockerClient | None = None) -> dict:
    """`parse_version` of the engine in use; ``client`` is the docker command's version."""
    with answering("asking for its version"), using(client) as docker:
        return parse_version(docker.version()) | {"client": _command_version()}


def _command_version() -> str | None:
    """The docker command's version, from the command; it need not reach an engine for that."""
    command = shutil.which("docker")
    if command is None:
        return None
    try:
        text = subprocess.run(
            [command, "--version"], capture_output=True, text=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"version (\S+?),", text)
    return match[1] if match else None


def parse_info(document: object) -> dict:
    """What `docker info --format json` or the API's /info says, in one flat dict.

    Memory in bytes. ``runtimes`` is a list of ``{"name", "path", "runc_version",
    "oci_versions"}`` sorted by name; ``cdi`` has ``directories`` and ``devices``;
    ``image_store`` is "containerd" or "classic". Raises UnexpectedAnswer when the document is
    not an engine's info.
    """
    info = _object(document, "docker info")
    status = dict(
        pair
        for pair in _list(info.get("DriverStatus"))
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(x, str) for x in pair)
    )
    security = [
        _option_name(option)
        for option in _list(info.get("SecurityOptions"))
        if isinstance(option, str)
    ]
    return {
        "server": _required_text(info, "ServerVersion", "docker info"),
        "operating_system": _text(info.get("OperatingSystem")),
        "kernel": _text(info.get("KernelVersion")),
        "architecture": _text(info.get("Architecture")),
        "cpus": _count(info.get("NCPU")),
        "memory_bytes": _count(info.get("MemTotal")),
        "root_dir": _text(info.get("DockerRootDir")),
        "storage_driver": _required_text(info, "Driver", "docker info"),
        "backing_filesystem": status.get("Backing Filesystem", ""),
        "image_store": "containerd" if "io.containerd" in str(status) else "classic",
        "logging_driver": _text(info.get("LoggingDriver")),
        "cgroup_driver": _text(info.get("CgroupDriver")),
        "cgroup_version": _text(info.get("CgroupVersion")) or "1",
        "default_runtime": _text(info.get("DefaultRuntime")),
        "runtimes": _runtimes(info.get("Runtimes")),
        "init_binary": _text(info.get("InitBinary")),
        "containerd_address": _text(_dict(info.get("Containerd")).get("Address")),
        "cdi": {
            "directories": [d for d in _list(info.get("CDISpecDirs")) if isinstance(d, str)],
            "devices": [
                device["ID"]
                for device in _list(info.get("DiscoveredDevices"))
                if isinstance(device, dict)
                and device.get("Source") == "cdi"
                and isinstance(device.get("ID"), str)
            ],
        },
        "security": security,
        "rootless": "rootless" in security,
        "live_restore": info.get("LiveRestoreEnabled") is True,
        "containers": _count(info.get("Containers")),
        "images": _count(info.get("Images")),
        "warnings": [w for w in _list(info.get("Warnings")) if isinstance(w, str)],
    }


def info(client: DockerClient | None = None) -> dict:
    """`parse_info` of the engine in use."""
    with answering("asking for its info"), using(client) as docker:
        return parse_info(docker.info())


def _runtimes(document: object) -> list[dict]:
    runtimes = []
    for name, entry in sorted(_dict(document).items()):
        entry = _dict(entry)
        features = _features(_dict(entry.get("status")).get(FEATURES))
        annotations = _dict(features.get("annotations"))
        oldest, newest = _text(features.get("ociVersionMin")), _text(features.get("ociVersionMax"))
        runtimes.append(
            {
                "name": name,
                # Newer engines name containerd's shim ("runtimeType") where older have a path.
                "path": _text(entry.get("path")) or _text(entry.get("runtimeType")),
                "runc_version": _text(annotations.get("org.opencontainers.runc.version")),
                "oci_versions": f"{oldest} to {newest}" if newest else "",
            }
        )
    return runtimes


def _features(text: object) -> dict:
    try:
        return _dict(json.loads(text)) if isinstance(text, str) else {}
    except ValueError:
        return {}


def _option_name(option: str) -> str:
    """``"name=seccomp,profile=builtin"`` → ``"seccomp"``."""
    return option.split(",")[0].removeprefix("name=")


def parse_daemon_config(text: str, path: str = str(SYSTEM_CONFIG)) -> dict:
    """daemon.json's text as ``{"path", "exists": True, "text", "config": dict, "why": ""}``.

    Raises UnexpectedAnswer with the line when dockerd would not start with it.
    """
    try:
        config = json.loads(text) if text.strip() else {}
        files.json_of(text if text.strip() else "{}", path)
    except json.JSONDecodeError as error:
        raise UnexpectedAnswer(
            f"{path} is not JSON, line {error.lineno}: {error.msg}; dockerd will not start with "
            f"it: mend it and check with `sudo dockerd --validate --config-file {path}`"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(config, dict):
        raise UnexpectedAnswer(f"{path} holds no JSON object ({{…}}), which is what dockerd wants")
    return {"path": path, "exists": True, "text": text.rstrip(), "config": config, "why": ""}


def daemon_config(path: Path | None = None) -> dict:
    """The configuration file of the dockerd that runs here, in `parse_daemon_config`'s shape.

    Without a path: the one on dockerd's command line, else /etc/docker/daemon.json, or for
    a rootless engine the one in the user's ~/.config/docker. A file that is not there is no
    error (dockerd then runs on its defaults): ``exists`` is False and ``why`` says so.
    """
    path = path or Path(config_path())
    absent = {"path": str(path), "exists": False, "text": "", "config": {}}
    try:
        text = files.read_text(path)
    except FileNotFoundError:
        return absent | {"why": "no such file: dockerd runs on its defaults"}
    except OSError as error:
        return absent | {"why": f"cannot be read: {error.strerror}"}
    except files.Malformed as error:
        raise UnexpectedAnswer(str(error)) from None
    return parse_daemon_config(text, str(path))


def config_path() -> str:
    """The configuration file of the dockerd that runs here, whether there is one or not."""
    daemon = dockerd_of(read_processes(), daemon_pid())
    args = daemon["args"] if daemon else []
    for i, arg in enumerate(args):
        if arg == "--config-file" and i + 1 < len(args):
            return args[i + 1]
        if arg.startswith("--config-file="):
            return arg.partition("=")[2]
    return str(ROOTLESS_CONFIG if resolve().rootless else SYSTEM_CONFIG)


def _object(value: object, what: str) -> dict:
    if not isinstance(value, dict):
        raise UnexpectedAnswer(f"{what}: expected a JSON object, got {type(value).__name__}")
    return value


def _required_text(document: dict, key: str, what: str) -> str:
    value = document.get(key)
    if not isinstance(value, str) or not value:
        raise UnexpectedAnswer(f"{what}: the answer has no {key}; is this a Docker Engine?")
    return value


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0


def _list(value: object) -> list:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict:
    return value if isinstance(value, dict) else {}
