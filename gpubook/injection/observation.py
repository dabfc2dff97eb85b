"""What a container shows of itself, read from text: mounts, device nodes, environment.

An :class:`Observation` is the same wherever the texts come from: a page's commands, a folder of
captured files, or this container itself. Where they can be had, the engine's ``docker inspect``
and the OCI spec that runc was given belong to it. All after this module works on observations only.

Format of ``mountinfo``: proc_pid_mountinfo(5). This is the one place of the book that reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gpubook.errors import BookError
from gpubook.files import dict_of, list_of
from gpubook.injection.cdi import Hook


class MalformedInput(BookError):
    """Text that should describe a container does not have the documented form."""


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo. ``root`` is the path inside the mounted file system."""

    root: str
    target: str
    options: tuple[str, ...]
    fstype: str
    source: str


@dataclass(frozen=True)
class DeviceNode:
    """A character (``c``) or block (``b``) device node under /dev."""

    path: str
    type: str
    major: int
    minor: int


@dataclass(frozen=True)
class Oci:
    """The part of the OCI spec (``config.json`` of the bundle) that tells of injection."""

    devices: tuple[DeviceNode, ...]
    hooks: tuple[Hook, ...]


@dataclass(frozen=True)
class Request:
    """What the engine was asked for, from ``docker inspect``."""

    runtime: str
    device_requests: tuple[dict[str, Any], ...]
    devices: tuple[str, ...]  # --device /dev/...: paths on the host
    env: tuple[str, ...]  # of the image and the command line together
    mounts: tuple[str, ...]  # targets of -v, --mount and volumes


@dataclass(frozen=True)
class Observation:
    """One container, seen from inside and, where possible, from the engine."""

    mounts: tuple[Mount, ...]
    devices: tuple[DeviceNode, ...]
    env: dict[str, str]
    request: Request | None = None
    oci: Oci | None = None


def observe(
    mountinfo: str, nodes: str, env: str, *, inspect: Any = None, oci: Any = None
) -> Observation:
    """An observation from what was printed, and the documents of ``docker inspect`` and runc."""
    if not mountinfo.strip():
        raise MalformedInput("no mountinfo: the container has no /proc, or the capture is cut")
    return Observation(
        mounts=parse_mountinfo(mountinfo),
        devices=parse_devices(nodes),
        env=parse_env(env),
        request=None if inspect is None else parse_inspect(inspect),
        oci=None if oci is None else parse_oci(oci),
    )


def from_outputs(mountinfo: str, nodes: str, env: str, spec: dict | None = None) -> Observation:
    """One container of page 06, from what its three commands printed. ``spec`` is the page's
    excerpt of ``docker inspect`` and the OCI spec: runtime, asked, hooks, devices."""
    if spec is None:
        return observe(mountinfo, nodes, env)
    hooks: dict[str, list] = {}
    for stage, *args in spec["hooks"]:
        hooks.setdefault(stage, []).append({"path": args[0], "args": args})
    linux = {"devices": [{"path": path} for path in spec["devices"]]}
    host = {"Runtime": spec["runtime"], "DeviceRequests": spec["asked"]}
    oci = {"ociVersion": "", "hooks": hooks, "linux": linux}
    return observe(mountinfo, nodes, env, inspect={"HostConfig": host}, oci=oci)


def _lines(text: str) -> list[tuple[int, str]]:
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def _bad(what: str, number: int, line: str) -> MalformedInput:
    return MalformedInput(
        f"{what}, line {number}: cannot read {line[:120]!r}; is it the whole file?"
    )


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Mounts in mount order. Raises MalformedInput naming the first line that cannot be read."""
    return tuple(_mount(number, line) for number, line in _lines(text))


def _mount(number: int, line: str) -> Mount:
    fields = line.split(" ")
    try:
        dash = fields.index("-", 6)  # optional fields may stand before it
        fstype, source = fields[dash + 1], fields[dash + 2]
    except (ValueError, IndexError):
        raise _bad("mountinfo", number, line) from None
    device, root, target, options = fields[2:6]
    if not re.fullmatch(r"\d+:\d+", device) or not target.startswith("/"):
        raise _bad("mountinfo", number, line)
    root, target, source = map(_unescape, (root, target, source))
    return Mount(root, target, tuple(options.split(",")), fstype, source)


def _unescape(text: str) -> str:
    # mountinfo writes blanks, tabs, newlines and backslashes as octal escapes
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


_LS_NODE = re.compile(
    r"(?P<type>[cb])[rwxsStT-]{9}[.+@]?\s+\d+\s+\S+\s+\S+\s+(?P<major>\d+),\s*(?P<minor>\d+)\s+"
    r".*?(?P<path>/\S+)$"
)


def parse_devices(text: str) -> tuple[DeviceNode, ...]:
    """Device nodes from ``ls -l`` lines with absolute paths; links are left out."""
    nodes = []
    for number, line in _lines(text):
        match = _LS_NODE.match(line)
        if match:
            at = int(match["major"]), int(match["minor"])
            nodes.append(DeviceNode(match["path"], match["type"], *at))
        elif not line.startswith("l"):
            raise _bad("device list", number, line)
    return tuple(nodes)


def parse_env(text: str) -> dict[str, str]:
    """``NAME=value`` lines. A line without ``=`` continues the value of the one before."""
    env: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", key):
            name, env[key] = key, value
        elif name and line:
            env[name] += "\n" + line
    return env


def parse_inspect(data: Any) -> Request:
    """The request, from ``docker inspect`` (the list or its one object)."""
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not isinstance(data, dict) or not isinstance(data.get("HostConfig"), dict):
        raise MalformedInput("docker inspect: no HostConfig; pass the answer for one container")
    host = data["HostConfig"]
    return Request(
        runtime=str(host.get("Runtime") or ""),
        device_requests=tuple(map(_device_request, list_of(host.get("DeviceRequests")))),
        devices=_each(host.get("Devices"), "PathOnHost"),
        env=tuple(map(str, list_of(dict_of(data.get("Config")).get("Env")))),
        mounts=_each(data.get("Mounts"), "Destination"),
    )


def _each(entries: Any, key: str) -> tuple[str, ...]:
    return tuple(str(dict_of(entry).get(key) or "") for entry in list_of(entries))


def _device_request(entry: Any) -> dict[str, Any]:
    entry = dict_of(entry)
    return {
        "driver": str(entry.get("Driver") or ""),
        "ids": [str(x) for x in list_of(entry.get("DeviceIDs"))],
        "capabilities": [[str(c) for c in list_of(x)] for x in list_of(entry.get("Capabilities"))],
    }


def parse_oci(data: Any) -> Oci:
    """The part of an OCI spec that tells of injection. A hook's environment is left out: it is
    the engine's own, and says nothing about the container."""
    if not isinstance(data, dict) or "ociVersion" not in data:
        raise MalformedInput("OCI spec: no ociVersion; pass the config.json of the bundle")
    nodes = list_of(dict_of(data.get("linux")).get("devices"))
    return Oci(
        devices=tuple(_oci_node(dict_of(node)) for node in nodes),
        hooks=tuple(
            _oci_hook(str(stage), dict_of(hook))
            for stage, hooks in dict_of(data.get("hooks")).items()
            for hook in list_of(hooks)
        ),
    )


def _oci_node(node: dict[str, Any]) -> DeviceNode:
    numbers = (node.get(key) for key in ("major", "minor"))
    major, minor = (n if type(n) is int else -1 for n in numbers)
    return DeviceNode(str(node.get("path") or ""), str(node.get("type") or ""), major, minor)


def _oci_hook(stage: str, hook: dict[str, Any]) -> Hook:
    args = tuple(str(arg) for arg in list_of(hook.get("args")))
    return Hook(stage, str(hook.get("path") or ""), args)
