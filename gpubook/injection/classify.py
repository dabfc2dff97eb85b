"""From an observation to a table: every thing in the container gets an origin and a class.

Origins: ``engine`` (Docker puts it into every container), ``asked`` (the command line or the image
asked for it by name), ``image`` (it came with the image), ``injected`` (the GPU path put it there)
and ``unknown``. Nothing is dropped: what no rule knows is ``unknown`` and is listed as such.
"""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from gpubook.injection import classes
from gpubook.injection.classes import UNKNOWN, known_hook, known_path, library_stem
from gpubook.injection.observation import DeviceNode, DeviceRule, Mount, Observation, OciHook


@dataclass(frozen=True)
class Item:
    """One thing in a container. ``source`` is on the host where it can be known; for a mount seen
    only from inside it is the path within the mounted file system."""

    kind: str  # mount, device, env, link, ld-config, ld-cache, device-rule, hook
    origin: str
    class_id: str
    target: str
    purpose: str
    source: str = ""
    capability: str = ""

    @property
    def name(self) -> str:
        """The last part of a path."""
        return posixpath.basename(self.target) or self.target


def classify(seen: Observation) -> tuple[Item, ...]:
    """Every mount, node, variable, link, cache entry, rule and hook of ``seen``, classified."""
    items = [_mount(mount, seen) for mount in seen.mounts]
    items += [_device(path, node, seen) for path, node in _own_nodes(seen).items()]
    items += [_variable(name, value, seen) for name, value in seen.env.items()]
    files = {i.target: i for i in items if i.kind == "mount" and i.class_id == "driver-library"}
    items += _links(seen, files)
    items += _loader(seen, files)
    items += _rules(seen, items)
    items += [_hook(hook) for hook in (seen.oci.hooks if seen.oci else ())]
    return tuple(items)


def injected(items: Iterable[Item]) -> tuple[Item, ...]:
    """What the GPU path put there, unknown things included: they are not to be overlooked."""
    return tuple(i for i in items if i.origin in ("injected", UNKNOWN))


def unknown(items: Iterable[Item]) -> tuple[Item, ...]:
    """What no table of this book explains."""
    return tuple(i for i in items if i.origin == UNKNOWN or i.class_id == UNKNOWN)


def counts(items: Iterable[Item]) -> dict[str, int]:
    """Number of injected items by class, in the order of the table of classes."""
    number = Counter(i.class_id for i in injected(items))
    return {c: number[c] for c in classes.CLASSES if number[c]}


def _known(kind: str, target: str, source: str, otherwise: str) -> Item:
    """An item by what the tables say of its path; ``otherwise`` is what is said of others."""
    known = known_path(target)
    if known is None:
        return Item(kind, UNKNOWN, UNKNOWN, target, otherwise, source)
    return Item(kind, "injected", known.class_id, target, known.purpose, source, known.capability)


def _mount(mount: Mount, seen: Observation) -> Item:
    target = mount.target
    sources = {m.target: m.source for m in seen.oci.mounts} if seen.oci else {}
    source = sources.get(target) or (mount.root if mount.root != "/" else mount.source)
    for pattern, fstypes, purpose in classes.DOCKER_MOUNTS:
        if pattern.fullmatch(target) and (not fstypes or mount.fstype in fstypes):
            return Item("mount", "engine", "", target, purpose, source)
    if seen.request and target in seen.request.mounts:
        return Item("mount", "asked", "", target, "a volume or bind mount you asked for", source)
    return _known("mount", target, source, "in no table of this book")


def _own_nodes(seen: Observation) -> dict[str, DeviceNode]:
    """Nodes by path, those that are bind mounts left out: they are in the table as mounts."""
    mounted = {m.target for m in seen.mounts}
    nodes = {d.path: d for d in seen.devices}
    for node in seen.oci.devices if seen.oci else ():
        nodes.setdefault(node.path, node)
    return {path: node for path, node in nodes.items() if path not in mounted}


def _device(path: str, node: DeviceNode, seen: Observation) -> Item:
    number = f"{node.type} {node.major}:{node.minor}"
    if path.removeprefix("/dev/") in classes.DOCKER_NODES:
        return Item("device", "engine", "", path, "Docker's own", number)
    if seen.request and path in seen.request.devices and known_path(path) is None:
        return Item("device", "injected", "device-flag", path, "passed through with --device", path)
    return _known("device", path, number, "no known device")


def _variable(name: str, value: str, seen: Observation) -> Item:
    asked = dict(e.partition("=")[::2] for e in (seen.request.env if seen.request else ()))
    line = f"{name}={value}"
    if asked.get(name) == value:
        return Item("env", "asked", "", line, "from the image or the command line")
    if name in classes.ENVIRONMENT:
        return Item("env", "injected", "environment", line, classes.ENVIRONMENT[name])
    if name in classes.DOCKER_ENV:
        return Item("env", "engine", "", line, "set for every container")
    return Item("env", UNKNOWN, UNKNOWN, line, "not asked for, and in no table")


def _links(seen: Observation, files: dict[str, Item]) -> list[Item]:
    links = {link.path: link.target for link in seen.links}
    items = []
    for path, target in links.items():
        end, steps = path, 0
        while end in links and steps < 40:  # as deep as the kernel follows
            end = posixpath.normpath(posixpath.join(posixpath.dirname(end), links[end]))
            steps += 1
        file = files.get(end)
        if file:
            purpose, capability = f"finds {file.name}", file.capability
            items.append(Item("link", "injected", "link", path, purpose, target, capability))
        else:
            items.append(Item("link", "image", "", path, "leads to no injected file", target))
    return items


def _loader(seen: Observation, files: dict[str, Item]) -> list[Item]:
    by_stem = {(posixpath.dirname(p), library_stem(p)): f for p, f in files.items()}
    items = []
    for name, folders in seen.ld_conf.items():
        ours = "nvcr" in posixpath.basename(name)
        origin, class_id = ("injected", "ld-config") if ours else ("image", "")
        purpose = "folders for the dynamic loader, in this order"
        items.append(Item("ld-config", origin, class_id, name, purpose, " ".join(folders)))
    for entry in seen.cache:
        file = by_stem.get((posixpath.dirname(entry.path), library_stem(entry.path)))
        origin, class_id = ("injected", "ld-cache") if file else ("image", "")
        purpose = f"finds {file.name}" if file else "a library of the image"
        items.append(Item("ld-cache", origin, class_id, entry.path, purpose, entry.soname))
    return items


def _rules(seen: Observation, items: list[Item]) -> list[Item]:
    if seen.oci is None:
        return []
    nodes = {(d.type, d.major, d.minor): d.path for d in (*seen.devices, *seen.oci.devices)}
    by_path = {i.target: i for i in items if i.kind == "device"}
    return [
        _rule(rule, by_path.get(nodes.get((rule.type, rule.major, rule.minor), "")))
        for rule in seen.oci.rules
    ]


def _rule(rule: DeviceRule, device: Item | None) -> Item:
    """A permission has the origin of the node that it opens."""
    number = f"{rule.type} {rule.major}:{rule.minor}".replace("-1", "*")
    text = f"{'allow' if rule.allow else 'deny'} {number} {rule.access}"
    if (rule.major, rule.minor) in classes.DOCKER_RULES:
        return Item("device-rule", "engine", "", text, "Docker's own")
    if device:
        purpose = f"lets programs open {device.target}"
        return Item("device-rule", device.origin, "device-rule", text, purpose)
    return Item("device-rule", UNKNOWN, UNKNOWN, text, "for no node seen in the container")


def _hook(hook: OciHook) -> Item:
    purpose = known_hook(hook.path, hook.args)
    line = " ".join(hook.args) or hook.path
    if purpose:
        return Item("hook", "injected", "hook", line, purpose, hook.path)
    if "libnetwork-setkey" in hook.args[:1]:
        return Item("hook", "engine", "", line, "Docker's network set-up", hook.path)
    return Item("hook", UNKNOWN, UNKNOWN, line, "not one of NVIDIA's hooks: look at it", hook.path)
