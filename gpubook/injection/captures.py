"""The captured host's answers, as pages 05 to 07 would have measured them there.

Each converter takes the folder of captures (recordings/h100/captures) and returns the data of one
evidence. The captures keep what was printed, not every command line: the command of a step is the
page's, where its answer is the captured text or the lines of it that the command would have
chosen. How long it took is not known (null).
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.injection.observation import MalformedInput

FOLDERS = {"plain": "no-gpu", "device": "engine-cdi", "runtime": "jit-cdi", "gpus": "legacy"}
"""The folder of captures for each way of asking."""

OPTIONS = {
    "plain": "",
    "device": "--device nvidia.com/gpu=all ",
    "runtime": "--runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all ",
    "gpus": "--gpus all ",
}
"""What a command line says to ask in each of these ways."""

WRONG_WITHOUT_GPU = {
    'docker run --rm --runtime=nvidiaX "$IMAGE" true': "unknown-runtime",
    'docker run --rm --device nvidia.com/gpu=9 "$IMAGE" true': "unresolvable-cdi",
    'docker run --rm "$IMAGE" nvidia-smi': "no-gpus-flag",
    "docker -H unix:///nope.sock ps": "no-daemon",
}
WRONG_WITH_GPU = {
    'docker run --rm --gpus 2 "$IMAGE" nvidia-smi': "too-many-gpus",
    'docker run --rm --gpus device=7 "$IMAGE" nvidia-smi': "bad-device",
}

Converter = Callable[[Path], Any]


def _text(captures: Path, name: str) -> str:
    try:
        return files.read_text(captures / name)
    except (OSError, files.Malformed) as problem:
        raise MalformedInput(f"cannot read the capture {name}: {problem}") from None


def _json(captures: Path, name: str) -> Any:
    try:
        return files.json_of(_text(captures, name), f"the capture {name}")
    except files.Malformed as problem:
        raise MalformedInput(str(problem)) from None


def _step(command: str, stdout: str, exit_code: int = 0) -> dict[str, Any]:
    return {"command": command, "stdout": stdout, "exit_code": exit_code, "seconds": None}


def _run(way: str, command: str, stdout: str) -> dict[str, Any]:
    return _step(f'docker run --rm {OPTIONS[way]}"$IMAGE" {command}', stdout)


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def typed(command: str, capture: str) -> Converter:
    """A converter for one command whose answer is one captured file."""
    return lambda captures: {"steps": [_step(command, _text(captures, capture))]}


def docker_info(captures: Path) -> dict[str, Any]:
    """The engine's CDI folders and devices, and its runtimes."""
    lines = _text(captures, "docker-info.txt").splitlines()
    chosen = [line for line in lines if "cdi" in line.lower() or "runtime" in line.lower()]
    return {"steps": [_step("docker info | grep -iE 'cdi|runtime'", _lines(chosen))]}


def workload(way: str) -> Converter:
    """A converter for what ``nvidia-smi`` said in a container. The capture's first line is the
    answer of ``which nvidia-smi``."""

    def convert(captures: Path) -> dict[str, Any]:
        text = _text(captures, f"{FOLDERS[way]}/nvidia-smi.txt").split("\n", 1)[1]
        return {"steps": [_run(way, "nvidia-smi", text)]}

    return convert


def paths_shown(captures: Path) -> dict[str, Any]:
    """Both versions, and for each request how many mounts are the control node."""
    version = _json(captures, "docker-version.json")["Server"]["Version"]
    steps = [_step("docker version --format '{{.Server.Version}}'", f"{version}\n")]
    steps.append(_step("nvidia-ctk --version", _text(captures, "ctk-version.txt")))
    count = "\\\n  sh -c 'grep -c /dev/nvidiactl /proc/self/mountinfo || true'"
    for way in ("gpus", "device", "runtime"):
        lines = _text(captures, f"{FOLDERS[way]}/mountinfo").splitlines()
        steps.append(_run(way, count, f"{sum('/dev/nvidiactl' in line for line in lines)}\n"))
    return {"steps": steps}


def wrong(requests: dict[str, str]) -> Converter:
    """A converter for refused requests. Docker's exit codes: 125 its own error, 127 no such
    command in the container, 1 any other failure of the client."""
    codes = {"no-gpus-flag": 127, "no-daemon": 1}

    def convert(captures: Path) -> dict[str, Any]:
        return {
            "steps": [
                _step(command, _text(captures, f"errors/{name}.txt"), codes.get(name, 125))
                for command, name in requests.items()
            ]
        }

    return convert


def _nodes(captures: Path, way: str) -> list[str]:
    """The lines of character devices: ``find`` listed links, too."""
    lines = _text(captures, f"{FOLDERS[way]}/dev.txt").splitlines()
    return [line for line in lines if line.startswith("c")]


def riddle(way: str) -> Converter:
    """A converter for page 06's first look: mounts that say "nvidia", nodes named so."""
    grep = "sh -c 'grep -i nvidia /proc/self/mountinfo | cut -d \" \" -f 5'"
    find = "sh -c 'find /dev -type c -name \"nvidia*\" | sort'"

    def convert(captures: Path) -> dict[str, Any]:
        lines = _text(captures, f"{FOLDERS[way]}/mountinfo").splitlines()
        mounts = [line.split(" ")[4] for line in lines if "nvidia" in line.lower()]
        nodes = sorted(line.split()[-1] for line in _nodes(captures, way))
        named = [path for path in nodes if posixpath.basename(path).startswith("nvidia")]
        first = _run(way, f"\\\n  {grep}", _lines(mounts))
        return {"steps": [first, _run(way, find, _lines(named))]}

    return convert


LOOK = "sh -c 'cat /proc/self/mountinfo; echo; find /dev -type c | xargs ls -l; echo; env'"


def look(*ways: str) -> Converter:
    """A converter for all that containers printed: mounts, nodes, environment."""

    def convert(captures: Path) -> dict[str, Any]:
        steps = []
        for way in ways:
            mountinfo = _text(captures, f"{FOLDERS[way]}/mountinfo")
            env = _text(captures, f"{FOLDERS[way]}/env.txt")
            printed = f"{mountinfo}\n{_lines(_nodes(captures, way))}\n{env}"
            steps.append(_run(way, f"\\\n  {LOOK}", printed))
        return {"steps": steps}

    return convert


def specs(captures: Path) -> dict[str, Any]:
    """What was asked for and what ``runc`` was told, for each of the four containers. The OCI
    specification was read from a second container that was started with the same options."""
    names = {"plain": "plain", "--device": "device", "--runtime": "runtime", "--gpus": "gpus"}
    return {name: _spec(captures, FOLDERS[way]) for name, way in names.items()}


def _spec(captures: Path, folder: str) -> dict[str, Any]:
    inspected = _json(captures, f"{folder}/inspect.json")
    host = (inspected[0] if isinstance(inspected, list) else inspected)["HostConfig"]
    oci = _json(captures, f"{folder}/oci-config.json")
    hooks = oci.get("hooks") or {}
    return {
        "runtime": host["Runtime"],
        "asked": host["DeviceRequests"],
        "hooks": [[stage, *hook["args"]] for stage, each in hooks.items() for hook in each],
        "devices": [node["path"] for node in oci["linux"].get("devices") or []],
        "rules": oci["linux"]["resources"]["devices"],
    }


def names(captures: Path) -> dict[str, Any]:
    """The links and the loader's entries of ``libcuda``."""
    folder = FOLDERS["device"]
    links = [
        line
        for line in _text(captures, f"{folder}/links.txt").splitlines()
        if posixpath.basename(line.split(" -> ")[0].split()[-1]).startswith("libcuda.so")
    ]
    cache = _text(captures, f"{folder}/ldcache.txt").splitlines()
    find = 'find / -xdev -type l -name "libcuda.so*" | xargs ls -l; ldconfig -p | grep libcuda.so'
    entries = [line for line in cache if "libcuda.so" in line]
    return {"steps": [_run("device", f"\\\n  sh -c '{find}'", _lines([*links, *entries]))]}


def specification(captures: Path) -> str:
    """The host's CDI specification."""
    return _text(captures, "cdi-nvidia.yaml")


_05, _06, _07 = (
    "05-nvidia-container-toolkit",
    "06-inside-a-gpu-container",
    "07-a-device-of-your-own",
)
_DRY_RUN = "nvidia-ctk runtime configure --runtime=docker --dry-run"
_GPU, _TOOLKIT = "docker,gpu", "docker,gpu,toolkit"

CONVERTERS: tuple[tuple[str, str, str, str, Converter], ...] = (
    # notebook, name, needs, capture, converter
    (
        _05,
        "toolkit-version",
        "toolkit",
        "ctk-version.txt",
        typed("nvidia-ctk --version", "ctk-version.txt"),
    ),
    (_05, "cdi-list", "toolkit", "cdi-list.txt", typed("nvidia-ctk cdi list", "cdi-list.txt")),
    (
        _05,
        "configure-dry-run",
        "toolkit",
        "ctk-configure-dry-run.txt",
        typed(_DRY_RUN, "ctk-configure-dry-run.txt"),
    ),
    (_05, "docker-info", "docker,toolkit", "docker-info.txt", docker_info),
    (_05, "workload-gpus", _TOOLKIT, "legacy/nvidia-smi.txt", workload("gpus")),
    (_05, "workload-device", _GPU, "engine-cdi/nvidia-smi.txt", workload("device")),
    (_05, "workload-runtime", _TOOLKIT, "jit-cdi/nvidia-smi.txt", workload("runtime")),
    (_05, "paths-shown", _TOOLKIT, "*/mountinfo", paths_shown),
    (_05, "wrong-requests", "docker", "errors", wrong(WRONG_WITHOUT_GPU)),
    (_05, "wrong-gpu-requests", _TOOLKIT, "errors", wrong(WRONG_WITH_GPU)),
    (_06, "riddle-gpus", _TOOLKIT, "legacy", riddle("gpus")),
    (_06, "riddle-device", _GPU, "engine-cdi", riddle("device")),
    (_06, "plain", "docker", "no-gpu", look("plain")),
    (_06, "looks", _TOOLKIT, "*", look("device", "runtime", "gpus")),
    (_06, "specs", "docker,gpu,host,root,toolkit", "*/oci-config.json", specs),
    (_06, "names", _GPU, "engine-cdi", names),
    (_07, "specification", "gpu,toolkit", "cdi-nvidia.yaml", specification),
)
