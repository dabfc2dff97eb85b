"""Turn the raw captures of the H100 host into recordings: recordings/h100/<notebook>/*.json.

    python tools/import_captures.py           # write them
    python tools/import_captures.py --check   # compare: exit 1 where one differs or is missing

A reader takes the folder of captures (recordings/h100/captures, whose README says what is in it)
and returns the data of one evidence, as the page would have measured it there. The captures keep
what was printed, not every command line: the command of a step is the page's, where its answer is
the captured text or the lines of it that the command would have chosen. How long it took is not
known (null). A unit test runs the comparison, so an edited recording or capture is found out.
"""

from __future__ import annotations

import argparse
import json
import posixpath
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gpubook import files
from gpubook.errors import BookError, exit_code
from gpubook.evidence import new_record, write_recording
from gpubook.evidence.records import read_json, recording_path

ROOT = Path(__file__).resolve().parent.parent
MACHINE = "h100"

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

Reader = Callable[[Path], Any]


def _text(captures: Path, name: str) -> str:
    try:
        return files.read_text(captures / name)
    except (OSError, files.Malformed) as problem:
        raise BookError(f"cannot read the capture {name}: {problem}") from None


def _json(captures: Path, name: str) -> Any:
    return files.json_of(_text(captures, name), f"the capture {name}")


def _step(command: str, stdout: str, exit_code: int = 0) -> dict[str, Any]:
    return {"command": command, "stdout": stdout, "exit_code": exit_code, "seconds": None}


def _run(way: str, command: str, stdout: str) -> dict[str, Any]:
    return _step(f'docker run --rm {OPTIONS[way]}"$IMAGE" {command}', stdout)


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def typed(command: str, capture: str) -> Reader:
    """A reader of one command whose answer is one captured file."""
    return lambda captures: {"steps": [_step(command, _text(captures, capture))]}


def settings(captures: Path) -> dict[str, str]:
    """What page 01 keeps of the SDK's ``info()``; a test compares this with the page's own cell."""
    info = _json(captures, "docker-info.json")
    return {
        "Storage driver": info["Driver"],
        "Images and containers in": info["DockerRootDir"],
        "cgroup version": info["CgroupVersion"],
        "cgroup driver": info["CgroupDriver"],
        "Runtimes": ", ".join(sorted(info["Runtimes"])),
        "Folders for CDI": ", ".join(info["CDISpecDirs"]),
    }


def docker_info(captures: Path) -> dict[str, Any]:
    """The engine's CDI folders and devices, and its runtimes."""
    lines = _text(captures, "docker-info.txt").splitlines()
    chosen = [line for line in lines if "cdi" in line.lower() or "runtime" in line.lower()]
    return {"steps": [_step("docker info | grep -iE 'cdi|runtime'", _lines(chosen))]}


def workload(way: str) -> Reader:
    """A reader of what ``nvidia-smi`` said in a container. The capture's first line is the
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


def wrong(requests: dict[str, str]) -> Reader:
    """A reader of refused requests. Docker's exit codes: 125 its own error, 127 no such
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


def riddle(way: str) -> Reader:
    """A reader of page 06's first look: mounts that say "nvidia", nodes named so."""
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


def look(*ways: str) -> Reader:
    """A reader of what containers printed: mounts, nodes, environment."""

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


class Converter(NamedTuple):
    """One recording: whose evidence it is, what it needs, the capture that is read, the reader."""

    notebook: str
    name: str
    needs: str
    capture: str
    convert: Reader


def _typed(notebook: str, name: str, needs: str, capture: str, command: str) -> Converter:
    """A recording of one command whose answer is one captured file."""
    return Converter(notebook, name, needs, capture, typed(command, capture))


_01, _05, _06, _07 = (
    "01-first-container",
    "05-nvidia-container-toolkit",
    "06-inside-a-gpu-container",
    "07-a-device-of-your-own",
)
_GPU, _TOOLKIT = "docker,gpu", "docker,gpu,toolkit"
_OCI = "docker,gpu,host,root,toolkit"
_CAT = 'cat "${DAEMON_JSON:-/etc/docker/daemon.json}" || echo "no file: the defaults hold"'
_DRY_RUN = "nvidia-ctk runtime configure --runtime=docker --dry-run"

CONVERTERS = (
    _typed(_01, "docker-info", "docker", "docker-info.txt", "docker info"),
    _typed(_01, "daemon-json", "docker,host", "daemon.json", _CAT),
    Converter(_01, "settings", "docker", "docker-info.json", settings),
    _typed(_05, "toolkit-version", "toolkit", "ctk-version.txt", "nvidia-ctk --version"),
    _typed(_05, "cdi-list", "toolkit", "cdi-list.txt", "nvidia-ctk cdi list"),
    _typed(_05, "configure-dry-run", "toolkit", "ctk-configure-dry-run.txt", _DRY_RUN),
    Converter(_05, "docker-info", "docker,toolkit", "docker-info.txt", docker_info),
    Converter(_05, "workload-gpus", _TOOLKIT, "legacy/nvidia-smi.txt", workload("gpus")),
    Converter(_05, "workload-device", _GPU, "engine-cdi/nvidia-smi.txt", workload("device")),
    Converter(_05, "workload-runtime", _TOOLKIT, "jit-cdi/nvidia-smi.txt", workload("runtime")),
    Converter(_05, "paths-shown", _TOOLKIT, "*/mountinfo", paths_shown),
    Converter(_05, "wrong-requests", "docker", "errors", wrong(WRONG_WITHOUT_GPU)),
    Converter(_05, "wrong-gpu-requests", _TOOLKIT, "errors", wrong(WRONG_WITH_GPU)),
    Converter(_06, "riddle-gpus", _TOOLKIT, "legacy", riddle("gpus")),
    Converter(_06, "riddle-device", _GPU, "engine-cdi", riddle("device")),
    Converter(_06, "plain", "docker", "no-gpu", look("plain")),
    Converter(_06, "looks", _TOOLKIT, "*", look("device", "runtime", "gpus")),
    Converter(_06, "specs", _OCI, "*/oci-config.json", specs),
    Converter(_06, "names", _GPU, "engine-cdi", names),
    Converter(_07, "specification", "gpu,toolkit", "cdi-nvidia.yaml", specification),
)


def provenance(captures: Path, capture: str) -> dict:
    """The machine that was captured, in its own words; ``None`` where it did not say."""
    info = json.loads((captures / "docker-info.json").read_text(encoding="utf-8"))
    smi = (captures / "nvidia-smi.txt").read_text(encoding="utf-8")
    toolkit = (captures / "ctk-version.txt").read_text(encoding="utf-8")
    driver = re.search(r"Driver Version: (\S+)", smi)[1]
    version = re.search(r"version (\S+)", toolkit)[1]
    gpu = re.search(r"^\|\s+0\s+(\S.*?)\s+(?:On|Off)\s", smi, re.MULTILINE)[1]
    memory = re.search(r"/\s*(\d+)MiB", smi)[1]
    return {
        "machine": {
            "name": MACHINE,
            "cpu": None,
            "cores": info["NCPU"],
            "memory_bytes": info["MemTotal"],
            "gpus": [
                {
                    "name": gpu,
                    "memory_bytes": int(memory) * 2**20,
                    "driver": driver,
                    "compute_capability": None,
                }
            ],
            "os": info["OperatingSystem"].removesuffix(" (containerized)"),
            "kernel": info["KernelVersion"],
            "container": None,
        },
        "software": {
            "docker": info["ServerVersion"],
            "toolkit": version,
            "driver": driver,
            "cuda": re.search(r"CUDA Version: (\S+)", smi)[1],
        },
        "date": f"{info['SystemTime'][:19]}Z",
        "source": f"converted from captures/{capture}",
        "stub": False,
    }


def records(captures: Path) -> list[dict]:
    """All the recordings that the captures give."""
    return [
        new_record(
            row.notebook,
            row.name,
            row.convert(captures),
            needs=sorted(row.needs.split(",")),
            provenance=provenance(captures, row.capture),
        )
        for row in CONVERTERS
    ]


def main(argv: list[str] | None = None) -> int:
    """Write the recordings, or with --check compare them. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = parser.parse_args(argv).check
    different = []
    for record in records(ROOT / "recordings" / MACHINE / "captures"):
        if not check:
            print(write_recording(ROOT, record).relative_to(ROOT))
            continue
        path = recording_path(ROOT, MACHINE, record["notebook"], record["name"])
        if not path.is_file() or read_json(path) != record:
            different.append(str(path.relative_to(ROOT)))
    for path in different:
        print(f"{path} is not what the captures give: run tools/import_captures.py")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(exit_code("import_captures", main))
