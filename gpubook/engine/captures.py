"""The captures of another machine, read into what the live readings give.

Each function takes the folder of captures (recordings/h100/captures, whose README says what is
in it).
"""

from __future__ import annotations

from pathlib import Path

from gpubook import files
from gpubook.engine.endpoint import UnexpectedAnswer
from gpubook.engine.review import parse_info


def _read(captures: Path, name: str) -> str:
    try:
        return files.read_text(captures / name)
    except (OSError, files.Malformed) as error:
        raise UnexpectedAnswer(f"cannot read the capture {name}: {error}") from error


def _read_info(captures: Path) -> dict:
    try:
        return files.json_of(_read(captures, "docker-info.json"), "the capture docker-info.json")
    except files.Malformed as error:
        raise UnexpectedAnswer(str(error)) from error


def docker_info(captures: Path) -> dict:
    """What `review.info` would have returned there."""
    return parse_info(_read_info(captures))


def docker_info_text(captures: Path) -> dict:
    """The terminal's `docker info`. How long it took was not captured."""
    return _transcript("docker info", _read(captures, "docker-info.txt"))


def daemon_json(captures: Path) -> dict:
    """The terminal's `cat` of the file, with page 01's command."""
    command = 'cat "${DAEMON_JSON:-/etc/docker/daemon.json}" || echo "no file: the defaults hold"'
    return _transcript(command, _read(captures, "daemon.json"))


def _transcript(command: str, stdout: str) -> dict:
    return {"steps": [{"command": command, "stdout": stdout, "exit_code": 0, "seconds": None}]}


def settings(captures: Path) -> dict:
    """What page 01 keeps of the SDK's ``info()``; a test compares this with the page's own cell."""
    info = _read_info(captures)
    return {
        "Storage driver": info["Driver"],
        "Images and containers in": info["DockerRootDir"],
        "cgroup version": info["CgroupVersion"],
        "cgroup driver": info["CgroupDriver"],
        "Runtimes": ", ".join(sorted(info["Runtimes"])),
        "Folders for CDI": ", ".join(info["CDISpecDirs"]),
    }
