"""Judging a machine's facts: engine, toolkit, room. Each check is a function of the facts; one that
asks for a fact that could not be read is left out. `gpu` and `specs` hold the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gpubook.doctor.common import (
    CONFIGURE,
    INSTALL_ENGINE,
    INSTALL_TOOLKIT,
    RESTART,
    engine_info,
    has_gpu,
)
from gpubook.doctor.facts import Facts, Unread
from gpubook.doctor.finding import Finding, ok, problem, warning
from gpubook.machine.host import numbers
from gpubook.machine.info import dict_of, has_toolkit

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
            yield warning(name, f"could not be looked at: {answer.why}", why)


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
        yield problem(
            "wsl",
            "WSL, and no /dev/dxg",
            "that node is the way to the GPU: this is WSL 1, or Windows has no driver for it",
            "wsl.exe --update",
            "wsl.exe --list --verbose",
        )
    own = [v for v in facts.driver["libraries"]["libcuda.so"] if "." in v]
    if own:
        yield problem(
            "wsl-driver",
            f"a Linux driver ({', '.join(own)}) is installed in WSL 2",
            "its libraries are found before those of Windows in /usr/lib/wsl/lib; the command "
            "removes the packages of that driver",
            "sudo apt-get remove 'nvidia-driver-*' 'libnvidia-compute-*'",
        )


def amd(facts: Facts) -> Iterator[Finding]:
    """A machine with an AMD GPU: other nodes, other images, and no `--gpus` of NVIDIA's."""
    nodes, at = facts.amd["nodes"], ", ".join(facts.amd["bus"])
    shut = [path for path, opens in nodes.items() if not opens]
    if not at:
        return
    if "/dev/kfd" not in nodes:
        yield ok("amd", f"an AMD GPU ({at}), without /dev/kfd: not one for ROCm, or no driver")
    elif shut:
        yield warning(
            "amd",
            f"this user may not open {', '.join(shut)}",
            "ROCm finds no GPU ('No HIP GPUs are available')",
            "ls -l /dev/kfd /dev/dri",
            "sudo usermod -aG render,video $USER",
        )
    else:
        yield ok("amd", f"an AMD GPU ({at}); this book's GPU pages are about NVIDIA's")


def engines(facts: Facts) -> Iterator[Finding]:
    """More than one Docker: images, settings and GPUs of one are not those of the other."""
    docker = [name for name in facts.engines if name != "Podman"]
    if len(docker) > 1:
        yield warning(
            "engines",
            f"{len(docker)} engines: {', '.join(docker)}",
            "an image or a runtime set up in one is unknown to the other",
            "docker context ls",
        )


def engine(facts: Facts) -> Iterator[Finding]:
    if not facts.engine["info"]:
        yield _no_engine(facts.engine)
        return
    info, at = facts.engine["info"], facts.engine
    yield ok("engine", f"Docker Engine {info['server']} at {at['host']} (from {at['source']})")
    yield from _engine_kind(facts, info)
    yield from _engine_version(facts, info)
    if not at["command"]:
        yield problem(
            "docker-command",
            "an engine answers, and there is no docker command on the path",
            "the commands of the book cannot be typed",
            "sudo apt-get install -y docker-ce-cli",
        )


def _no_engine(at: dict[str, Any]) -> Finding:
    denied = at["kind"] == "SocketDenied"
    if not at["command"] and not denied and "DOCKER_HOST" not in at["source"]:
        return problem(
            "engine",
            "no Docker Engine is installed",
            "no container can be run here; the book shows recordings instead",
            INSTALL_ENGINE,
            "sudo systemctl enable --now docker",
        )
    run = ("docker context ls", "sudo systemctl enable --now docker", "systemctl status docker")
    if denied:
        run = ("sudo usermod -aG docker $USER", "newgrp docker")
    return problem("engine", at["error"], "no docker command works", *run)


def _engine_kind(facts: Facts, info: dict) -> Iterator[Finding]:
    desktop = "Docker Desktop" in info["operating_system"]
    snap = info["root_dir"].startswith("/var/snap/")
    if desktop and not facts.system["wsl"]:
        judge = problem if has_gpu(facts) else warning
        yield judge(
            "engine-kind",
            "the engine is Docker Desktop",
            "it runs in a virtual machine, where the host's NVIDIA driver cannot be seen",
            INSTALL_ENGINE,
            "docker context use default",
        )
    if snap and has_gpu(facts):
        yield warning(
            "engine-kind",
            "the engine is the snap",
            "it has a toolkit of its own, which needs snapd 2.63; to change to Docker Engine, save "
            "images and volumes first, since removing the snap deletes them",
            "snap version",
            "snap logs docker.nvidia-container-toolkit",
        )
    if info["rootless"]:
        yield warning(
            "rootless",
            "the engine is rootless",
            "its settings are in ~/.config/docker/daemon.json, its CDI specifications in "
            "~/.config/cdi, and --gpus by the hook needs no-cgroups",
            "mkdir -p ~/.config/cdi",
            "nvidia-ctk cdi generate --output=$HOME/.config/cdi/nvidia.yaml",
        )


def _engine_version(facts: Facts, info: dict) -> Iterator[Finding]:
    version = numbers(info["server"])
    if version >= CDI_DEFAULT:
        return
    if version < CDI_KNOWN:
        yield warning(
            "engine-version",
            f"Docker {info['server']} has no CDI",
            "--device nvidia.com/gpu=all needs Docker 25, and 28.2 has CDI on by itself",
            INSTALL_ENGINE,
        )
    elif not _cdi_switched_on(facts, info):
        judge = warning if has_gpu(facts) else lambda name, what, *_: ok(name, what)
        yield judge(
            "engine-cdi",
            f"Docker {info['server']} can read CDI specifications, and it is switched off",
            "--device nvidia.com/gpu=all is refused with 'could not select device driver \"cdi\"'",
            f"{CONFIGURE} --cdi.enabled",
            RESTART,
        )


def _cdi_switched_on(facts: Facts, info: dict) -> bool:
    features = facts.get("daemon_json", {"config": {}})["config"].get("features")
    return bool(info["cdi"]["directories"]) or dict_of(features).get("cdi") is True


def daemon_json(facts: Facts) -> Iterator[Finding]:
    file = facts.daemon_json
    path, config = file["path"], file["config"]
    if file["error"]:
        yield problem(
            "daemon-json",
            file["error"],
            "the engine does not start with this file",
            f"sudo dockerd --validate --config-file {path}",
        )
    if file["why"].startswith("cannot be read"):
        why = "what it says of runtimes and CDI is not known"
        yield warning("daemon-json", f"{path} {file['why']}", why, f"sudo cat {path}")
    if dict_of(config.get("features")).get("cdi") is False:
        yield warning(
            "cdi-off",
            f"{path} switches CDI off",
            "--device nvidia.com/gpu=all does not work, and --gpus goes the old way",
            f"{CONFIGURE} --cdi.enabled",
            RESTART,
        )
    if info := engine_info(facts):
        yield from _runtimes(path, set(dict_of(config.get("runtimes"))), set(info["runtimes"]))
    programs = facts.get("toolkit", {}).get("programs", {})
    if config.get("default-runtime") == "nvidia" and not programs.get(
        "nvidia-container-runtime", 1
    ):
        yield problem(
            "default-runtime",
            "the default runtime is nvidia, and nvidia-container-runtime is missing",
            "no container can be started at all",
            INSTALL_TOOLKIT,
            RESTART,
        )


def _runtimes(path: str, named: set[str], known: set[str]) -> Iterator[Finding]:
    if lost := sorted(named - known):
        yield problem(
            "runtimes",
            f"the engine does not know {', '.join(lost)}, a runtime in {path}",
            "it was not restarted since, or reads another file",
            RESTART,
        )
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
    elif not has_gpu(facts):
        yield ok("toolkit", "no NVIDIA Container Toolkit, and no GPU that would need it")
    elif not facts.system["container"]:
        yield problem(
            "toolkit",
            "the NVIDIA Container Toolkit is not installed",
            "no container gets the GPU",
            INSTALL_TOOLKIT,
            CONFIGURE,
            RESTART,
        )


def _toolkit_elsewhere(at: dict[str, Any]) -> Finding:
    if at["info"] and has_toolkit(at["info"]):
        return ok("toolkit", f"the engine at {at['host']} has NVIDIA's runtime or CDI devices")
    return warning(
        "toolkit",
        f"the engine at {at['host']} names no runtime and no CDI device of NVIDIA's",
        "its containers get no GPU; the toolkit belongs on that host",
        "docker info --format '{{json .Runtimes}} {{json .DiscoveredDevices}}'",
    )


def _toolkit_here(here: list[str], version: str) -> Iterator[Finding]:
    yield ok("toolkit", f"NVIDIA Container Toolkit {version or 'of unknown version'}")
    if (0,) < numbers(version) < SAFE_TOOLKIT:
        yield warning(
            "toolkit-version",
            f"toolkit {version} lets a hostile image become root on the host",
            "CVE-2025-23266; fixed in 1.17.8",
            "sudo apt-get update",
            "sudo apt-get install --only-upgrade nvidia-container-toolkit "
            "nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1",
        )
    wanted = ("nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook")
    if missing := [name for name in wanted if name not in here]:
        yield warning(
            "toolkit-programs",
            f"missing of the toolkit: {', '.join(missing)}",
            "--gpus needs the hook, --runtime nvidia the runtime, CDI nvidia-ctk",
            "sudo apt-get install --reinstall -y nvidia-container-toolkit",
        )


def space(facts: Facts) -> Iterator[Finding]:
    room = dict(facts.space)
    shm = room.pop("/dev/shm", None)
    if room:
        yield _disk(room, engine_info(facts).get("root_dir"))
    if shm and facts.system["container"] and shm["total"] < 1e9:
        yield warning(
            "shm",
            f"/dev/shm has {shm['total'] / 2**20:.0f} MiB",
            "DataLoader workers and NCCL die with 'Bus error'",
            "docker run --rm --ipc=host IMAGE",
            "docker run --rm --shm-size=8g IMAGE",
        )
    elif shm:
        yield ok("shm", f"/dev/shm has {shm['total'] / 2**30:.1f} GiB")


def _disk(room: dict[str, dict[str, float]], root: str | None) -> Finding:
    tight = [p for p in room if room[p]["free"] < 20 * GB]
    full = [p for p in room if room[p]["free"] < 2 * GB or room[p]["inodes"] < 0.01]
    shown = ", ".join(
        f"{p}: {room[p]['free'] / GB:.0f} of {room[p]['total'] / GB:.0f} GB free"
        for p in full or tight or list(room)[:1]
    )
    commands = ("df -h / /var/lib /tmp", "docker system df", "docker builder prune")
    deletes = "the last command deletes the build cache"
    if full:
        return problem("disk", shown, f"pulls, builds and training stop; {deletes}", *commands)
    if tight:
        why = f"one image with CUDA and PyTorch takes 10 GB and more; {deletes}"
        return warning("disk", shown, why, *commands)
    return ok("disk", shown + (f"; the engine's folder is {root}" if root else ""))


def limits(facts: Facts) -> Iterator[Finding]:
    soft, hard = facts.user["nofile"]
    if soft != -1 and soft < 4096 and facts.system["container"]:
        yield warning(
            "nofile",
            f"at most {soft} open files (up to {hard} when asked)",
            "DataLoader workers and servers fail with 'Too many open files'; the default of "
            "containers since Docker 29",
            "docker run --rm --ulimit nofile=65536:524288 IMAGE",
        )
    else:
        yield ok("nofile", f"at most {'any number of' if soft == -1 else soft} open files")
