"""What an instructor plans with: what the notebooks used when these pages were made.

- ``{gpubook-seats}``: a row a notebook: computing time, memory, files, GPU memory.
- ``{gpubook-class}``: a row a class of 1 to 30: memory, cores, disk and GPUs, from these figures.
- ``{gpubook-gpu-memory}``: a row a machine: the GPU's memory while page 11 trained there.
- ``{gpubook-disk}``: what the environment, data and model, and the image take on the disk.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from gpubook.book.sphinx_ext import load_results
from gpubook.book.sphinx_practice import duration, machine_of
from gpubook.errors import BookError

IMAGE = "gpu-plus-container:latest"
CLASSES = (1, 10, 20, 30)  # seats
LAB_BYTES = 2**29  # an allowance for JupyterLab itself and for what its kernels read from the disk
OWN_BYTES = 2**30  # and for a learner's own files
SLICES = 7  # a GPU has at most so many MIG slices


def size(number: int | None) -> str:
    """Bytes for people: ``"1.4 GiB"``, ``"87 MiB"``; a dash for what was not measured."""
    if number is None:
        return "–"
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"


def seat_rows(results: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One row a notebook. What a result of an older version did not note is a dash."""
    rows = []
    for result in results:
        used = result.get("used", {})
        rows.append(
            {
                "notebook": result["notebook"],
                "took": duration(result["finished"] - result["started"]),
                "memory": size(used.get("memory_bytes")),
                "files": size(used["files_bytes"]) if used.get("files_bytes") else "–",
                "gpu": size(used.get("gpu_memory_bytes")),
            }
        )
    return rows


def seat_bytes(results: list[dict[str, Any]]) -> int | None:
    """What a seat needs, in whole GiB of memory: its two largest notebooks at once, and the lab.

    None where no result noted its memory.
    """
    used = sorted(r["used"]["memory_bytes"] for r in results if r.get("used"))
    return math.ceil((sum(used[-2:]) + LAB_BYTES) / 2**30) * 2**30 if used else None


def class_rows(results: list[dict[str, Any]], image: int | None) -> list[dict[str, str]]:
    """What a machine needs for a class: all seats at work, a core each; ``image`` in bytes."""
    seat = seat_bytes(results)
    files = sum(r["used"]["files_bytes"] for r in results if r.get("used")) + OWN_BYTES
    return [
        {
            "seats": str(seats),
            "memory": size(seat * seats if seat else None),
            "cores": str(seats),
            "disk": size(image + seats * files if image else None),
            "gpus": str(math.ceil(seats / SLICES)),
        }
        for seats in CLASSES
    ]


def gpu_rows(root: Path) -> list[dict[str, str]]:
    """A row for each machine that recorded what ``nvidia-smi`` said during the training."""
    from gpubook.evidence.records import read_json, validate

    rows = []
    for path in sorted((root / "recordings").glob("*/*/nvidia-smi-training.json")):
        record = validate(read_json(path), str(path))
        machine = record["provenance"]["machine"]
        rows.append(
            {
                "machine": machine["name"],
                "gpu": machine["gpus"][0]["name"] if machine["gpus"] else "–",
                "used": size(record["data"]["gpu_memory_bytes"]),
                "total": size(record["data"]["gpu_memory_total_bytes"]),
                "date": record["provenance"]["date"][:10],
            }
        )
    return rows


def bytes_below(folder: Path) -> int:
    """What the files of a folder take, each link as itself."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())


def image_bytes(name: str = IMAGE) -> int | None:
    """The size of an image that the engine has; None without an engine or the image."""
    command = ["docker", "image", "inspect", "--format", "{{json .Size}}", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return json.loads(done.stdout) if done.returncode == 0 else None


def disk_rows() -> list[dict[str, str]]:
    """What is on this machine's disk for the book, and what makes it."""
    from gpubook.spam import assets

    stored = [a.path / name for a in (assets.DATASET, assets.MODEL) for name in a.members]
    cache = sum(path.stat().st_size for path in stored if path.is_file())
    return [
        {
            "what": "Python environment with all packages",
            "made": "make setup, in .venv",
            "disk": size(bytes_below(Path(sys.prefix))),
        },
        {
            "what": "data and model",
            "made": "the same, in ~/.cache/gpubook",
            "disk": size(cache or None),
        },
        {
            "what": f"the image {IMAGE}",
            "made": "make image, in the engine's folder",
            "disk": size(image_bytes()),
        },
    ]


class _Seats(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import table

        try:
            results = load_results(Path(self.env.app.srcdir))
        except BookError as error:
            raise self.error(str(error)) from error
        where = next(
            (w for r in reversed(results) if (w := machine_of(r))), "the builder's machine"
        )
        columns = {
            "notebook": "Notebook",
            "took": "Computing",
            "memory": "Memory",
            "files": "Files it leaves",
            "gpu": "GPU memory",
        }
        caption = f"What each notebook used in this build, on {where} (–: nothing, or not measured)"
        return [
            nodes.raw("", table(seat_rows(results), columns, caption=caption).markup, format="html")
        ]


class _Class(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import table

        try:
            results = load_results(Path(self.env.app.srcdir))
        except BookError as error:
            raise self.error(str(error)) from error
        columns = {
            "seats": "Seats",
            "memory": "Memory",
            "cores": "Cores",
            "disk": "Disk",
            "gpus": "GPUs in slices",
        }
        caption = f"One machine for a class, with {size(seat_bytes(results))} of memory a seat"
        rows = class_rows(results, image_bytes())
        return [nodes.raw("", table(rows, columns, caption=caption).markup, format="html")]


class _GpuMemory(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import table

        try:
            rows = gpu_rows(Path(self.env.app.srcdir))
        except BookError as error:
            raise self.error(str(error)) from error
        columns = {
            "machine": "Recorded on",
            "gpu": "GPU",
            "used": "In use",
            "total": "It has",
            "date": "Day",
        }
        caption = "The GPU's memory while page 11 trained"
        return [nodes.raw("", table(rows, columns, caption=caption).markup, format="html")]


class _Disk(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import table

        columns = {"what": "What", "made": "Made by", "disk": "Disk"}
        caption = "What the book takes on the disk of the machine that rendered it (–: not there)"
        return [nodes.raw("", table(disk_rows(), columns, caption=caption).markup, format="html")]


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.add_directive("gpubook-seats", _Seats)
    app.add_directive("gpubook-class", _Class)
    app.add_directive("gpubook-gpu-memory", _GpuMemory)
    app.add_directive("gpubook-disk", _Disk)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
