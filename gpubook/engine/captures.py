"""The captures of another machine, read into the shapes that the live functions return.

Each function takes the folder of captures (recordings/h100/captures, whose README says what is
in it) and returns the data of one evidence of notebook 01.
"""

from __future__ import annotations

from pathlib import Path

from gpubook import files
from gpubook.engine.container import parse_oci_spec
from gpubook.engine.endpoint import UnexpectedAnswer
from gpubook.engine.processes import chain_of, locate_binaries, parse_process_tree
from gpubook.engine.review import parse_daemon_config, parse_info, parse_version

PLAIN = "no-gpu"
"""The folder of the container that asked for no GPU: the ordinary case, which notebook 01 shows."""


def _read(captures: Path, name: str) -> str:
    try:
        return files.read_text(captures / name)
    except (OSError, files.Malformed) as error:
        raise UnexpectedAnswer(f"cannot read the capture {name}: {error}") from error


def _read_json(captures: Path, name: str) -> object:
    try:
        return files.json_of(_read(captures, name), f"the capture {name}")
    except files.Malformed as error:
        raise UnexpectedAnswer(str(error)) from error


def docker_version(captures: Path) -> dict:
    """What `review.version` would have returned there."""
    return parse_version(_read_json(captures, "docker-version.json"))


def docker_info(captures: Path) -> dict:
    """What `review.info` would have returned there."""
    return parse_info(_read_json(captures, "docker-info.json"))


def docker_info_text(captures: Path) -> dict:
    """The terminal's `docker info`. How long it took was not captured."""
    text = _read(captures, "docker-info.txt")
    return {"steps": [{"command": "docker info", "stdout": text, "exit_code": 0, "seconds": None}]}


def daemon_json(captures: Path) -> dict:
    """What `review.daemon_config` would have returned there."""
    return parse_daemon_config(_read(captures, "daemon.json"))


def process_chain(captures: Path) -> dict:
    """What `processes.process_chain` would have returned there."""
    return chain_of(parse_process_tree(_read(captures, f"{PLAIN}/process-tree.txt")))


def binaries(captures: Path) -> list[dict]:
    """What `review.binaries` would have returned there, without that machine's PATH."""
    processes = parse_process_tree(_read(captures, f"{PLAIN}/process-tree.txt"))
    return locate_binaries(processes, docker_info(captures))


def oci_spec(captures: Path) -> dict:
    """What `container.oci_spec` would have returned there; the bundle's path was not captured."""
    spec = parse_oci_spec(_read_json(captures, f"{PLAIN}/oci-config.json"))
    return {"readable": True, "why": "", "bundle": "", "spec": spec}
