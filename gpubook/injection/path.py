"""Which path put the GPU into a container: decided from evidence, with the reasons.

Each :class:`Reason` says what was seen, and which path it speaks for. What a
container *shows* outranks what was *asked for*: ``--gpus all`` ends in the legacy hook or in CDI
depending on the engine's version, but a bind-mounted device node is there or it is not.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from typing import NamedTuple

from gpubook.injection.classify import Item, classify
from gpubook.injection.observation import Observation

PATHS = {
    "none": "no GPU: nothing was injected",
    "engine-cdi": "dockerd applied a CDI specification",
    "jit-cdi": "nvidia-container-runtime made a CDI specification for this container",
    "cdi": "CDI; from inside alone the engine and the runtime cannot be told apart",
    "legacy": "a prestart hook ran nvidia-container-cli",
    "device-flags": "device nodes passed with --device, and no driver files",
    "wsl2": "the WSL2 driver of a Windows host",
    "undecided": "driver files or nodes that match no known path",
}


class Reason(NamedTuple):
    """One observation that bears on the decision."""

    sign: str
    speaks_for: str


@dataclass(frozen=True)
class Decision:
    """The path, the reasons for it, and the reasons that point elsewhere (normally none)."""

    path: str
    reasons: tuple[Reason, ...]
    against: tuple[Reason, ...] = ()

    @property
    def meaning(self) -> str:
        return PATHS[self.path]


def decide(container: Observation, items: tuple[Item, ...] | None = None) -> Decision:
    """Decide the path of one container. ``items`` saves classifying it again."""
    items = classify(container) if items is None else items
    reasons = _from_hooks(container) + _from_inside(container, items) + _from_request(container)
    path = _choose(container, items, reasons)
    if path == "none":
        reasons.append(Reason("no driver file, no GPU node, no hook of the toolkit", "none"))
    family = {"engine-cdi": "cdi", "jit-cdi": "cdi"}.get(path, path)
    agreeing = tuple(r for r in reasons if r.speaks_for in (path, family))
    return Decision(path, agreeing, tuple(r for r in reasons if r not in agreeing))


def _from_hooks(container: Observation) -> list[Reason]:
    if container.oci is None:
        return []
    reasons = []
    for hook in container.oci.hooks:
        program = posixpath.basename(hook.path)
        if program == "nvidia-container-runtime-hook":
            reasons.append(Reason(f"{hook.stage} hook {program}", "legacy"))
        elif program in ("nvidia-cdi-hook", "nvidia-ctk") and hook.stage != "prestart":
            reasons.append(Reason(f"{hook.stage} hook {program}", "cdi"))
    if any(node.path.startswith("/dev/nvidia") for node in container.oci.devices):
        reasons.append(Reason("GPU nodes listed in linux.devices", "cdi"))
    return list(dict.fromkeys(reasons))


def _from_inside(container: Observation, items: tuple[Item, ...]) -> list[Reason]:
    ours = [i for i in items if i.origin == "injected"]
    mounts = {i.target for i in ours if i.kind == "mount"}
    classes = {i.class_id for i in ours}
    mounted = sorted(t for t in mounts if t.startswith("/dev/nvidia"))
    void = container.env.get("NVIDIA_VISIBLE_DEVICES") == "void" and _has_driver(items)
    proc, params = "/proc/driver/nvidia", "/proc/driver/nvidia/params"
    signs = (
        (mounted, f"device nodes are bind mounts ({', '.join(mounted)})", "legacy"),
        (proc in mounts, f"{proc} is a tmpfs of its own", "legacy"),
        (params in mounts, f"only {params} is covered, by one file", "cdi"),
        ("hook-workspace" in classes, "a scratch folder of nvidia-cdi-hook", "cdi"),
        (void, "NVIDIA_VISIBLE_DEVICES=void", "cdi"),
        ("wsl" in classes, "/dev/dxg or files below /usr/lib/wsl", "wsl2"),
    )
    return [Reason(what, path) for shows, what, path in signs if shows]


def _from_request(container: Observation) -> list[Reason]:
    request = container.request
    if request is None:
        return []
    reasons = []
    for ask in request.device_requests:
        if ask["driver"] == "cdi":
            reasons.append(
                Reason(f"asked for the CDI device {', '.join(ask['ids'])}", "engine-cdi")
            )
        elif ask["driver"] in ("", "nvidia") and ["gpu"] in ask["capabilities"]:
            # --gpus says that a GPU was wanted, not how it came; the engine's version decides
            path = "engine-cdi" if _shows_cdi(container) else "legacy"
            reasons.append(Reason("asked with --gpus, with no runtime of NVIDIA's", path))
    if request.runtime == "nvidia":
        reasons.append(Reason("the container's runtime is nvidia", "jit-cdi"))
    nodes = [d for d in request.devices if d.startswith(("/dev/nvidia", "/dev/dri"))]
    if nodes:
        reasons.append(Reason(f"passed with --device: {', '.join(nodes)}", "device-flags"))
    return reasons


def _shows_cdi(container: Observation) -> bool:
    hooks = container.oci.hooks if container.oci else ()
    by_hook = any("cdi-hook" in h.path or h.args[1:2] == ("hook",) for h in hooks)
    return by_hook or container.env.get("NVIDIA_VISIBLE_DEVICES") == "void"


def _has_driver(items: tuple[Item, ...]) -> bool:
    return any(
        i.origin == "injected" and i.class_id in ("driver-library", "gpu-node") for i in items
    )


def _choose(container: Observation, items: tuple[Item, ...], reasons: list[Reason]) -> str:
    votes = {r.speaks_for for r in reasons}
    present = any(i.origin == "injected" and i.kind != "env" for i in items)
    if "wsl2" in votes:
        return "wsl2"
    if "legacy" in votes and present and "cdi" not in votes:
        # the nvidia runtime in legacy mode and --gpus end in the same hook
        return "legacy"
    if "cdi" in votes and present:
        if "engine-cdi" in votes and container.request and container.request.runtime != "nvidia":
            return "engine-cdi"
        if "jit-cdi" in votes and "engine-cdi" not in votes:
            return "jit-cdi"
        return "cdi"
    if "device-flags" in votes and not any(i.class_id == "driver-library" for i in items):
        return "device-flags"
    if not present:
        return "none"
    if "engine-cdi" in votes and "legacy" not in votes:
        return "engine-cdi"
    return "undecided"
