"""Judging a machine's facts: engine, toolkit, room. Each check is a function of the facts; one that
asks for a fact that could not be read is left out. `gpu` and `specs` hold the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from gpubook.doctor.facts import Facts, Unread
from gpubook.doctor.finding import OK, WARNING, Finding, ok, say
from gpubook.files import dict_of
from gpubook.machine.host import numbers
from gpubook.machine.info import has_toolkit

CDI_KNOWN = (25,)
CDI_DEFAULT = (28, 2)
SAFE_TOOLKIT = (1, 17, 8)
"""The first toolkit without CVE-2025-23266 (a container could become root on the host)."""
GB = 1e9


def unread(answers: Mapping[str, Any]) -> Iterator[Finding]:
    """Each fact that could not be read is a finding of its own."""
    why = "the checks that rest on it are left out"
    for name, answer in answers.items():
        if isinstance(answer, Unread):
            yield Finding(name, WARNING, f"could not be looked at: {answer.why}", why)


def system(facts: Facts) -> Iterator[Finding]:
    here = facts.system
    place = "in a container" if here["container"] else "on the machine itself"
    wsl = ", WSL 2" if here["wsl"] else ""
    machine = here["machine"]
    yield ok("system", f"{here['name']}, {machine}, kernel {here['kernel']}{wsl}, {place}")
    if machine == "aarch64":
        yield ok("arm", "an Arm machine: images must be made for linux/arm64")


def wsl(facts: Facts) -> Iterator[Finding]:
    """In WSL 2 the driver is that of Windows: what Linux has of one is in its way."""
    if not facts.system["wsl"]:
        return
    if not facts.host.path("/dev/dxg").exists():
        yield say("wsl")
    if own := [v for v in facts.driver["libraries"]["libcuda.so"] if "." in v]:
        yield say("wsl-driver", versions=", ".join(own))


def amd(facts: Facts) -> Iterator[Finding]:
    """A machine with an AMD GPU: other nodes, other images, and no `--gpus` of NVIDIA's."""
    nodes, at = facts.amd["nodes"], ", ".join(facts.amd["bus"])
    shut = [path for path, opens in nodes.items() if not opens]
    if not at:
        return
    if "/dev/kfd" not in nodes:
        yield ok("amd", f"an AMD GPU ({at}), without /dev/kfd: not one for ROCm, or no driver")
    elif shut:
        yield say("amd", nodes=", ".join(shut))
    else:
        yield ok("amd", f"an AMD GPU ({at}); this book's GPU pages are about NVIDIA's")


def engines(facts: Facts) -> Iterator[Finding]:
    """More than one Docker: images, settings and GPUs of one are not those of the other."""
    docker = [name for name in facts.engines if name != "Podman"]
    if len(docker) > 1:
        yield say("engines", number=len(docker), names=", ".join(docker))


def engine(facts: Facts) -> Iterator[Finding]:
    at, info = facts.engine, facts.engine["info"]
    if not info:
        yield _no_engine(at)
        return
    yield ok("engine", f"Docker Engine {info['server']} at {at['host']} (from {at['source']})")
    yield from _engine_kind(facts, info)
    yield from _engine_version(facts, info)
    if not at["command"]:
        yield say("docker-command")


def _no_engine(at: dict[str, Any]) -> Finding:
    if at["kind"] == "SocketDenied":
        return say("engine.denied", error=at["error"])
    if not at["command"] and "DOCKER_HOST" not in at["source"]:
        return say("engine.none")
    return say("engine.silent", error=at["error"])


def _engine_kind(facts: Facts, info: dict) -> Iterator[Finding]:
    if "Docker Desktop" in info["operating_system"] and not facts.system["wsl"]:
        found = say("engine-kind.desktop")
        yield found if facts.has_gpu else replace(found, status=WARNING)
    if info["root_dir"].startswith("/var/snap/") and facts.has_gpu:
        yield say("engine-kind.snap")
    if info["rootless"]:
        yield say("rootless")


def _engine_version(facts: Facts, info: dict) -> Iterator[Finding]:
    version = numbers(info["server"])
    features = facts.get("daemon_json", {"config": {}})["config"].get("features")
    switched_on = info["cdi"]["directories"] or dict_of(features).get("cdi") is True
    if version < CDI_KNOWN:
        yield say("engine-version", server=info["server"])
    elif version < CDI_DEFAULT and not switched_on:
        found = say("engine-cdi", server=info["server"])
        yield found if facts.has_gpu else replace(found, status=OK, why="", run=())


def daemon_json(facts: Facts) -> Iterator[Finding]:
    file = facts.daemon_json
    path, config = file["path"], file["config"]
    if file["error"]:
        yield say("daemon-json.wrong", error=file["error"], path=path)
    if file["why"].startswith("cannot be read"):
        yield say("daemon-json.unread", path=path, reason=file["why"])
    if dict_of(config.get("features")).get("cdi") is False:
        yield say("cdi-off", path=path)
    if info := facts.engine_info:
        yield from _runtimes(path, set(dict_of(config.get("runtimes"))), set(info["runtimes"]))
    programs = facts.get("toolkit", {}).get("programs", {"nvidia-container-runtime": "unknown"})
    if config.get("default-runtime") == "nvidia" and not programs["nvidia-container-runtime"]:
        yield say("default-runtime")


def _runtimes(path: str, named: set[str], known: set[str]) -> Iterator[Finding]:
    if lost := sorted(named - known):
        yield say("runtimes", names=", ".join(lost), path=path)
    elif "nvidia" in known:
        yield ok("runtimes", f"runtimes: {', '.join(sorted(known))}")


def toolkit(facts: Facts) -> Iterator[Finding]:
    """The toolkit that serves the engine: where that is on another host, only it can tell."""
    at = facts.get("engine", {})
    if at.get("elsewhere"):
        yield _toolkit_elsewhere(at)
        return
    here = [name for name, path in facts.toolkit["programs"].items() if path]
    if here:
        yield from _toolkit_here(here, facts.toolkit["version"])
    elif not facts.has_gpu:
        yield ok("toolkit", "no NVIDIA Container Toolkit, and no GPU that would need it")
    elif not facts.system["container"]:
        yield say("toolkit.none")


def _toolkit_elsewhere(at: dict[str, Any]) -> Finding:
    if at["info"] and has_toolkit(at["info"]):
        return ok("toolkit", f"the engine at {at['host']} has NVIDIA's runtime or CDI devices")
    return say("toolkit.elsewhere", host=at["host"])


def _toolkit_here(here: list[str], version: str) -> Iterator[Finding]:
    yield ok("toolkit", f"NVIDIA Container Toolkit {version or 'of unknown version'}")
    if (0,) < numbers(version) < SAFE_TOOLKIT:
        yield say("toolkit-version", version=version)
    wanted = ("nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook")
    if missing := [name for name in wanted if name not in here]:
        yield say("toolkit-programs", names=", ".join(missing))


def space(facts: Facts) -> Iterator[Finding]:
    room = dict(facts.space)
    shm = room.pop("/dev/shm", None)
    if room:
        yield _disk(room, facts.engine_info.get("root_dir"))
    if shm and facts.system["container"] and shm["total"] < 1e9:
        yield say("shm", mib=shm["total"] / 2**20)
    elif shm:
        yield ok("shm", f"/dev/shm has {shm['total'] / 2**30:.1f} GiB")


def _disk(room: dict[str, dict[str, float]], root: str | None) -> Finding:
    tight = [p for p in room if room[p]["free"] < 20 * GB]
    full = [p for p in room if room[p]["free"] < 2 * GB or room[p]["inodes"] < 0.01]
    shown = ", ".join(
        f"{p}: {room[p]['free'] / GB:.0f} of {room[p]['total'] / GB:.0f} GB free"
        for p in full or tight or list(room)[:1]
    )
    if full or tight:
        return say("disk.full" if full else "disk.tight", places=shown)
    return ok("disk", shown + (f"; the engine's folder is {root}" if root else ""))


def limits(facts: Facts) -> Iterator[Finding]:
    soft, hard = facts.user["nofile"]
    if soft != -1 and soft < 4096 and facts.system["container"]:
        yield say("nofile", soft=soft, hard=hard)
    else:
        yield ok("nofile", f"at most {'any number of' if soft == -1 else soft} open files")
