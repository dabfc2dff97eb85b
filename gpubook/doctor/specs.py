"""Judging CDI: the specifications here, what renews them, and who needs links instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpubook.doctor.facts import Facts
from gpubook.doctor.finding import Finding, ok, say
from gpubook.errors import BookError
from gpubook.injection.cdi import Edits, Spec, parse
from gpubook.injection.classes import library_version
from gpubook.machine.host import numbers

GPUS_BY_CDI = (29, 2)
BY_SERVICE = (1, 18)
"""The first toolkit with a service that renews CDI specifications."""


def renew(facts: Facts) -> str:
    """The commands that make the CDI specification anew with this toolkit, by their name."""
    return "@renew" if numbers(facts.toolkit_version) >= BY_SERVICE else "@generate"


def _folders(facts: Facts) -> list[str]:
    info = facts.engine_info
    named = info["cdi"]["directories"] if info else []
    return list(dict.fromkeys([*named, "/etc/cdi", "/var/run/cdi"]))


def _specs(facts: Facts) -> dict[str, Spec | str]:
    """Each specification by its path; a text where it cannot be read."""
    specs: dict[str, Spec | str] = {}
    for folder in _folders(facts):
        try:
            paths = sorted(facts.host.path(folder).iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            specs[folder] = f"cannot be read: {error.strerror}"
            continue
        kinds = (".yaml", ".yml", ".json")
        specs |= {f"{folder}/{p.name}": _spec(p) for p in paths if p.suffix in kinds}
    return specs


def _spec(path: Path) -> Spec | str:
    try:
        return parse(path.read_text(encoding="utf-8", errors="replace"))
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except BookError as error:
        return str(error)


def _nvidia(specs: dict[str, Spec | str]) -> dict[str, Spec]:
    return {
        path: spec
        for path, spec in specs.items()
        if isinstance(spec, Spec) and spec.kind == "nvidia.com/gpu"
    }


def cdi_specs(facts: Facts) -> Iterator[Finding]:
    specs = _specs(facts)
    for path, spec in specs.items():
        if isinstance(spec, str):
            yield say("cdi-spec.unread", renew(facts), path=path, reason=spec)
    ours = _nvidia(specs)
    for path, spec in ours.items():
        if Path(path).name.startswith("gpubook-"):
            yield say("cdi-spec.stub", path=path)
        else:
            edits = spec.edits(*spec.devices)
            yield from _old_uvm(path, edits, facts)
            yield _fitting(path, spec, edits, facts)
    yield from _outranked(list(ours.items()))
    if not ours and facts.has_gpu and not facts.system["wsl"]:
        yield say("cdi-spec.none", renew(facts), folders=", ".join(_folders(facts)))


def _outranked(ours: list[tuple[str, Spec]]) -> Iterator[Finding]:
    """Of two specifications of one device the folder named last counts: /var/run/cdi."""
    for path, spec in ours[:-1]:
        last, winner = ours[-1]
        both = sorted(set(spec.devices) & set(winner.devices))
        if both and Path(path).parent != Path(last).parent:
            yield say("cdi-outranked", path=path, last=last, devices=", ".join(both))


def _fitting(path: str, spec: Spec, edits: Edits, facts: Facts) -> Finding:
    """Whether a specification is for the loaded driver, and all that it names is there."""
    loaded = facts.module
    versions = sorted({v for mount in edits.mounts if (v := library_version(mount.host))})
    lost = _lost(edits, facts)
    if loaded and versions and loaded not in versions:
        words = {"versions": ", ".join(versions), "loaded": loaded}
        return say("cdi-spec.stale", renew(facts), path=path, **words)
    if lost:
        words = {"number": len(lost), "first": lost[0]}
        return say("cdi-spec.lost", renew(facts), path=path, **words)
    if not loaded and not facts.system["wsl"]:
        return say("cdi-spec.left", path=path)
    devices = ", ".join(spec.devices)
    return ok("cdi-spec", f"{path}: {devices}, driver {', '.join(versions) or '?'}")


def _lost(edits: Edits, facts: Facts) -> list[str]:
    """What a specification names of the host that is not there."""
    named = [mount.host for mount in edits.mounts]
    named += [node.host_path or node.path for node in edits.nodes]
    named += sorted({hook.path for hook in edits.hooks})
    return [path for path in named if not facts.host.path(path).exists()]


def _old_uvm(path: str, edits: Edits, facts: Facts) -> Iterator[Finding]:
    """The kernel gives nvidia-uvm a number at each start; a specification may have an old one."""
    wanted = facts.get("nodes", {"majors": {}})["majors"].get("nvidia-uvm")
    numbers_ = {n.major for n in edits.nodes if n.path.startswith("/dev/nvidia-uvm")}
    old = numbers_ - {-1, wanted}
    if wanted and old:
        yield say("uvm-in-cdi", renew(facts), path=path, old=min(old), wanted=wanted)


def refresh(facts: Facts) -> Iterator[Finding]:
    states = facts.refresh
    if numbers(facts.toolkit_version) < BY_SERVICE or not states:
        return
    off = [unit for unit, state in states.items() if state not in ("enabled", "static", "alias")]
    if off and facts.has_gpu:
        yield say("cdi-refresh", units=", ".join(off))
    elif not off:
        yield ok("cdi-refresh", "the CDI specification is renewed by a service")


def char_links(facts: Facts) -> Iterator[Finding]:
    info = facts.engine_info
    if not facts.has_gpu or not info:
        return
    by_hook = numbers(info["server"]) < GPUS_BY_CDI or not _nvidia(_specs(facts))
    if info["cgroup_driver"] == "systemd" and by_hook and not facts.nodes["links"]:
        yield say("char-links")
    else:
        yield ok("cgroups", f"cgroup v{info['cgroup_version']}, driver {info['cgroup_driver']}")
