"""Turn the raw captures of the H100 host into recordings: recordings/h100/<notebook>/*.json.

    python tools/import_captures.py           # write them
    python tools/import_captures.py --check   # compare: exit 1 where one differs or is missing

The captures are what the machine printed; the parsers that read them are those that read this
machine live. A unit test runs the comparison, so an edited recording or capture is found out.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gpubook.engine import captures as engine
from gpubook.errors import exit_code
from gpubook.evidence import new_record, write_recording
from gpubook.evidence.records import read_json, recording_path
from gpubook.injection import captures as injection

ROOT = Path(__file__).resolve().parent.parent
MACHINE = "h100"


class Converter(NamedTuple):
    """One recording: whose evidence it is, the capture it is read from, and the reader."""

    notebook: str
    name: str
    needs: tuple[str, ...]
    capture: str
    convert: Callable[[Path], object]


_01 = "01-first-container"
_DOCKER = ("docker",)

CONVERTERS = [
    Converter(_01, "docker-info", _DOCKER, "docker-info.txt", engine.docker_info_text),
    Converter(_01, "daemon-json", ("docker", "host"), "daemon.json", engine.daemon_json),
    Converter(_01, "settings", _DOCKER, "docker-info.json", engine.settings),
    *(
        Converter(notebook, name, tuple(sorted(needs.split(","))), capture, convert)
        for notebook, name, needs, capture, convert in injection.CONVERTERS
    ),
]


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
            needs=row.needs,
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
