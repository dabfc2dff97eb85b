"""The Container Device Interface: read a specification, check it, look it over.

A CDI specification is a file that says what a container gets when it asks for ``kind=name``.
Format and rules: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md and
the checks of its Go package ``pkg/cdi`` and ``pkg/parser``.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gpubook import files
from gpubook.errors import BookError
from gpubook.injection import classes


class SpecError(BookError):
    """A text that is not a CDI specification, with the first rule that it breaks."""


VERSIONS = ("0.3.0", "0.4.0", "0.5.0", "0.6.0", "0.7.0", "0.8.0", "1.0.0", "1.1.0")
STAGES = (
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
)


@dataclass(frozen=True)
class Node:
    """A device node to create. Numbers of -1 mean: taken from the host's node."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = -1
    minor: int = -1
    permissions: str = ""


@dataclass(frozen=True)
class BindMount:
    """A file or folder of the host to mount."""

    host: str
    container: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Hook:
    """A program that the runtime runs on the host's side at a stage of creating the container."""

    stage: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edits:
    """Changes to a container."""

    env: tuple[str, ...] = ()
    nodes: tuple[Node, ...] = ()
    mounts: tuple[BindMount, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def __add__(self, other: Edits) -> Edits:
        return Edits(
            self.env + other.env,
            self.nodes + other.nodes,
            self.mounts + other.mounts,
            self.hooks + other.hooks,
        )


@dataclass(frozen=True)
class Spec:
    """A checked specification: ``kind`` is ``vendor/class``, ``common`` goes with every device."""

    version: str
    kind: str
    devices: dict[str, Edits]
    common: Edits = field(default_factory=Edits)

    def edits(self, *names: str) -> Edits:
        """All that a container gets for these devices. Raises SpecError for an unknown one."""
        total = Edits()
        for name in names:
            if name not in self.devices:
                known = ", ".join(self.devices)
                raise SpecError(f"unresolvable CDI device {self.kind}={name}: there is {known}")
            total += self.devices[name]
        return total + self.common


def _need(condition: object, message: str) -> None:
    if not condition:
        raise SpecError(message)


def _text(where: str, data: dict, key: str, *, required: bool = False) -> str:
    value = data.get(key, "")
    _need(isinstance(value, str), f"{where}: {key} must be a text")
    _need(value or not required, f"{where}: {key} is missing")
    return value


def _entries(where: str, data: dict, key: str) -> list:
    value = data.get(key)
    value = [] if value is None else value
    _need(isinstance(value, list), f"{where}: {key} must be a list")
    return value


def _strings(where: str, data: dict, key: str) -> tuple[str, ...]:
    values = _entries(where, data, key)
    _need(all(isinstance(v, str) for v in values), f"{where}: {key} must be a list of texts")
    return tuple(values)


def _object(where: str, value: Any) -> dict:
    _need(isinstance(value, dict), f"{where} must be an object with named fields")
    return value


def _device_number(where: str, data: dict, key: str, default: int) -> int:
    value = data.get(key, default)
    whole = isinstance(value, int) and not isinstance(value, bool)
    _need(whole, f"{where}: {key} must be a whole number")
    return value


def _node(where: str, data: Any) -> Node:
    data = _object(where, data)
    node = Node(
        path=_text(where, data, "path", required=True),
        host_path=_text(where, data, "hostPath"),
        type=_text(where, data, "type"),
        major=_device_number(where, data, "major", -1),
        minor=_device_number(where, data, "minor", 0 if "major" in data else -1),
        permissions=_text(where, data, "permissions"),
    )
    _need(node.type in ("", "c", "b", "u", "p"), f"{where}: type {node.type!r} is none of c b u p")
    rights = set(node.permissions) <= set("rwm")
    _need(rights, f"{where}: permissions {node.permissions!r} hold more than r, w and m")
    return node


def _mount(where: str, data: Any) -> BindMount:
    data = _object(where, data)
    return BindMount(
        host=_text(where, data, "hostPath", required=True),
        container=_text(where, data, "containerPath", required=True),
        options=_strings(where, data, "options"),
    )


def _hook(where: str, data: Any) -> Hook:
    data = _object(where, data)
    hook = Hook(
        stage=_text(where, data, "hookName", required=True),
        path=_text(where, data, "path", required=True),
        args=_strings(where, data, "args"),
    )
    _need(hook.stage in STAGES, f"{where}: hookName {hook.stage!r} is none of {', '.join(STAGES)}")
    return hook


def _edits(where: str, data: Any) -> Edits:
    data = _object(where, data)
    env = _strings(where, data, "env")
    for line in env:
        _need(line.partition("=")[1] and line[0] != "=", f"{where}: env {line!r} is not NAME=VALUE")

    def each(key: str, read: Any) -> tuple:
        return tuple(
            read(f"{where}.{key}[{n}]", item) for n, item in enumerate(_entries(where, data, key))
        )

    return Edits(env, each("deviceNodes", _node), each("mounts", _mount), each("hooks", _hook))


_WORD = r"[A-Za-z]([A-Za-z0-9_.-]*[A-Za-z0-9])?"
_KIND = re.compile(f"{_WORD}/{_WORD}")
_DEVICE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?")


def parse(text: str) -> Spec:
    """Read and check a specification in YAML or JSON. Raises SpecError with the rule it breaks."""
    try:
        data = files.yaml_of(text, "this")
    except files.Malformed as problem:
        raise SpecError(str(problem)) from None
    data = _object("the specification", data)
    version, kind = _text("the specification", data, "cdiVersion"), _text("it", data, "kind")
    _need(version in VERSIONS, f"cdiVersion {version!r} is none of {', '.join(VERSIONS)}")
    good = _KIND.fullmatch(kind)
    _need(good, f"kind {kind!r} does not have the form vendor/class, e.g. example.com/lamp")
    devices: dict[str, Edits] = {}
    for number, item in enumerate(_entries("the specification", data, "devices")):
        where = f"devices[{number}]"
        item = _object(where, item)
        device = _text(where, item, "name", required=True)
        _need(_DEVICE.fullmatch(device), f"{where}: {device!r} is not a device name")
        _need(device not in devices, f"{where}: the name {device!r} is there twice")
        devices[device] = _edits(f"{where}.containerEdits", item.get("containerEdits") or {})
    _need(devices, "the specification has no devices")
    return Spec(version, kind, devices, _edits("containerEdits", data.get("containerEdits") or {}))


@dataclass(frozen=True)
class Remark:
    """Something in a specification that a reader should look at, and why."""

    where: str
    what: str
    why: str


_SENSITIVE = (
    "/", "/etc", "/root", "/home", "/proc", "/sys", "/boot",
    "/run/docker.sock", "/var/run/docker.sock",
)  # fmt: skip


def review(edits: Edits) -> list[Remark]:
    """What is unusual: whoever writes a specification decides what runs as root on the host."""
    return [
        *(finding for hook in edits.hooks for finding in _odd_hook(hook)),
        *(finding for mount in edits.mounts for finding in _odd_mount(mount)),
        *(finding for node in edits.nodes for finding in _odd_node(node)),
    ]


def _odd_hook(hook: Hook) -> Iterator[Remark]:
    if not classes.known_hook(hook.path, hook.args):
        why = "a hook runs on the host's side, normally as root"
        yield Remark(f"hook {hook.path}", "is not one of NVIDIA's hooks", why)
    yield from _climbing(f"hook {posixpath.basename(hook.path)}", hook.path, *hook.args)


def _odd_mount(mount: BindMount) -> Iterator[Remark]:
    where, host = f"mount {mount.container}", posixpath.normpath(mount.host)
    yield from _climbing(where, mount.host, mount.container)
    if host in _SENSITIVE:
        yield Remark(where, f"shows {host} of the host", "gives it away")
    if "ro" not in mount.options:
        why = "the container may change a file of the host"
        yield Remark(where, "can be written to", why)


def _odd_node(node: Node) -> Iterator[Remark]:
    where = f"device node {node.path}"
    yield from _climbing(where, node.path, node.host_path)
    if node.type == "b":
        yield Remark(where, "is a block device", "a disk of the host")


def _climbing(where: str, *texts: str) -> Iterator[Remark]:
    for text in filter(_climbs, texts):
        yield Remark(where, f"climbs out with '..': {text}", "may end outside the named folder")


def _climbs(text: str) -> bool:
    # A link's own text may climb ("../libnvidia-allocator.so.1::/usr/.../gbm/x.so"): what counts
    # is where the link is made and whether its target, seen from there, stays below that folder's
    # tree. All else must not climb at all.
    target, arrow, link = text.partition("::")
    if not arrow or not link.startswith("/") or ".." in link.split("/"):
        return ".." in (*target.split("/"), *link.split("/"))
    if target.startswith("/"):
        return ".." in target.split("/")
    end = posixpath.normpath(posixpath.join(posixpath.dirname(link), target))
    return not end.startswith(f"/{link.split('/')[1]}/")
