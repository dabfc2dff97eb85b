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
from gpubook.injection.observation import Mount, Observation

KINDS = ("mount", "device", "env", "link", "ld-config", "ld-cache", "device-rule", "hook")


@dataclass(frozen=True)
class Item:
    """One thing in a container. ``source`` is on the host where it can be known; for a mount seen
    only from inside it is the path within the mounted file system."""

    kind: str
    origin: str
    class_id: str
    name: str
    purpose: str
    capability: str
    source: str
    target: str


@dataclass(frozen=True)
class CdiEdits:
    """What a CDI specification that is not NVIDIA's adds: used to name its edits as such."""

    kind: str
    targets: frozenset[str]
    env: frozenset[str]
    hooks: frozenset[str] = frozenset()


def classify(seen: Observation, *, others: Iterable[CdiEdits] = ()) -> tuple[Item, ...]:
    """Every mount, node, variable, link, cache entry, rule and hook of ``seen``, classified.

    ``others`` are the edits of further CDI specifications, e.g. the reader's own.
    """
    others = tuple(others)
    items = [_mount(mount, seen, others) for mount in seen.mounts]
    items += _devices(seen, others)
    items += _environment(seen, others)
    files = {i.target: i for i in items if i.kind == "mount" and i.class_id == "driver-library"}
    items += _links(seen, files)
    items += _loader(seen, files)
    items += _rules(seen, items)
    items += _hooks(seen, others)
    return tuple(items)


def injected(items: Iterable[Item]) -> tuple[Item, ...]:
    """What the GPU path put there, unknown things included: they are not to be overlooked."""
    return tuple(i for i in items if i.origin in ("injected", UNKNOWN))


def unknown(items: Iterable[Item]) -> tuple[Item, ...]:
    """What no table of this book explains."""
    return tuple(i for i in items if i.origin == UNKNOWN or i.class_id == UNKNOWN)


def counts(items: Iterable[Item]) -> dict[str, int]:
    """Number of injected items by class, in the order of the table of classes."""
    found = Counter(i.class_id for i in injected(items))
    return {c: found[c] for c in classes.CLASSES if found[c]}


def capabilities(items: Iterable[Item]) -> dict[str, int]:
    """Number of injected driver libraries and programs by driver capability."""
    files = ("driver-library", "driver-binary")
    found = Counter(
        i.capability for i in injected(items) if i.kind == "mount" and i.class_id in files
    )
    return dict(sorted(found.items()))


def _item(kind: str, origin: str, class_id: str, target: str, **more: str) -> Item:
    name = more.pop("name", "") or posixpath.basename(target) or target
    fields = {"purpose": "", "capability": "", "source": ""} | more
    return Item(kind=kind, origin=origin, class_id=class_id, name=name, target=target, **fields)


def _other(target: str, others: tuple[CdiEdits, ...]) -> CdiEdits | None:
    return next((o for o in others if target in o.targets), None)


def _mount(mount: Mount, seen: Observation, others: tuple[CdiEdits, ...]) -> Item:
    target = mount.target
    sources = {m.target: m.source for m in seen.oci.mounts} if seen.oci else {}
    source = sources.get(target) or (mount.root if mount.root != "/" else mount.source)
    if _other(target, others):
        edit = _other(target, others)
        return _item(
            "mount",
            "injected",
            "cdi-edit",
            target,
            source=source,
            purpose=f"a mount of {edit.kind}",
        )
    for pattern, fstypes, purpose in classes.DOCKER_MOUNTS:
        if pattern.fullmatch(target) and (not fstypes or mount.fstype in fstypes):
            return _item("mount", "engine", "", target, source=source, purpose=purpose)
    if seen.request and target in seen.request.mounts:
        return _item(
            "mount",
            "asked",
            "",
            target,
            source=source,
            purpose="a volume or bind mount you asked for",
        )
    known = known_path(target)
    if known:
        return _item(
            "mount",
            "injected",
            known.class_id,
            target,
            source=source,
            purpose=known.purpose,
            capability=known.capability,
        )
    return _item(
        "mount", UNKNOWN, UNKNOWN, target, source=source, purpose="in no table of this book"
    )


def _devices(seen: Observation, others: tuple[CdiEdits, ...]) -> list[Item]:
    mounted = {m.target for m in seen.mounts}
    nodes = {d.path: d for d in seen.devices}
    for node in seen.oci.devices if seen.oci else ():
        nodes.setdefault(node.path, node)
    asked = set(seen.request.devices) if seen.request else set()
    items = []
    for path, node in nodes.items():
        if path in mounted:  # already in the table, as a bind mount
            continue
        number = f"{node.type} {node.major}:{node.minor}"
        known = known_path(path)
        other = _other(path, others)
        if path.removeprefix("/dev/") in classes.DOCKER_NODES:
            items.append(_item("device", "engine", "", path, source=number, purpose="Docker's own"))
        elif path in asked:
            items.append(
                _item(
                    "device",
                    "injected",
                    known.class_id if known else "device-flag",
                    path,
                    source=path,
                    purpose=known.purpose if known else "passed through with --device",
                )
            )
        elif other:
            items.append(
                _item(
                    "device",
                    "injected",
                    "cdi-edit",
                    path,
                    source=number,
                    purpose=f"a device node of {other.kind}",
                )
            )
        elif known:
            items.append(
                _item(
                    "device",
                    "injected",
                    known.class_id,
                    path,
                    source=number,
                    purpose=known.purpose,
                    capability=known.capability,
                )
            )
        else:
            items.append(
                _item("device", UNKNOWN, UNKNOWN, path, source=number, purpose="no known device")
            )
    return items


def _environment(seen: Observation, others: tuple[CdiEdits, ...]) -> list[Item]:
    asked = dict(e.partition("=")[::2] for e in (seen.request.env if seen.request else ()))
    items = []
    for name, value in seen.env.items():
        line = f"{name}={value}"
        if name in classes.ENVIRONMENT and asked.get(name) != value:
            origin, class_id, purpose = "injected", "environment", classes.ENVIRONMENT[name]
        elif asked.get(name) == value or name in classes.ENVIRONMENT:
            origin, class_id, purpose = "asked", "", "from the image or the command line"
        elif name in classes.DOCKER_ENV:
            origin, class_id, purpose = "engine", "", "set for every container"
        elif any(line in other.env for other in others):
            origin, class_id, purpose = "injected", "cdi-edit", "a variable of another vendor"
        else:
            origin, class_id, purpose = UNKNOWN, UNKNOWN, "not asked for, and in no table"
        source = f"{name}={asked[name]}" if name in asked else ""
        items.append(
            _item("env", origin, class_id, line, name=name, purpose=purpose, source=source)
        )
    return items


def _links(seen: Observation, files: dict[str, Item]) -> list[Item]:
    links = {link.path: link for link in seen.links}
    items = []
    for link in seen.links:
        end, steps = link.path, 0
        while end in links and steps < 40:  # as deep as the kernel follows
            end = posixpath.normpath(posixpath.join(posixpath.dirname(end), links[end].target))
            steps += 1
        file = files.get(end)
        if file:
            items.append(
                _item(
                    "link",
                    "injected",
                    "link",
                    link.path,
                    source=link.target,
                    purpose=f"finds {file.name}",
                    capability=file.capability,
                )
            )
        else:
            items.append(
                _item(
                    "link",
                    "image",
                    "",
                    link.path,
                    source=link.target,
                    purpose="leads to no injected file",
                )
            )
    return items


def _loader(seen: Observation, files: dict[str, Item]) -> list[Item]:
    by_stem = {(posixpath.dirname(p), library_stem(p)): f for p, f in files.items()}
    items = []
    for name, folders in seen.ld_conf.items():
        base = posixpath.basename(name)
        ours = "nvcr" in base
        items.append(
            _item(
                "ld-config",
                "injected" if ours else "image",
                "ld-config" if ours else "",
                name,
                source=" ".join(folders),
                purpose="folders for the dynamic loader, in this order",
            )
        )
    for entry in seen.cache:
        file = by_stem.get((posixpath.dirname(entry.path), library_stem(entry.path)))
        items.append(
            _item(
                "ld-cache",
                "injected" if file else "image",
                "ld-cache" if file else "",
                entry.path,
                name=entry.soname,
                purpose=f"finds {file.name}" if file else "a library of the image",
                capability=file.capability if file else "",
            )
        )
    return items


def _rules(seen: Observation, items: list[Item]) -> list[Item]:
    if seen.oci is None:
        return []
    nodes = {(d.type, d.major, d.minor): d.path for d in (*seen.devices, *seen.oci.devices)}
    by_path = {i.target: i for i in items if i.kind == "device"}
    found = []
    for rule in seen.oci.rules:
        number = f"{rule.type} {rule.major}:{rule.minor}".replace("-1", "*")
        text = f"{'allow' if rule.allow else 'deny'} {number} {rule.access}"
        device = by_path.get(nodes.get((rule.type, rule.major, rule.minor), ""))
        if (rule.major, rule.minor) in classes.DOCKER_RULES:
            origin, class_id, purpose = "engine", "", "Docker's own"
        elif device:
            # the permission has the origin of the node that it opens
            origin, class_id = device.origin, "device-rule"
            purpose = f"lets programs open {device.target}"
        else:
            origin, class_id, purpose = UNKNOWN, UNKNOWN, "for no node seen in the container"
        found.append(_item("device-rule", origin, class_id, text, name=number, purpose=purpose))
    return found


def _hooks(seen: Observation, others: tuple[CdiEdits, ...]) -> list[Item]:
    items = []
    for hook in seen.oci.hooks if seen.oci else ():
        purpose = known_hook(hook.path, hook.args)
        line = " ".join(hook.args) or hook.path
        verb = next((a for a in hook.args if a in classes.HOOKS), posixpath.basename(hook.path))
        if purpose:
            origin, class_id = "injected", "hook"
        elif "libnetwork-setkey" in hook.args[:1]:
            origin, class_id, purpose = "engine", "", "Docker's network set-up"
        elif any(hook.path in other.hooks for other in others):
            origin, class_id, purpose = "injected", "cdi-edit", "a hook of another vendor"
        else:
            origin, class_id, purpose = UNKNOWN, UNKNOWN, "not one of NVIDIA's hooks: look at it"
        items.append(
            _item("hook", origin, class_id, line, name=verb, purpose=purpose, source=hook.path)
        )
    return items
