"""The captured host's answers, read into what notebooks 02 and 03 would have measured there.

Each function takes the folder of captures (recordings/h100/captures) and returns the data of one
evidence. The captures keep what was printed, not every command line: where a command is not in
them it is the one that asks for what was answered, and how long it took is not known (null).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.injection.collect import WAYS, report
from gpubook.injection.observation import MalformedInput, from_capture

FOLDERS = {"plain": "no-gpu", "device": "engine-cdi", "runtime": "jit-cdi", "gpus": "legacy"}
"""The folder of captures for each way of asking."""

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


def _text(captures: Path, name: str) -> str:
    try:
        return files.read_text(captures / name)
    except (OSError, files.Malformed) as problem:
        raise MalformedInput(f"cannot read the capture {name}: {problem}") from None


def _step(command: str, said: str, exit_code: int = 0) -> dict[str, Any]:
    return {"command": command, "stdout": said, "exit_code": exit_code, "seconds": None}


def typed(command: str, capture: str) -> Callable[[Path], dict[str, Any]]:
    """A converter for one command whose answer is one captured file."""
    return lambda captures: {"steps": [_step(command, _text(captures, capture))]}


def runtimes(captures: Path) -> dict[str, Any]:
    """``docker info | grep -i runtime``."""
    lines = _text(captures, "docker-info.txt").splitlines(keepends=True)
    found = "".join(line for line in lines if "runtime" in line.lower())
    return {"steps": [_step("docker info | grep -i runtime", found)]}


def workload_command(way: str) -> str:
    """The sample workload of one way of asking, as typed."""
    return WAYS[way][0].replace("IMAGE", '"$IMAGE" nvidia-smi')


def workload(way: str) -> Callable[[Path], dict[str, Any]]:
    """A converter for what ``nvidia-smi`` said in a container. The capture's first line is the
    answer of ``which nvidia-smi``."""

    def convert(captures: Path) -> dict[str, Any]:
        said = _text(captures, f"{FOLDERS[way]}/nvidia-smi.txt").split("\n", 1)[1]
        return {"steps": [_step(workload_command(way), said)]}

    return convert


def wrong(requests: dict[str, str]) -> Callable[[Path], dict[str, Any]]:
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


def container(way: str) -> Callable[[Path], dict[str, Any]]:
    """A converter for one captured container, as :func:`gpubook.injection.look` reports it.

    The OCI spec was read from a second container that was started with the same options.
    """

    def convert(captures: Path) -> dict[str, Any]:
        folder = captures / FOLDERS[way]
        said = _text(captures, f"{FOLDERS[way]}/nvidia-smi.txt")
        return report(
            from_capture(folder),
            command=WAYS[way][0],
            smi=said.split("\n", 1)[1] if said else "",
        )

    return convert


def specification(captures: Path) -> dict[str, Any]:
    """The host's CDI specification."""
    return {"path": "/etc/cdi/nvidia.yaml", "text": _text(captures, "cdi-nvidia.yaml")}


def engine_after(captures: Path) -> dict[str, Any]:
    """What the engine says of GPUs after the toolkit was configured."""
    from gpubook.engine import captures as engine

    info = engine.docker_info(captures)
    return {
        "server": info["server"],
        "default_runtime": info["default_runtime"],
        "runtimes": [row["name"] for row in info["runtimes"]],
        "cdi_directories": info["cdi"]["directories"],
        "cdi_devices": info["cdi"]["devices"],
    }


def configured(captures: Path) -> dict[str, Any]:
    """daemon.json as it is, and as the dry run would write it (parsed)."""
    from gpubook.injection.toolkit import configuration_in

    return {
        "daemon_json": files.json_of(_text(captures, "daemon.json"), "daemon.json"),
        "dry_run": configuration_in(_text(captures, "ctk-configure-dry-run.txt")),
    }


CONVERTERS: tuple[tuple[str, str, str, str, Callable[[Path], Any]], ...] = (
    # notebook, name, needs, capture, converter
    *(
        ("02-nvidia-container-toolkit", *row)
        for row in (
            (
                "toolkit-version",
                "toolkit",
                "ctk-version.txt",
                typed("nvidia-ctk --version", "ctk-version.txt"),
            ),
            ("cdi-list", "toolkit", "cdi-list.txt", typed("nvidia-ctk cdi list", "cdi-list.txt")),
            (
                "configure-dry-run",
                "toolkit",
                "ctk-configure-dry-run.txt",
                typed(
                    "nvidia-ctk runtime configure --runtime=docker --dry-run",
                    "ctk-configure-dry-run.txt",
                ),
            ),
            ("configured", "docker,toolkit", "daemon.json", configured),
            ("runtimes", "docker,toolkit", "docker-info.txt", runtimes),
            ("engine-after", "docker,toolkit", "docker-info.json", engine_after),
            ("workload-device", "docker,gpu", "engine-cdi/nvidia-smi.txt", workload("device")),
            (
                "workload-runtime",
                "docker,gpu,toolkit",
                "jit-cdi/nvidia-smi.txt",
                workload("runtime"),
            ),
            ("workload-gpus", "docker,gpu,toolkit", "legacy/nvidia-smi.txt", workload("gpus")),
            ("wrong-requests", "docker", "errors", wrong(WRONG_WITHOUT_GPU)),
            ("wrong-gpu-requests", "docker,gpu,toolkit", "errors", wrong(WRONG_WITH_GPU)),
        )
    ),
    *(
        ("03-inside-a-gpu-container", *row)
        for row in (
            ("container-plain", "docker", "no-gpu", container("plain")),
            ("container-device", "docker,gpu", "engine-cdi", container("device")),
            ("container-runtime", "docker,gpu,toolkit", "jit-cdi", container("runtime")),
            ("container-gpus", "docker,gpu,toolkit", "legacy", container("gpus")),
            ("specification", "docker,gpu", "cdi-nvidia.yaml", specification),
        )
    ),
)
