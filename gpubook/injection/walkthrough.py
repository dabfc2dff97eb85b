"""The rows and lines that notebook 03 shows of an observation."""

from __future__ import annotations

import posixpath
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from gpubook.injection.classes import CLASSES, library_stem
from gpubook.injection.classify import Item, capabilities, classify, injected
from gpubook.injection.observation import Observation


def as_typed(seen: Observation, word: str = "nvidia") -> list[dict[str, Any]]:
    """What ``mount | grep -i WORD`` and ``which nvidia-smi`` print in this container, as the
    steps of a transcript. The lines are made from mountinfo, from which ``mount`` makes them."""
    lines = [m.as_mount_prints() for m in seen.mounts]
    found = "\n".join(line for line in lines if word in line.lower())
    return [
        {"command": f"mount | grep -i {word}", "stdout": found, "exit_code": 0 if found else 1},
        {
            "command": "which nvidia-smi",
            "stdout": seen.smi_path or "",
            "exit_code": 0 if seen.smi_path else 1,
        },
    ]


def lines(items: Iterable[Item], kinds: tuple[str, ...] = ("mount", "device")) -> list[dict]:
    """A row for each injected item of these kinds, with its class's title."""
    return [
        asdict(i) | {"class": CLASSES[i.class_id].title, "capability": i.capability or "–"}
        for i in injected(items)
        if i.kind in kinds
    ]


def landing(items: Iterable[Item]) -> list[dict[str, Any]]:
    """How many injected files and nodes landed in which folder, and from which folder they came;
    nodes that are no mounts come from none: runc makes them."""
    found: Counter[tuple[str, str]] = Counter()
    for item in injected(items):
        if item.kind == "mount":
            found[posixpath.dirname(item.target), posixpath.dirname(item.source) or "–"] += 1
        elif item.kind == "device":
            found[posixpath.dirname(item.target), "made by runc"] += 1
    return [
        {"folder": folder, "source": source, "number": number}
        for (folder, source), number in sorted(found.items())
    ]


def folder_of(seen: Observation, stem: str) -> str | None:
    """The folder in which the library ``lib<stem>.so...`` was mounted."""
    paths = (m.target for m in seen.mounts if library_stem(m.target) == stem)
    return next((posixpath.dirname(path) for path in paths), None)


def side_by_side(containers: Mapping[str, Observation]) -> list[dict[str, str]]:
    """One row for each thing in which the paths can differ: what, a value for each container
    under its name, and why it matters."""

    def row(what: str, why: str, value: Any) -> dict[str, str]:
        return {"what": what, "why": why} | {n: value(seen) for n, seen in containers.items()}

    def nodes(seen: Observation) -> str:
        mounted = any(m.target.startswith("/dev/nvidia") for m in seen.mounts)
        if mounted:
            return "bind mounts"
        own = any(d.path.startswith("/dev/nvidia") for d in seen.devices)
        return "nodes of its own" if own else "none"

    def rules(seen: Observation) -> str:
        if seen.oci is None:
            return "not readable"
        found = [i for i in injected(classify(seen)) if i.kind == "device-rule"]
        return f"{len(found)} rules" if found else "no rules"

    def hooks(seen: Observation) -> str:
        if seen.oci is None:
            return "not readable"
        stages = [h.stage for h in seen.oci.hooks if "nvidia" in h.path]
        return ", ".join(f"{stages.count(s)} {s}" for s in dict.fromkeys(stages)) or "none"

    def links(seen: Observation) -> str:
        return str(sum(i.kind == "link" for i in injected(classify(seen))))

    def loader(seen: Observation) -> str:
        if not any(i.kind == "ld-cache" for i in injected(classify(seen))):
            return "untouched"
        added = any("nvcr" in name for name in seen.ld_conf)
        return "cache, ld.so.conf.d" if added else "cache"

    def proc(seen: Observation) -> str:
        targets = {m.target for m in seen.mounts}
        if "/proc/driver/nvidia" in targets:
            return "a tmpfs"
        return "one file" if "/proc/driver/nvidia/params" in targets else "as on the host"

    def groups(seen: Observation) -> str:
        return ", ".join(capabilities(classify(seen))) or "none"

    return [
        row("device nodes", "mount | grep nvidia shows bind mounts, not nodes", nodes),
        row(
            "permissions in the OCI spec",
            "rules that only the hook knows are lost at systemctl daemon-reload, and the GPU is "
            "gone: Failed to initialize NVML",
            rules,
        ),
        row(
            "folder of libcuda",
            "a path written into a script works on one kind of host only",
            lambda seen: folder_of(seen, "cuda") or "none",
        ),
        row(
            "folder of nvidia-smi",
            "found only if that folder is in the image's PATH",
            lambda seen: posixpath.dirname(seen.smi_path) if seen.smi_path else "not found",
        ),
        row("capabilities", "on CDI the variable NVIDIA_DRIVER_CAPABILITIES does nothing", groups),
        row(
            "NVIDIA_VISIBLE_DEVICES",
            "void keeps the nvidia runtime from putting everything in twice",
            lambda seen: seen.env.get("NVIDIA_VISIBLE_DEVICES", "not set"),
        ),
        row("hooks", "the work of the legacy hook is not in the OCI spec; CDI's is", hooks),
        row("library links", "CDI also makes the names that linkers use (libcuda.so)", links),
        row("loader", "an image with its own ld.so settings may prefer other folders", loader),
        row("/proc/driver/nvidia", "programs ask here which GPUs there are", proc),
    ]
