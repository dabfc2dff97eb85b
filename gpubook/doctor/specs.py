"""Judging CDI: the specifications here, what renews them, and who needs links instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpubook.doctor.common import BY_SERVICE, engine_info, has_gpu, module, renew, toolkit_version
from gpubook.doctor.facts import Facts
from gpubook.doctor.finding import Finding, ok, problem, warning
from gpubook.errors import BookError
from gpubook.injection.cdi import Edits, Spec, parse
from gpubook.injection.classes import library_version
from gpubook.machine.host import numbers

GPUS_BY_CDI = (29, 2)
REFRESH = "sudo systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"


def _folders(facts: Facts) -> list[str]:
    info = engine_info(facts)
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
            why = "the engine passes over it"
            yield warning("cdi-spec", f"{path}: {spec}", why, f"ls -l {path}", *renew(facts))
    ours = _nvidia(specs)
    for path, spec in ours.items():
        if Path(path).name.startswith("gpubook-"):
            yield warning(
                "cdi-spec",
                f"{path} is this book's stub driver",
                "containers get its empty files; no GPU is behind them; the command deletes it",
                f"rm {path}",
            )
        else:
            edits = spec.edits(*spec.devices)
            yield from _old_uvm(path, edits, facts)
            yield _fitting(path, spec, edits, facts)
    yield from _outranked(list(ours.items()))
    if not ours and has_gpu(facts) and not facts.system["wsl"]:
        yield warning(
            "cdi-spec",
            f"no CDI specification of nvidia.com/gpu in {', '.join(_folders(facts))}",
            "--device nvidia.com/gpu=all cannot be resolved; from Docker 29.2 on --gpus looks "
            "here first",
            *renew(facts),
        )


def _outranked(ours: list[tuple[str, Spec]]) -> Iterator[Finding]:
    """Of two specifications of one device the folder named last counts: /var/run/cdi."""
    for path, spec in ours[:-1]:
        last, winner = ours[-1]
        both = sorted(set(spec.devices) & set(winner.devices))
        if both and Path(path).parent != Path(last).parent:
            yield warning(
                "cdi-outranked",
                f"{path} and {last} both describe {', '.join(both)}: the second counts",
                "a change in the first has no effect; the command deletes it",
                f"sudo rm {path}",
            )


def _fitting(path: str, spec: Spec, edits: Edits, facts: Facts) -> Finding:
    """Whether a specification is for the loaded driver, and all that it names is there."""
    loaded = module(facts)
    versions = sorted({v for mount in edits.mounts if (v := library_version(mount.host))})
    lost = _lost(edits, facts)
    if loaded and versions and loaded not in versions:
        return problem(
            "cdi-spec",
            f"{path} is for driver {', '.join(versions)}, and {loaded} is loaded",
            "the driver was updated; containers get files of another version, or none",
            *renew(facts),
        )
    if lost:
        return problem(
            "cdi-spec",
            f"{path} names {len(lost)} things that are not there, such as {lost[0]}",
            "a container that asks for nvidia.com/gpu is not started",
            *renew(facts),
        )
    if not loaded and not facts.system["wsl"]:
        return warning(
            "cdi-spec",
            f"{path} describes a GPU, and no driver is loaded",
            "it is left over, or a stub: containers get files and no GPU; the command deletes it",
            f"sudo rm {path}",
        )
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
        yield problem(
            "uvm-in-cdi",
            f"{path} gives nvidia-uvm the number {min(old)}, the kernel {wanted}",
            "in a container nvidia-smi works and CUDA does not (error 999), since the file is of "
            "before the last start",
            *renew(facts),
        )


def refresh(facts: Facts) -> Iterator[Finding]:
    states = facts.refresh
    if numbers(toolkit_version(facts)) < BY_SERVICE or not states:
        return
    off = [unit for unit, state in states.items() if state not in ("enabled", "static", "alias")]
    if off and has_gpu(facts):
        why = "after the next driver update the CDI specification is stale"
        yield warning("cdi-refresh", f"not enabled: {', '.join(off)}", why, REFRESH)
    elif not off:
        yield ok("cdi-refresh", "the CDI specification is renewed by a service")


def char_links(facts: Facts) -> Iterator[Finding]:
    info = engine_info(facts)
    if not has_gpu(facts) or not info:
        return
    by_hook = numbers(info["server"]) < GPUS_BY_CDI or not _nvidia(_specs(facts))
    if info["cgroup_driver"] == "systemd" and by_hook and not facts.nodes["links"]:
        yield warning(
            "char-links",
            "cgroup driver systemd, and /dev/char has no links to NVIDIA's nodes",
            "with --gpus by the hook, a `systemctl daemon-reload` takes the GPU from running "
            "containers ('Failed to initialize NVML: Unknown Error')",
            "docker run --rm --device nvidia.com/gpu=all IMAGE nvidia-smi",
            "sudo nvidia-ctk system create-dev-char-symlinks --create-all",
        )
    else:
        yield ok("cgroups", f"cgroup v{info['cgroup_version']}, driver {info['cgroup_driver']}")
