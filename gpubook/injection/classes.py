"""What the NVIDIA Container Toolkit injects, and what Docker brings itself: classes.toml, asked."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass

from gpubook import files

UNKNOWN = "unknown"


@dataclass(frozen=True)
class Known:
    """A file known by name: its class and its driver capability, empty for none."""

    class_id: str
    capability: str


_TABLES = tomllib.loads(files.packaged("gpubook.injection", "classes.toml"))
_LIBRARIES, _BINARIES = (
    {name: capability for capability, names in _TABLES[kind].items() for name in names}
    for kind in ("libraries", "binaries")
)
_PATHS = [(re.compile(path), Known(*known)) for path, *known in _TABLES["injected"]["paths"]]
_LIBRARY = re.compile(r".*/lib(?P<stem>[\w+-]+?)\.so(?:\.\d+)*")


def known_path(path: str) -> Known | None:
    """What the book knows of a file injected at ``path``, or None."""
    for pattern, known in _PATHS:
        if pattern.fullmatch(path):
            return known
    folder, _, name = path.rpartition("/")
    if folder.endswith("/bin") and name in _BINARIES:
        return Known("driver-binary", _BINARIES[name])
    library = _LIBRARY.fullmatch(path)
    if library and library["stem"] in _LIBRARIES:
        return Known("driver-library", _LIBRARIES[library["stem"]])
    return None


def library_version(path: str) -> str | None:
    """``580.159.04`` for ``.../libcuda.so.580.159.04``; None without a driver version."""
    match = re.search(r"\.so\.(\d{3,}\.\d+(?:\.\d+)?)$", path)
    return match[1] if match else None


ENVIRONMENT: list[str] = _TABLES["injected"]["environment"]
_CDI_HOOKS: list[str] = _TABLES["injected"]["hooks"]


def known_hook(path: str, args: tuple[str, ...]) -> bool:
    """Whether it is one of NVIDIA's hooks, judged by program *and* argument."""
    folder, _, program = path.rpartition("/")
    first, second = (*args[1:3], "", "")[:2]
    if ".." in folder.split("/"):
        return False
    match program:
        case "nvidia-container-runtime-hook":
            return first == "prestart"
        case "nvidia-cdi-hook":
            return first in _CDI_HOOKS
        case "nvidia-ctk":
            return first == "hook" and second in _CDI_HOOKS
    return False


DOCKER_MOUNTS = [(re.compile(path), types) for path, types in _TABLES["docker"]["mounts"]]
"""What Docker itself puts into every container: (target pattern, file system types)."""
DOCKER_NODES: list[str] = _TABLES["docker"]["nodes"]
DOCKER_ENV: list[str] = _TABLES["docker"]["environment"]
