"""From an observation to a table: every thing in the container gets an origin and a class.

Origins: ``engine`` (Docker puts it into every container), ``asked`` (the command line or the image
asked for it by name), ``injected`` (the GPU path put it there) and ``unknown``. Nothing is dropped:
what no rule knows is ``unknown`` and is listed as such.
"""

from __future__ import annotations

from dataclasses import dataclass

from gpubook.injection import classes
from gpubook.injection.cdi import Hook
from gpubook.injection.classes import UNKNOWN, known_hook, known_path
from gpubook.injection.observation import Mount, Observation


@dataclass(frozen=True)
class Item:
    """One thing in a container."""

    kind: str  # mount, device, env, hook
    origin: str
    class_id: str
    target: str


def classify(container: Observation) -> tuple[Item, ...]:
    """Every mount, node, variable and hook of ``container``, classified."""
    items = [_mount(mount, container) for mount in container.mounts]
    items += [_device(path, container) for path in _own_nodes(container)]
    items += [_variable(name, value, container) for name, value in container.env.items()]
    items += [_hook(hook) for hook in (container.oci.hooks if container.oci else ())]
    return tuple(items)


def _known(kind: str, target: str) -> Item:
    known = known_path(target)
    if known is None:
        return Item(kind, UNKNOWN, UNKNOWN, target)
    return Item(kind, "injected", known.class_id, target)


def _mount(mount: Mount, container: Observation) -> Item:
    for pattern, types in classes.DOCKER_MOUNTS:
        if pattern.fullmatch(mount.target) and (not types or mount.fstype in types):
            return Item("mount", "engine", "", mount.target)
    if container.request and mount.target in container.request.mounts:
        return Item("mount", "asked", "", mount.target)
    return _known("mount", mount.target)


def _own_nodes(container: Observation) -> list[str]:
    """Nodes by path, those that are bind mounts left out: they are in the table as mounts."""
    listed = (*container.devices, *(container.oci.devices if container.oci else ()))
    mounted = {m.target for m in container.mounts}
    return list(dict.fromkeys(node.path for node in listed if node.path not in mounted))


def _device(path: str, container: Observation) -> Item:
    if path.removeprefix("/dev/") in classes.DOCKER_NODES:
        return Item("device", "engine", "", path)
    if container.request and path in container.request.devices and known_path(path) is None:
        return Item("device", "injected", "device-flag", path)
    return _known("device", path)


def _variable(name: str, value: str, container: Observation) -> Item:
    line = f"{name}={value}"
    if container.request and line in container.request.env:
        return Item("env", "asked", "", line)
    if name in classes.ENVIRONMENT:
        return Item("env", "injected", "environment", line)
    if name in classes.DOCKER_ENV:
        return Item("env", "engine", "", line)
    return Item("env", UNKNOWN, UNKNOWN, line)


def _hook(hook: Hook) -> Item:
    line = " ".join(hook.args) or hook.path
    if known_hook(hook.path, hook.args):
        return Item("hook", "injected", "hook", line)
    if "libnetwork-setkey" in hook.args[:1]:  # Docker's network set-up
        return Item("hook", "engine", "", line)
    return Item("hook", UNKNOWN, UNKNOWN, line)
