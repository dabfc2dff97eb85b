"""What a Docker Engine says of itself: the part of its info that the book rests on."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubook.files import dict_of, list_of
from gpubook.machine.endpoint import (
    EngineError,
    UnexpectedAnswer,
    answering,
    connect,
    resolve,
    using,
)

if TYPE_CHECKING:
    from docker import DockerClient


def look(env: Mapping[str, str], home: Path | None = None) -> dict:
    """The engine that the docker command would use: its address (``host``, and the ``source``
    that named it), whether it is ``elsewhere``, and its ``info``; or the ``error`` and its
    ``kind``. Never fails.
    """
    engine = {"host": "", "source": "", "elsewhere": False, "info": {}, "error": "", "kind": ""}
    try:
        where = resolve(env, home)
        engine |= {"host": where.host, "source": where.source, "elsewhere": where.elsewhere}
        with closing(connect(where)) as client:
            return engine | {"info": info(client)}
    except EngineError as error:
        return engine | {"error": str(error), "kind": type(error).__name__}


def info(client: DockerClient | None = None) -> dict:
    """`parse_info` of the engine in use."""
    with answering("asking for its info"), using(client) as docker:
        return parse_info(docker.info())


def parse_info(document: object) -> dict:
    """What `docker info --format json` or the API's /info says, in one flat dict.

    ``runtimes`` are names; ``cdi`` has ``directories`` and ``devices``. Raises UnexpectedAnswer
    when the document is not an engine's info.
    """
    answer = dict_of(document)
    server = answer.get("ServerVersion")
    if not isinstance(server, str) or not server:
        raise UnexpectedAnswer("docker info: it has no ServerVersion; is this a Docker Engine?")
    devices = [dict_of(device) for device in list_of(answer.get("DiscoveredDevices"))]
    return {
        "server": server,
        "operating_system": _text(answer, "OperatingSystem"),
        "root_dir": _text(answer, "DockerRootDir"),
        "cgroup_driver": _text(answer, "CgroupDriver"),
        "cgroup_version": _text(answer, "CgroupVersion") or "1",
        "runtimes": sorted(dict_of(answer.get("Runtimes"))),
        "cdi": {
            "directories": _texts(answer.get("CDISpecDirs")),
            "devices": _texts([d.get("ID") for d in devices if d.get("Source") == "cdi"]),
        },
        "rootless": "name=rootless" in _texts(answer.get("SecurityOptions")),
    }


def has_toolkit(info: dict) -> bool:
    """Whether the engine knows NVIDIA's runtime, or a CDI device of NVIDIA's."""
    devices = info["cdi"]["devices"]
    return "nvidia" in info["runtimes"] or any(d.startswith("nvidia.com/") for d in devices)


def _text(document: dict, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def _texts(value: Any) -> list[str]:
    return [text for text in list_of(value) if isinstance(text, str)]
