"""The Container Device Interface: read a specification, check it, look it over.

A CDI specification is a file that says what a container gets when it asks for ``kind=name``.
Format and rules: https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md and
the checks of its Go package ``pkg/cdi`` and ``pkg/parser``.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gpubook import files
from gpubook.errors import BookError
from gpubook.injection import classes


class SpecError(BookError):
    """A text that is not a CDI specification, with the first rule that it breaks."""


@dataclass(frozen=True)
class Node:
    """A device node to create. Numbers of -1 mean: taken from the host's node."""

    path: str
    host_path: str = ""
    type: str = ""
    major: int = -1
    minor: int = -1


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


def parse(text: str) -> Spec:
    """Read and check a specification in YAML or JSON. Raises SpecError with the rule it breaks."""
    try:
        data = files.yaml_of(text, "this")
    except files.Malformed as problem:
        raise SpecError(str(problem)) from None
    if wrong := files.broken_rule(data, "gpubook.injection", "cdi.schema.json"):
        raise SpecError(f"no CDI specification: {wrong}")
    names = [device["name"] for device in data["devices"]]
    if twice := next((name for name in names if names.count(name) > 1), ""):
        raise SpecError(f"no CDI specification: the device name {twice!r} is there twice")
    devices = {device["name"]: _edits(device) for device in data["devices"]}
    return Spec(data["cdiVersion"], data["kind"], devices, _edits(data))


def _edits(part: dict[str, Any]) -> Edits:
    edits = part.get("containerEdits") or {}
    return Edits(
        tuple(edits.get("env") or ()),
        tuple(map(_node, edits.get("deviceNodes") or ())),
        tuple(
            BindMount(m["hostPath"], m["containerPath"], tuple(m.get("options") or ()))
            for m in edits.get("mounts") or ()
        ),
        tuple(
            Hook(h["hookName"], h["path"], tuple(h.get("args") or ()))
            for h in edits.get("hooks") or ()
        ),
    )


def _node(node: dict[str, Any]) -> Node:
    major, minor = node.get("major", -1), node.get("minor", 0 if "major" in node else -1)
    return Node(node["path"], node.get("hostPath", ""), node.get("type", ""), major, minor)


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
