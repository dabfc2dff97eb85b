"""Judging a container from inside: what was injected, by which path, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gpubook.doctor.checks import Check, Facts, gpu, limits, space, system, torch, usable
from gpubook.doctor.facts import Host
from gpubook.doctor.finding import Finding, ok, problem, warning

_ASK = (
    "docker run --rm --gpus all IMAGE nvidia-smi",
    "docker run --rm --device nvidia.com/gpu=all IMAGE nvidia-smi",
)


def injected(facts: Facts, host: Host) -> Iterator[Finding]:
    """What of the GPU is in this container. All or nothing is in order; a part is not."""
    seen = facts["nodes"]["nodes"]
    libraries = facts["driver"]["libraries"]
    wsl = "/dev/dxg" in seen
    parts = {
        "a GPU's node": wsl or any(re.fullmatch(r"/dev/nvidia\d+", path) for path in seen),
        "/dev/nvidiactl": wsl or "/dev/nvidiactl" in seen,
        "/dev/nvidia-uvm": wsl or "/dev/nvidia-uvm" in seen,
        "libcuda.so.1": "1" in libraries["libcuda.so"],
        "libnvidia-ml.so.1": "1" in libraries["libnvidia-ml.so"],
        "nvidia-smi": bool(facts["driver"]["smi"]),
    }
    here = [name for name, there in parts.items() if there]
    missing = [name for name, there in parts.items() if not there]
    if not here:
        asked = host.env.get("NVIDIA_VISIBLE_DEVICES", "")
        but = "" if asked in ("", "void", "none") else f", although {asked!r} was asked for"
        yield warning(
            "injected",
            f"nothing of a GPU was injected{but}",
            "the container was started without one; programs use the CPU",
            *_ASK,
        )
        return
    path = _path(facts, host)
    if missing:
        why = "driver files and nodes belong together: what needs the missing part fails"
        if missing == ["nvidia-smi"]:
            yield warning(
                "injected",
                f"no nvidia-smi ({path})",
                "CUDA works; the capability utility was left out",
                "docker run --rm --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility IMAGE",
            )
        else:
            yield problem("injected", f"missing: {', '.join(missing)} ({path})", why, *_ASK)
    else:
        yield ok("injected", f"{len(seen)} nodes, libraries and nvidia-smi; {path}")


def _path(facts: Facts, host: Host) -> str:
    """By which path it came, as far as that can be told from inside."""
    from gpubook.errors import BookError
    from gpubook.injection import decide, parse_mountinfo
    from gpubook.injection.observation import DeviceNode, Observation

    if not usable(facts["mountinfo"]):
        return "path unknown"
    nodes = tuple(
        DeviceNode(path, "c", node["major"], node["minor"])
        for path, node in facts["nodes"]["nodes"].items()
    )
    try:
        mounts = parse_mountinfo(facts["mountinfo"])
    except BookError as error:
        return f"path unknown: {error}"
    return decide(Observation(mounts=mounts, devices=nodes, env=dict(host.env))).meaning


def user(facts: Facts, host: Host) -> Iterator[Finding]:
    """Whose files this container writes, and where it may write."""
    seen = facts["user"]
    folders = _mounted(facts)
    if seen["uid"] == 0 and folders:
        yield warning(
            "user",
            f"the container runs as root, and {', '.join(folders[:3])} is mounted from the host",
            "what is written there belongs to root on the host",
            "docker run --rm --user $(id -u):$(id -g) -e HOME=/tmp IMAGE",
        )
    elif not seen["home_writable"]:
        yield warning(
            "user",
            f"user {seen['uid']} may not write in HOME ({seen['home'] or 'not set'})",
            "caches, of Hugging Face and Matplotlib for instance, cannot be kept",
            "docker run --rm --user $(id -u):$(id -g) -e HOME=/tmp IMAGE",
        )
    else:
        yield ok("user", f"user {seen['uid']}")


def _mounted(facts: Facts) -> list[str]:
    """Folders of the host that may be written here: bind mounts on disks, not the engine's own."""
    from gpubook.errors import BookError
    from gpubook.injection import parse_mountinfo

    if not usable(facts["mountinfo"]):
        return []
    try:
        mounts = parse_mountinfo(facts["mountinfo"])
    except BookError:
        return []
    own = re.compile(
        r"/etc/|/(dev|proc|sys|run)(/|$)|/$|/usr/(local/nvidia|lib|bin)/|/var/lib/docker"
    )
    return [
        m.target
        for m in mounts
        if m.fstype in ("ext4", "xfs", "btrfs", "zfs", "fuse", "nfs", "nfs4", "9p", "virtiofs")
        and m.root not in ("/", m.target)  # bound from elsewhere, not onto itself
        and "rw" in m.options
        and not own.match(m.target)
    ]


def no_engine(facts: Facts, host: Host) -> Iterator[Finding]:
    """A container without Docker is in order."""
    engine = facts["engine"]
    if not engine.get("info") and not engine["command"]:
        yield ok("engine", "no Docker in this container: pages about the engine show recordings")


IN_CONTAINER: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (system, ("system",)),
    (injected, ("nodes", "driver")),
    (gpu, ("system", "nvml")),
    (user, ("user",)),
    (space, ("space", "system")),
    (limits, ("user", "system")),
    (torch, ("torch",)),
    (no_engine, ("engine",)),
)
