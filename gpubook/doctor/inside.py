"""Judging a container from inside: what was injected, by which path, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpubook.doctor.facts import Facts
from gpubook.doctor.finding import Finding, ok, say
from gpubook.errors import BookError
from gpubook.injection import decide, parse_mountinfo
from gpubook.injection.observation import DeviceNode, Observation


def injected(facts: Facts) -> Iterator[Finding]:
    """What of the GPU is in this container. All or nothing is in order; a part is not."""
    parts = _parts(facts)
    missing = [name for name, there in parts.items() if not there]
    if len(missing) == len(parts):
        asked = facts.host.env.get("NVIDIA_VISIBLE_DEVICES", "")
        but = "" if asked in ("", "void", "none") else f", although {asked!r} was asked for"
        yield say("injected.nothing", but=but)
    elif missing == ["nvidia-smi"]:
        yield say("injected.no-smi", path=_path(facts))
    elif missing:
        yield say("injected.part", names=", ".join(missing), path=_path(facts))
    else:
        number = len(facts.nodes["nodes"])
        yield ok("injected", f"{number} nodes, libraries and nvidia-smi; {_path(facts)}")


def _parts(facts: Facts) -> dict[str, bool]:
    """All that belongs to a GPU in a container, and whether it is there."""
    nodes, libraries = facts.nodes["nodes"], facts.driver["libraries"]
    wsl = "/dev/dxg" in nodes
    return {
        "a GPU's node": wsl or any(re.fullmatch(r"/dev/nvidia\d+", path) for path in nodes),
        "/dev/nvidiactl": wsl or "/dev/nvidiactl" in nodes,
        "/dev/nvidia-uvm": wsl or "/dev/nvidia-uvm" in nodes,
        "libcuda.so.1": "1" in libraries["libcuda.so"],
        "libnvidia-ml.so.1": "1" in libraries["libnvidia-ml.so"],
        "nvidia-smi": bool(facts.driver["smi"]),
    }


def _path(facts: Facts) -> str:
    """By which path it came, as far as that can be told from inside."""
    text = facts.get("mountinfo", None)
    if text is None:
        return "path unknown"
    nodes = facts.nodes["nodes"].items()
    devices = tuple(DeviceNode(path, "c", n["major"], n["minor"]) for path, n in nodes)
    try:
        mounts = parse_mountinfo(text)
    except BookError as error:
        return f"path unknown: {error}"
    return decide(Observation(mounts, devices, dict(facts.host.env))).meaning


def user(facts: Facts) -> Iterator[Finding]:
    """Whose files this container writes, and where it may write."""
    uid, folders = facts.user["uid"], _mounted(facts)
    if uid == 0 and folders:
        yield say("user.root", folders=", ".join(folders[:3]))
    elif not facts.user["home_writable"]:
        yield say("user.no-home", uid=uid, home=facts.user["home"] or "not set")
    else:
        yield ok("user", f"user {uid}")


_DISKS = ("ext4", "xfs", "btrfs", "zfs", "fuse", "nfs", "nfs4", "9p", "virtiofs")
_OWN = re.compile(r"/etc/|/(dev|proc|sys|run)(/|$)|/$|/usr/(local/nvidia|lib|bin)/|/var/lib/docker")


def _mounted(facts: Facts) -> list[str]:
    """Folders of the host that may be written here: bind mounts on disks, not the engine's own."""
    try:
        mounts = parse_mountinfo(facts.get("mountinfo", ""))
    except BookError:
        return []
    return [
        m.target
        for m in mounts
        if m.fstype in _DISKS
        and m.root not in ("/", m.target)  # bound from elsewhere, not onto itself
        and "rw" in m.options
        and not _OWN.match(m.target)
    ]


def no_engine(facts: Facts) -> Iterator[Finding]:
    """A container without Docker is in order."""
    if not facts.engine["info"] and not facts.engine["command"]:
        yield ok("engine", "no Docker in this container: pages about the engine show recordings")
