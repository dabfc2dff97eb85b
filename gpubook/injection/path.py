"""Which path put the GPU into a container: decided from evidence, with the reasons.

Each :class:`Reason` says what was seen, where, and which path it speaks for or against. What a
container *shows* outranks what was *asked for*: ``--gpus all`` ends in the legacy hook or in CDI
depending on the engine's version, but a bind-mounted device node is there or it is not.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Reason:
    """One observation that bears on the decision."""

    seen: str
    where: str
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


def decide(seen: Observation, items: tuple[Item, ...] | None = None) -> Decision:
    """Decide the path of one container. ``items`` saves classifying it again."""
    items = classify(seen) if items is None else items
    reasons = _from_hooks(seen) + _from_inside(seen, items) + _from_request(seen, items)
    path = _choose(seen, items, reasons)
    family = {"engine-cdi": "cdi", "jit-cdi": "cdi"}.get(path, path)
    agreeing = tuple(r for r in reasons if r.speaks_for in (path, family))
    against = tuple(r for r in reasons if r not in agreeing and r.speaks_for != "none")
    if path == "none":
        agreeing = (
            *agreeing,
            Reason(
                "no driver file, no GPU node, no hook of the toolkit", "everything read", "none"
            ),
        )
    return Decision(path, agreeing, against)


def _from_hooks(seen: Observation) -> list[Reason]:
    reasons = []
    hooks = seen.oci.hooks if seen.oci else ()
    stages: dict[tuple[str, str], int] = {}
    for hook in hooks:
        key = (hook.stage, posixpath.basename(hook.path))
        stages[key] = stages.get(key, 0) + 1
    for (stage, program), number in stages.items():
        if program == "nvidia-container-runtime-hook":
            path = "legacy"
        elif program in ("nvidia-cdi-hook", "nvidia-ctk") and stage != "prestart":
            path = "cdi"
        else:
            continue
        reasons.append(Reason(f"{number} {stage} hook(s) {program}", "OCI spec", path))
    if seen.oci and any(i.path.startswith("/dev/nvidia") for i in seen.oci.devices):
        reasons.append(Reason("GPU nodes listed in linux.devices", "OCI spec", "cdi"))
    return reasons


def _from_inside(seen: Observation, items: tuple[Item, ...]) -> list[Reason]:
    reasons = []
    mounts = {i.target for i in items if i.kind == "mount" and i.origin == "injected"}
    mounted = sorted(t for t in mounts if t.startswith("/dev/nvidia"))
    if mounted:
        reasons.append(
            Reason(f"device nodes are bind mounts ({', '.join(mounted)})", "mountinfo", "legacy")
        )
    if "/proc/driver/nvidia" in mounts:
        reasons.append(Reason("/proc/driver/nvidia is a tmpfs of its own", "mountinfo", "legacy"))
    if "/proc/driver/nvidia/params" in mounts:
        reasons.append(
            Reason("only /proc/driver/nvidia/params is covered, by one file", "mountinfo", "cdi")
        )
    if any(i.class_id == "hook-workspace" for i in items):
        reasons.append(Reason("a scratch folder of nvidia-cdi-hook", "mountinfo", "cdi"))
    if any(i.kind == "ld-config" and i.origin == "injected" for i in items):
        reasons.append(
            Reason("loader configuration *nvcr* was written", "/etc/ld.so.conf.d", "cdi")
        )
    if seen.env.get("NVIDIA_VISIBLE_DEVICES") == "void" and _has_driver(items):
        reasons.append(Reason("NVIDIA_VISIBLE_DEVICES=void", "environment", "cdi"))
    if any(i.class_id == "wsl" and i.origin == "injected" for i in items):
        reasons.append(Reason("/dev/dxg or files below /usr/lib/wsl", "mounts and nodes", "wsl2"))
    return reasons


def _from_request(seen: Observation, items: tuple[Item, ...]) -> list[Reason]:
    request = seen.request
    if request is None:
        return []
    reasons = []
    for ask in request.device_requests:
        if ask["driver"] == "cdi":
            names = ", ".join(ask["ids"])
            reasons.append(
                Reason(f"asked for the CDI device {names}", "docker inspect", "engine-cdi")
            )
        elif ask["driver"] in ("", "nvidia") and ["gpu"] in ask["capabilities"]:
            # --gpus: says that a GPU was wanted, not how it came; the engine's version decides
            hooks = seen.oci.hooks if seen.oci else ()
            cdi = any("cdi-hook" in h.path or h.args[1:2] == ("hook",) for h in hooks)
            void = seen.env.get("NVIDIA_VISIBLE_DEVICES") == "void"
            reasons.append(
                Reason(
                    "asked with --gpus, with no runtime of NVIDIA's",
                    "docker inspect",
                    "engine-cdi" if cdi or void else "legacy",
                )
            )
    if request.runtime == "nvidia":
        reasons.append(Reason("the container's runtime is nvidia", "docker inspect", "jit-cdi"))
    nodes = [d for d in request.devices if d.startswith(("/dev/nvidia", "/dev/dri"))]
    if nodes:
        reasons.append(
            Reason(f"passed with --device: {', '.join(nodes)}", "docker inspect", "device-flags")
        )
    return reasons


def _ours(item: Item) -> bool:
    return item.origin == "injected"


def _has_driver(items: tuple[Item, ...]) -> bool:
    return any(_ours(i) and i.class_id in ("driver-library", "gpu-node") for i in items)


def _choose(seen: Observation, items: tuple[Item, ...], reasons: list[Reason]) -> str:
    votes = {r.speaks_for for r in reasons}
    present = any(_ours(i) and i.kind in ("mount", "device", "hook") for i in items)
    if "wsl2" in votes:
        return "wsl2"
    if "legacy" in votes and present and "cdi" not in votes:
        # the nvidia runtime in legacy mode and --gpus end in the same hook
        return "legacy"
    if "cdi" in votes and present:
        if "engine-cdi" in votes and seen.request and seen.request.runtime != "nvidia":
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
