"""Judging a machine's facts: engine, driver, toolkit, CDI, room. Pure functions of the facts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gpubook.doctor.facts import Host, Unread
from gpubook.doctor.finding import Finding, by_rule, ok, problem, warning
from gpubook.doctor.rules import numbers

Facts = dict[str, Any]

CDI_KNOWN = (25,)
CDI_DEFAULT = (28, 2)
GPUS_BY_CDI = (29, 2)
SAFE_TOOLKIT = (1, 17, 8)
"""The first toolkit without CVE-2025-23266 (a container could become root on the host)."""

INSTALL_ENGINE = (
    "sudo apt-get install -y docker-ce docker-ce-cli containerd.io docker-buildx-plugin "
    "docker-compose-plugin"
)
INSTALL_TOOLKIT = "sudo apt-get install -y nvidia-container-toolkit"
CONFIGURE = "sudo nvidia-ctk runtime configure --runtime=docker"
RESTART = "sudo systemctl restart docker"
GENERATE = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"
REFRESH = "sudo systemctl enable --now nvidia-cdi-refresh.path nvidia-cdi-refresh.service"


def usable(fact: Any) -> bool:
    """Whether a fact was read."""
    return not isinstance(fact, Unread)


def has_gpu(facts: Facts) -> bool:
    """Whether anything speaks for an NVIDIA GPU: on the bus, its driver, its nodes, WSL's."""
    bus, driver, nodes = facts["bus"], facts["driver"], facts["nodes"]
    return bool(
        (usable(bus) and bus)
        or (usable(driver) and driver["module"])
        or (usable(nodes) and any(n["device"] for n in nodes["nodes"].values()))
    )


def versions(facts: Facts) -> dict[str, str]:
    """The engine's and the toolkit's versions, where known, for choosing a fix."""
    known = {}
    engine, toolkit = facts["engine"], facts["toolkit"]
    if usable(engine) and engine.get("info"):
        known["engine"] = engine["info"]["server"]
    if usable(toolkit) and toolkit["version"]:
        known["toolkit"] = toolkit["version"]
    return known


def unread(facts: Facts) -> Iterator[Finding]:
    """Each fact that could not be read is a finding of its own."""
    for name, fact in facts.items():
        if isinstance(fact, Unread):
            yield warning(
                name,
                f"could not be looked at: {fact.why}",
                "the checks that rest on it are left out",
            )


def system(facts: Facts, host: Host) -> Iterator[Finding]:
    seen = facts["system"]
    place = "in a container" if seen["container"] else "on the machine itself"
    wsl = ", WSL 2" if seen["wsl"] else ""
    yield ok("system", f"{seen['name']}, kernel {seen['kernel']}{wsl}, {place}")


def gpu(facts: Facts, host: Host) -> Iterator[Finding]:
    if not has_gpu(facts):
        yield warning(
            "gpu",
            "no NVIDIA GPU on this machine",
            "the book shows recordings where a GPU would be measured; in a virtual machine the GPU "
            "has to be handed in",
            "lspci -nn | grep -i nvidia",
        )
        return
    nvml, driver = facts["nvml"], facts["driver"]
    if usable(driver) and not driver["module"] and not facts["system"]["wsl"]:
        yield from _no_driver(facts)
        return
    if usable(nvml) and nvml["gpus"]:
        names = ", ".join(f"{g['name']} ({g['capability']})" for g in nvml["gpus"])
        yield ok("gpu", f"{names}, driver {nvml['driver']}")
        slices = [g["name"] for g in nvml["gpus"] if g["mig"]]
        if slices:
            yield warning(
                "mig",
                f"MIG is on: {', '.join(slices)} is cut into slices",
                "a container needs a slice by its name; the whole GPU cannot be used",
                "nvidia-smi -L",
                "docker run --rm --gpus '\"device=0:0\"' IMAGE nvidia-smi -L",
            )
        yield from _library(facts)
    elif usable(nvml) and nvml["error"] not in ("", "not asked"):
        yield by_rule("driver", f"Failed to initialize NVML: {nvml['error']}", versions(facts))
    elif usable(nvml) and not nvml["error"]:
        yield problem(
            "gpu", "the driver answers and shows no GPU", "CUDA finds no device", "nvidia-smi -L"
        )
    elif usable(driver):
        yield ok("driver", f"driver {driver['module']} is loaded")
        yield from _library(facts)


def _no_driver(facts: Facts) -> Iterator[Finding]:
    driver = facts["driver"]
    at = ", ".join(facts["bus"]) if usable(facts["bus"]) else "?"
    why = "nothing can use the GPU until the kernel module is loaded"
    if driver["nouveau"]:
        yield problem(
            "driver",
            f"a GPU is on the bus ({at}), and nouveau has it",
            why,
            "printf 'blacklist nouveau\\noptions nouveau modeset=0\\n' | sudo tee "
            "/etc/modprobe.d/blacklist-nouveau.conf",
            "sudo update-initramfs -u",
            "sudo reboot",
        )
    elif driver["libraries"]["libnvidia-ml.so"]:
        boot = driver["secure_boot"]
        more = ("mokutil --sb-state",) if boot else ()
        yield problem(
            "driver",
            f"a GPU is on the bus ({at}), its driver is installed and not loaded"
            + (", and Secure Boot is on" if boot else ""),
            why,
            *more,
            "sudo modprobe nvidia",
            "dkms status",
        )
    else:
        yield problem(
            "driver",
            f"a GPU is on the bus ({at}), and no NVIDIA driver is installed",
            why,
            "sudo ubuntu-drivers install --gpgpu",
            "sudo reboot",
        )


def _library(facts: Facts) -> Iterator[Finding]:
    driver = facts["driver"]
    if not usable(driver) or not driver["module"]:
        return
    full = [v for v in driver["libraries"]["libnvidia-ml.so"] if "." in v]
    if full and driver["module"] not in full:
        yield problem(
            "driver-library",
            f"the kernel module is {driver['module']}, the installed library {', '.join(full)}",
            "the driver was updated under the running module: programs fail with 'Driver/library "
            "version mismatch'",
            "sudo reboot",
        )


def secure_boot(facts: Facts, host: Host) -> Iterator[Finding]:
    driver = facts["driver"]
    if driver["secure_boot"] is not None and has_gpu(facts):
        signed = driver["secure_boot"] and driver["module"]
        state = "on" if driver["secure_boot"] else "off"
        yield ok(
            "secure-boot", f"Secure Boot is {state}" + (", the module is signed" if signed else "")
        )


def nodes(facts: Facts, host: Host) -> Iterator[Finding]:
    if not has_gpu(facts) or facts["system"]["wsl"]:
        return
    seen = facts["nodes"]["nodes"]
    gpus = [path for path in seen if re.fullmatch(r"/dev/nvidia\d+", path)]
    missing = [path for path in ("/dev/nvidiactl", "/dev/nvidia-uvm") if path not in seen]
    if not gpus:
        missing.append("/dev/nvidia0")
    if missing:
        yield problem(
            "nodes",
            f"missing: {', '.join(sorted(missing))}",
            "nvidia-smi needs nvidiactl and the GPU's own node, CUDA needs nvidia-uvm too",
            "sudo nvidia-modprobe -u -c=0",
        )
    shut = [path for path in seen if seen[path]["device"] and not seen[path]["open"]]
    if shut:
        yield problem(
            "node-modes",
            f"this user may not open {', '.join(shut)}",
            "NVML says 'Insufficient Permissions', CUDA finds no device",
            "ls -l /dev/nvidia*",
            f"sudo usermod -aG $(stat -c %G {shut[0]}) $USER",
        )
    majors = facts["nodes"]["majors"]
    uvm, wanted = seen.get("/dev/nvidia-uvm"), majors.get("nvidia-uvm")
    if uvm and wanted and uvm["major"] != wanted:
        yield problem(
            "uvm-number",
            f"/dev/nvidia-uvm has number {uvm['major']}, the kernel gave nvidia-uvm {wanted}",
            "nvidia-smi works and CUDA fails with an unknown error",
            "sudo rm /dev/nvidia-uvm /dev/nvidia-uvm-tools",
            "sudo nvidia-modprobe -u -c=0",
            GENERATE,
        )
    if not missing and not shut:
        yield ok("nodes", f"{len(seen)} nodes, among them {', '.join(gpus)}")


def char_links(facts: Facts, host: Host) -> Iterator[Finding]:
    engine = facts["engine"]
    if not has_gpu(facts) or not usable(engine) or not engine.get("info"):
        return
    info = engine["info"]
    by_hook = numbers(info["server"]) < GPUS_BY_CDI or not _nvidia_specs(facts, host)
    if info["cgroup_driver"] == "systemd" and by_hook and not facts["nodes"]["links"]:
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


def engine_there(facts: Facts, host: Host) -> Iterator[Finding]:
    seen = facts["engine"]
    if seen.get("info"):
        info = seen["info"]
        where = f"at {seen['host']} (from {seen['source']})"
        yield ok("engine", f"Docker Engine {info['server']} {where}")
        yield from _engine_kind(facts, info)
        yield from _engine_version(facts, info)
        if not seen["command"]:
            yield problem(
                "docker-command",
                "an engine answers, and there is no docker command on the path",
                "the commands of the book cannot be typed",
                "sudo apt-get install -y docker-ce-cli",
            )
        return
    denied = seen["kind"] == "SocketDenied"
    nothing = not seen["command"] and not denied and "DOCKER_HOST" not in seen.get("source", "")
    if nothing:
        yield problem(
            "engine",
            "no Docker Engine is installed",
            "no container can be run here; the book shows recordings instead",
            INSTALL_ENGINE,
            "sudo systemctl enable --now docker",
        )
        return
    run = ("docker context ls", "sudo systemctl enable --now docker", "systemctl status docker")
    if denied:
        run = ("sudo usermod -aG docker $USER", "newgrp docker")
    yield problem("engine", seen["error"], "no docker command works", *run)


def _engine_kind(facts: Facts, info: dict) -> Iterator[Finding]:
    desktop = "Docker Desktop" in info["operating_system"]
    snap = info["root_dir"].startswith("/var/snap/")
    if (desktop and not facts["system"]["wsl"]) or snap:
        name = "the snap" if snap else "Docker Desktop"
        judge = problem if has_gpu(facts) else warning
        yield judge(
            "engine-kind",
            f"the engine is {name}",
            "it runs where the host's NVIDIA driver cannot be seen",
            "sudo snap remove docker" if snap else "docker context use default",
            INSTALL_ENGINE,
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
    elif not _cdi_switched_on(facts):
        judge = warning if has_gpu(facts) else lambda name, what, *_: ok(name, what)
        yield judge(
            "engine-cdi",
            f"Docker {info['server']} can read CDI specifications, and it is switched off",
            "--device nvidia.com/gpu=all is refused with 'could not select device driver \"cdi\"'",
            f"{CONFIGURE} --cdi.enabled",
            RESTART,
        )


def _cdi_switched_on(facts: Facts) -> bool:
    engine = facts["engine"]
    if usable(engine) and engine.get("info") and engine["info"]["cdi"]["directories"]:
        return True
    config = facts["daemon_json"]
    features = config["config"].get("features", {}) if usable(config) else {}
    return isinstance(features, dict) and features.get("cdi") is True


def daemon_json(facts: Facts, host: Host) -> Iterator[Finding]:
    seen = facts["daemon_json"]
    if seen["error"]:
        yield problem(
            "daemon-json",
            seen["error"],
            "the engine does not start with this file",
            f"sudo dockerd --validate --config-file {seen['path']}",
        )
        return
    if seen["why"].startswith("cannot be read"):
        yield warning(
            "daemon-json",
            f"{seen['path']} {seen['why']}",
            "what it says of runtimes and CDI is not known",
            f"sudo cat {seen['path']}",
        )
        return
    config = seen["config"]
    features = config.get("features")
    if isinstance(features, dict) and features.get("cdi") is False:
        yield warning(
            "cdi-off",
            f"{seen['path']} switches CDI off",
            "--device nvidia.com/gpu=all does not work, and --gpus goes the old way",
            f"{CONFIGURE} --cdi.enabled",
            RESTART,
        )
    runtimes = config.get("runtimes")
    named = set(runtimes) if isinstance(runtimes, dict) else set()
    engine = facts["engine"]
    if usable(engine) and engine.get("info"):
        known = {row["name"] for row in engine["info"]["runtimes"]}
        lost = sorted(named - known)
        if lost:
            yield problem(
                "runtimes",
                f"the engine does not know {', '.join(lost)}, a runtime in {seen['path']}",
                "it was not restarted since, or reads another file",
                RESTART,
            )
        elif "nvidia" in known:
            yield ok("runtimes", f"runtimes: {', '.join(sorted(known))}")
    default = config.get("default-runtime")
    if default == "nvidia" and usable(facts["toolkit"]):
        path = facts["toolkit"]["programs"]["nvidia-container-runtime"]
        if not path:
            yield problem(
                "default-runtime",
                "the default runtime is nvidia, and nvidia-container-runtime is missing",
                "no container can be started at all",
                INSTALL_TOOLKIT,
                RESTART,
            )


def toolkit(facts: Facts, host: Host) -> Iterator[Finding]:
    seen = facts["toolkit"]
    here = [name for name, path in seen["programs"].items() if path]
    if not here:
        if has_gpu(facts) and not facts["system"]["container"]:
            yield problem(
                "toolkit",
                "the NVIDIA Container Toolkit is not installed",
                "no container gets the GPU",
                INSTALL_TOOLKIT,
                CONFIGURE,
                RESTART,
            )
        elif not has_gpu(facts):
            yield ok("toolkit", "no NVIDIA Container Toolkit, and no GPU that would need it")
        return
    yield ok("toolkit", f"NVIDIA Container Toolkit {seen['version'] or 'of unknown version'}")
    if (0,) < numbers(seen["version"]) < SAFE_TOOLKIT:
        yield warning(
            "toolkit-version",
            f"toolkit {seen['version']} lets a hostile image become root on the host",
            "CVE-2025-23266; mended in 1.17.8",
            "sudo apt-get update",
            "sudo apt-get install --only-upgrade nvidia-container-toolkit "
            "nvidia-container-toolkit-base libnvidia-container-tools libnvidia-container1",
        )
    missing = [
        name
        for name in ("nvidia-ctk", "nvidia-container-runtime", "nvidia-container-runtime-hook")
        if name not in here
    ]
    if missing:
        yield warning(
            "toolkit-programs",
            f"missing of the toolkit: {', '.join(missing)}",
            "--gpus needs the hook, --runtime nvidia the runtime, CDI nvidia-ctk",
            "sudo apt-get install --reinstall -y nvidia-container-toolkit",
        )


def _folders(facts: Facts, host: Host) -> list[str]:
    engine = facts["engine"]
    named = []
    if usable(engine) and engine.get("info"):
        named = engine["info"]["cdi"]["directories"]
    return list(dict.fromkeys([*named, "/etc/cdi", "/var/run/cdi"]))


def _specs(facts: Facts, host: Host) -> list[tuple[str, Any]]:
    """Path and parsed specification, or path and the error's text, of every file there is."""
    from gpubook.errors import BookError
    from gpubook.injection import cdi

    found: list[tuple[str, Any]] = []
    for folder in _folders(facts, host):
        try:
            paths = sorted(host.path(folder).iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            found.append((folder, f"cannot be read: {error.strerror}"))
            continue
        for path in paths:
            if path.suffix not in (".yaml", ".yml", ".json"):
                continue
            try:
                spec: Any = cdi.parse(path.read_text(encoding="utf-8", errors="replace"))
            except OSError as error:
                spec = f"cannot be read: {error.strerror}"
            except BookError as error:
                spec = str(error)
            found.append((f"{folder}/{path.name}", spec))
    return found


def _nvidia_specs(facts: Facts, host: Host) -> list[tuple[str, Any]]:
    return [
        (path, spec)
        for path, spec in _specs(facts, host)
        if not isinstance(spec, str) and spec.kind == "nvidia.com/gpu"
    ]


def cdi_specs(facts: Facts, host: Host) -> Iterator[Finding]:
    specs = _specs(facts, host)
    for path, spec in specs:
        if isinstance(spec, str):
            yield warning(
                "cdi-spec",
                f"{path}: {spec}",
                "the engine passes over it",
                f"ls -l {path}",
                GENERATE,
            )
    ours = _nvidia_specs(facts, host)
    module = facts["driver"]["module"] if usable(facts["driver"]) else ""
    if not ours:
        if has_gpu(facts) and not facts["system"]["wsl"]:
            yield warning(
                "cdi-spec",
                f"no CDI specification of nvidia.com/gpu in {', '.join(_folders(facts, host))}",
                "--device nvidia.com/gpu=all cannot be resolved; from Docker 29.2 on --gpus looks "
                "here first",
                *_renew(facts),
            )
        return
    for path, spec in ours:
        yield from _one_spec(path, spec, module, facts, host)


def _renew(facts: Facts) -> tuple[str, ...]:
    toolkit = facts["toolkit"]
    new = usable(toolkit) and numbers(toolkit["version"]) >= (1, 18)
    return (REFRESH, "nvidia-ctk cdi list") if new else (GENERATE, "nvidia-ctk cdi list")


def _one_spec(path: str, spec: Any, module: str, facts: Facts, host: Host) -> Iterator[Finding]:
    from gpubook.injection.classes import library_version

    if Path(path).name.startswith("gpubook-"):
        yield warning(
            "cdi-spec",
            f"{path} is this book's stub driver",
            "containers get its empty files; no GPU is behind them",
            f"rm {path}",
        )
        return
    edits = spec.edits(*spec.devices)
    hosts = [mount.host for mount in edits.mounts]
    said = sorted({v for v in map(library_version, hosts) if v})
    lost = [p for p in hosts if not host.path(p).exists()]
    on_host = [node.host_path or node.path for node in edits.nodes]
    lost += [p for p in on_host if not host.path(p).exists()]
    lost += sorted({h.path for h in edits.hooks if not host.path(h.path).exists()})
    if module and said and module not in said:
        yield problem(
            "cdi-spec",
            f"{path} is for driver {', '.join(said)}, and {module} is loaded",
            "the driver was updated; containers get files of another version, or none",
            *_renew(facts),
        )
    elif lost:
        yield problem(
            "cdi-spec",
            f"{path} names {len(lost)} things that are not there, such as {lost[0]}",
            "a container that asks for nvidia.com/gpu is not started",
            *_renew(facts),
        )
    elif not module and not facts["system"]["wsl"]:
        yield warning(
            "cdi-spec",
            f"{path} describes a GPU, and no driver is loaded",
            "it is left over, or a stub: containers get files and no GPU",
            f"sudo rm {path}",
        )
    else:
        yield ok("cdi-spec", f"{path}: {', '.join(spec.devices)}, driver {', '.join(said) or '?'}")


def refresh(facts: Facts, host: Host) -> Iterator[Finding]:
    toolkit, states = facts["toolkit"], facts["refresh"]
    if not usable(toolkit) or numbers(toolkit["version"]) < (1, 18) or not states:
        return
    off = [unit for unit, state in states.items() if state not in ("enabled", "static", "alias")]
    if off and has_gpu(facts):
        yield warning(
            "cdi-refresh",
            f"not enabled: {', '.join(off)}",
            "after the next driver update the CDI specification is stale",
            REFRESH,
        )
    elif not off:
        yield ok("cdi-refresh", "the CDI specification is renewed by a service")


GB = 1e9


def space(facts: Facts, host: Host) -> Iterator[Finding]:
    inside = facts["system"]["container"]
    room = dict(facts["space"])
    shm = room.pop("/dev/shm", None)
    engine = facts["engine"]
    root = engine["info"]["root_dir"] if usable(engine) and engine.get("info") else ""
    places = [p for p in room if p in ("/", "/tmp", "/var/lib/docker", "/var/lib/containerd")]
    tight = [p for p in places if room[p]["free"] < 20 * GB]
    full = [p for p in places if room[p]["free"] < 2 * GB or room[p]["inodes"] < 0.01]
    shown = ", ".join(
        f"{p}: {room[p]['free'] / GB:.0f} of {room[p]['total'] / GB:.0f} GB free"
        for p in (full or tight or places[:1])
    )
    commands = ("df -h / /var/lib /tmp", "docker system df", "docker builder prune")
    if full:
        yield problem("disk", shown, "pulls, builds and training stop", *commands)
    elif tight:
        yield warning(
            "disk", shown, "one image with CUDA and PyTorch takes 10 GB and more", *commands
        )
    elif places:
        yield ok("disk", shown + (f"; the engine's folder is {root}" if root else ""))
    if shm and inside and shm["total"] < 1e9:
        yield warning(
            "shm",
            f"/dev/shm has {shm['total'] / 2**20:.0f} MiB",
            "DataLoader workers and NCCL die with 'Bus error'",
            "docker run --rm --ipc=host IMAGE",
            "docker run --rm --shm-size=8g IMAGE",
        )
    elif shm:
        yield ok("shm", f"/dev/shm has {shm['total'] / 2**30:.1f} GiB")


def limits(facts: Facts, host: Host) -> Iterator[Finding]:
    soft, hard = facts["user"]["nofile"]
    if soft != -1 and soft < 4096 and facts["system"]["container"]:
        yield warning(
            "nofile",
            f"at most {soft} open files (up to {hard} when asked)",
            "DataLoader workers and servers fail with 'Too many open files'; the default of "
            "containers since Docker 29",
            "docker run --rm --ulimit nofile=65536:524288 IMAGE",
        )
    else:
        yield ok("nofile", f"at most {'any number of' if soft == -1 else soft} open files")


# Compute capabilities that the builds of PyTorch hold, from its release matrix for 2.9
# (https://github.com/pytorch/pytorch/blob/main/RELEASE.md); the ends of each list.
_BUILT_FOR = {
    (12, 6): ((5, 0), (9, 0)),
    (12, 8): ((7, 0), (12, 0)),
    (12, 9): ((7, 0), (12, 0)),
    (13, 0): ((7, 5), (12, 1)),
}
_DRIVER_FOR = {11: 450, 12: 525, 13: 580}
"""The first driver for each major CUDA (https://docs.nvidia.com/deploy/cuda-compatibility/)."""


def torch(facts: Facts, host: Host) -> Iterator[Finding]:
    seen = facts["torch"]
    if not seen:
        return
    if not seen["cuda"]:
        if has_gpu(facts):
            yield warning(
                "torch",
                f"torch {seen['version']} is a build for the CPU",
                "it does not use the GPU",
                "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130",
            )
        else:
            yield ok("torch", f"torch {seen['version']}, a build for the CPU")
        return
    cuda = numbers(seen["cuda"])
    module = facts["driver"]["module"] if usable(facts["driver"]) else ""
    need = _DRIVER_FOR.get(cuda[0])
    if module and need and numbers(module)[0] < need:
        yield problem(
            "torch",
            f"torch {seen['version']} needs driver {need} or later, {module} is loaded",
            "torch.cuda.is_available() is False",
            f"sudo ubuntu-drivers install --gpgpu nvidia:{need}-server",
        )
        return
    span = _BUILT_FOR.get(cuda[:2])
    gpus = facts["nvml"]["gpus"] if usable(facts["nvml"]) else []
    outside = [g for g in gpus if span and not span[0] <= numbers(g["capability"]) <= span[1]]
    if outside:
        one = outside[0]
        yield problem(
            "torch",
            f"torch {seen['version']} holds no code for {one['name']} ({one['capability']})",
            "'no kernel image is available for execution on the device'",
            "python -c 'import torch; print(torch.cuda.get_arch_list())'",
            "pip install --force-reinstall torch --index-url https://download.pytorch.org/whl/"
            + ("cu126" if numbers(one["capability"]) < span[0] else "cu130"),
        )
    else:
        yield ok("torch", f"torch {seen['version']} with CUDA {seen['cuda']}")


Check = Callable[[Facts, Host], Iterator[Finding]]
# Each check with the facts that it cannot do without.
ON_HOST: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (system, ("system",)),
    (engine_there, ("engine", "system", "daemon_json")),
    (daemon_json, ("daemon_json",)),
    (gpu, ("system",)),
    (secure_boot, ("driver",)),
    (nodes, ("nodes", "system")),
    (toolkit, ("toolkit", "system")),
    (cdi_specs, ("system",)),
    (refresh, ("refresh",)),
    (char_links, ("nodes", "engine")),
    (space, ("space", "system")),
    (limits, ("user", "system")),
    (torch, ("torch",)),
)
OF_ENGINE: tuple[tuple[Check, tuple[str, ...]], ...] = (
    (engine_there, ("engine", "system", "daemon_json")),
    (daemon_json, ("daemon_json",)),
    (toolkit, ("toolkit", "system")),
    (cdi_specs, ("system",)),
)
