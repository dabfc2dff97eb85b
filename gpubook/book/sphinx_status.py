"""What this build is made from and what it took, as tables and values within a sentence.

- ``{gpubook-status} machine|notebooks|evidence``: what made these pages;
  ``seats|class|rehearsal|gpu-memory|disk``: what an instructor plans with.
- ``{gpubook-banner} live|recorded``: a real banner of this build, as an example.
- ``{gpubook-took}`NOTEBOOK` ``, or ``all``: the computing time of this build.
- ``{gpubook-figure}`MACHINE/NOTEBOOK/NAME:PATH FORMAT` ``: one recorded figure, with its source.
"""

from __future__ import annotations

import functools
import math
import os
import re
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from gpubook import files
from gpubook.book.directives import add_directive, add_value
from gpubook.book.results import load_all, machine_of
from gpubook.book.sphinx_ext import executed_folder
from gpubook.book.words import duration, size
from gpubook.errors import BookError
from gpubook.evidence import Evidence, load_recording, table
from gpubook.evidence.display import chip, machine_line
from gpubook.spam import assets

Rows = list[dict[str, Any]]

CLASSES = (1, 10, 20, 30)  # seats
LAB_BYTES = 2**29  # an allowance for JupyterLab itself and for what its kernels read from the disk
OWN_BYTES = 2**30  # and for a learner's own files
SLICES = 7  # a GPU has at most so many MIG slices


@functools.cache  # the directives of a build are of one process
def _results(root: Path) -> Rows:
    return load_all(executed_folder(root).parent)


def _evidences(results: list[dict]) -> Iterator[tuple[str, dict]]:
    for result in results:
        for item in result["evidences"]:
            yield result["notebook"], item


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def machine_rows(results: list[dict]) -> list[dict[str, str]]:
    """The machine that executed the notebooks, as rows of ``what`` and ``here``."""
    items = [item for _, item in _evidences(results)]
    live = [item["record"]["provenance"] for item in items if item["mode"] == "live"]
    started = min(result["started"] for result in results)
    finished = max(result["finished"] for result in results)
    when = {"Notebooks executed": f"from {_utc(started)} to {_utc(finished)}"}
    if not live:
        when["Machine"] = "nothing was measured on it: every result of this build is a recording"
        return [{"What": what, "Here": here} for what, here in when.items()]
    described, software = live[-1]["machine"], live[-1]["software"]
    gpus = [f"{g['name']}, {size(g['memory_bytes'])}" for g in described["gpus"]]
    facts = {
        "Processor": f"{described['cpu']}, {described['cores']} cores",
        "Memory": size(described["memory_bytes"]),
        "GPU": "; ".join(gpus) or "none",
        "System": f"{described['os']}, kernel {described['kernel']}"
        + (", in a container" if described["container"] else ""),
    }
    labels = {
        "python": "Python",
        "torch": "PyTorch",
        "transformers": "Transformers",
        "numpy": "NumPy",
        "docker": "Docker Engine",
        "toolkit": "NVIDIA Container Toolkit",
        "slurm": "Slurm",
        "driver": "NVIDIA driver",
        "cuda": "CUDA (driver)",
        "gpubook": "This book's library",
    }
    versions = {label: software.get(key) or "none" for key, label in labels.items()}
    return [{"What": w, "Here": h} for w, h in (when | facts | versions).items()]


def notebook_rows(results: list[dict]) -> list[dict[str, Any]]:
    """One row a notebook: when it ran, how long, what was live and what was recorded."""
    rows = []
    for result in results:
        modes = [item["mode"] for item in result["evidences"]]
        sources = {
            item["record"]["provenance"]["machine"]["name"]
            for item in result["evidences"]
            if item["mode"] == "recorded"
        }
        given = ", ".join(f"{k}={v!r}" for k, v in result["parameters"].items())
        rows.append(
            {
                "Notebook": result["notebook"],
                "Started": _utc(result["started"]),
                "Took (s)": result["finished"] - result["started"],
                "Live": modes.count("live"),
                "Recorded": modes.count("recorded"),
                "Recorded on": ", ".join(sorted(sources)) or "–",
                "Parameters": given or "the notebook's own",
            }
        )
    return rows


def evidence_rows(results: list[dict]) -> list[dict[str, Any]]:
    """What is live and what is recorded: a row for each notebook, machine, day and reason."""
    groups: dict[tuple, list[str]] = {}
    for notebook, item in _evidences(results):
        provenance = item["record"]["provenance"]
        name, day = provenance["machine"]["name"], provenance["date"][:10]
        machine = f"{name}, {day}: {machine_line(provenance)}"
        key = (notebook, item["mode"], machine, item["why"] or "–")
        groups.setdefault(key, []).append(item["record"]["name"])
    return [
        {
            "Notebook": notebook,
            "Live?": mode,
            "Evidence": ", ".join(names),
            "Machine and day": machine,
            "Why not live": why,
        }
        for (notebook, mode, machine, why), names in groups.items()
    ]


def seat_rows(results: list[dict[str, Any]]) -> list[dict[str, str]]:
    """One row a notebook. What a result of an older version did not note is a dash."""
    rows = []
    for result in results:
        used = result.get("used", {})
        row = {
            "Notebook": result["notebook"],
            "Computing": duration(result["finished"] - result["started"]),
            "Memory": size(used.get("memory_bytes")),
            "Files it leaves": size(used.get("files_bytes") or None),
            "GPU memory": size(used.get("gpu_memory_bytes")),
        }
        rows.append(row)
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
    own = sum(r["used"]["files_bytes"] for r in results if r.get("used")) + OWN_BYTES
    return [
        {
            "Seats": str(seats),
            "Memory": size(seat * seats if seat else None),
            "Cores": str(seats),
            "Disk": size(image + seats * own if image else None),
            "GPUs in slices": str(math.ceil(seats / SLICES)),
        }
        for seats in CLASSES
    ]


def gpu_rows(root: Path) -> list[dict[str, str]]:
    """A row for each machine that recorded what ``nvidia-smi`` said during the training."""
    rows = []
    for path in sorted((root / "recordings").glob("*/*/nvidia-smi-training.json")):
        record = load_recording(path)
        machine = record["provenance"]["machine"]
        rows.append(
            {
                "Recorded on": machine["name"],
                "GPU": machine["gpus"][0]["name"] if machine["gpus"] else "–",
                "In use": size(record["data"]["gpu_memory_bytes"]),
                "It has": size(record["data"]["gpu_memory_total_bytes"]),
                "Day": record["provenance"]["date"][:10],
            }
        )
    return rows


REHEARSED = {
    "log_in_s": "log in with a code",
    "seat_s": "wait for a seat",
    "work_s": "open page 01, save a file, compute",
    "work_beside_harm_s": "compute beside the one who does harm",
    "seat_after_break_s": "a new seat after a broken one, with all files",
    "seat_after_harm_s": "the same for the one who did harm",
    "memory_bytes": "memory of a seat at work",
}
"""The figures of a rehearsal (tests/docker/rehearsal.py), in words."""


def rehearsal_rows(root: Path) -> list[dict[str, str]]:
    """What a class of learners, all at once, waited for on each machine that rehearsed one."""
    rows = []
    for path in sorted((root / "recordings").glob("*/*/bench-rehearsal.json")):
        record = load_recording(path)
        data, provenance = record["data"], record["provenance"]
        words = {name: size if name.endswith("_bytes") else duration for name in REHEARSED}
        machine = provenance["machine"]
        rows += [
            {
                "Recorded on": f"{machine['name']}, {machine['cores']} cores",
                "Seats": str(data["seats"]),
                "What": what,
                "Median": words[name](data[name]["median"]),
                "Largest": words[name](data[name]["largest"]),
                "Day": provenance["date"][:10],
            }
            for name, what in REHEARSED.items()
        ]
        failed = {"What": "failures", "Median": str(data["failures"]), "Largest": ""}
        rows.append(rows[-1] | failed)
    return rows


def bytes_below(folder: str) -> int:
    """What the files of a folder take, each link as itself."""
    below = (f"{path}/{name}" for path, _, names in os.walk(folder) for name in names)
    return sum(os.lstat(path).st_size for path in below)


def built_images(root: Path) -> list[dict[str, Any]]:
    """What `make image` noted of each image that it built: no engine is asked here."""
    return [files.read_json(path) for path in sorted(root.glob("_build/image/*.json"))]


def disk_rows(root: Path) -> list[dict[str, str]]:
    """What is on this machine's disk for the book, and what makes it."""
    stored = [a.path / name for a in (assets.DATASET, assets.MODEL) for name in a.members]
    cache = sum(path.stat().st_size for path in stored if path.is_file())
    images = [(f"the image {image['image']}", image["bytes"]) for image in built_images(root)]
    images = images or [("the image", None)]
    rows = [
        ("Python environment with all packages", "make setup, in .venv", bytes_below(sys.prefix)),
        ("data and model", "the same, in ~/.cache/gpubook", cache or None),
        *((what, "make image, in the engine's folder", number) for what, number in images),
    ]
    return [{"What": what, "Made by": made, "Disk": size(number)} for what, made, number in rows]


TABLES: dict[str, tuple[Callable[[Path], Rows], str]] = {
    "machine": (lambda root: machine_rows(_results(root)), "The machine of this build"),
    "notebooks": (lambda root: notebook_rows(_results(root)), "The notebooks of this build"),
    "evidence": (lambda root: evidence_rows(_results(root)), "Every evidence of this build"),
    "seats": (
        lambda root: seat_rows(_results(root)),
        "What each notebook used in this build, on {where} (–: nothing, or not measured)",
    ),
    "class": (
        lambda root: class_rows(
            _results(root), max((image["bytes"] for image in built_images(root)), default=None)
        ),
        "One machine for a class (–: no image was built here)",
    ),
    "rehearsal": (rehearsal_rows, "A class rehearsed, all learners at once"),
    "gpu-memory": (gpu_rows, "The GPU's memory while page 11 trained"),
    "disk": (
        disk_rows,
        "What the book takes on the disk of the machine that rendered it (–: not there)",
    ),
}
"""Of each table: its rows, whose keys are its columns, and its caption."""

_NUMBERS = {"Took (s)": ".1f", "Live": "d", "Recorded": "d"}


def status(root: Path, name: str) -> str:
    """One of the tables, as HTML."""
    if name not in TABLES:
        raise BookError(f"no table {name}: choose from {', '.join(TABLES)}")
    rows_of, caption = TABLES[name]
    rows = rows_of(root)
    columns = {
        key: (key, _NUMBERS[key]) if key in _NUMBERS else key for key in next(iter(rows), {})
    }
    where = _where(_results(root)) if "{where}" in caption else ""
    return table(rows, columns, caption=caption.format(where=where)).markup


def _where(results: Rows) -> str:
    """The machine that measured, in words."""
    return next((w for r in reversed(results) if (w := machine_of(r))), "the builder's machine")


def banner(root: Path, mode: str) -> str:
    """The chip of one evidence that is live or recorded in this build."""
    of_mode = [item for _, item in _evidences(_results(root)) if item["mode"] == mode]
    # One of a machine with a GPU shows more of what a banner tells.
    of_mode.sort(key=lambda item: not item["record"]["provenance"]["machine"]["gpus"])
    if not of_mode:
        return f"<p><em>(Nothing is {mode} in this build, so there is no such banner.)</em></p>"
    return chip(Evidence(of_mode[0]["record"], mode == "live", of_mode[0]["why"])).markup


def took(root: Path, notebook: str) -> tuple[str, str]:
    """The computing time of one notebook, or of ``all``, and where that was."""
    chosen = [r for r in _results(root) if notebook in ("all", r["notebook"])]
    if not chosen:
        raise BookError("no such notebook was executed")
    seconds = sum(r["finished"] - r["started"] for r in chosen)
    return duration(seconds), f"measured in this build, on {_where(chosen)}"


def value_at(data: Any, path: str) -> Any:
    """The value at ``path`` (``rows.0.seconds``) in a recording's data. BookError if none."""
    for step in path.split("."):
        try:
            data = data[int(step)] if isinstance(data, list) else data[step]
        except (IndexError, KeyError, TypeError, ValueError):
            raise BookError(f"there is nothing at {path}") from None
    return data


def figure(root: Path, text: str) -> tuple[str, str]:
    """One recorded figure, and where it was recorded."""
    match = re.fullmatch(r"(([^/\s]+)/[^/\s]+/[^:\s]+):(\S+)(?:\s+(\S+))?", text)
    if match is None:
        raise BookError("write MACHINE/NOTEBOOK/NAME:PATH, and a format if you like")
    place, machine, path, form = match.groups()
    record = load_recording(root / "recordings" / f"{place}.json")
    try:
        value = format(value_at(record["data"], path), form or "")
    except (TypeError, ValueError) as error:
        raise BookError(str(error)) from error
    return value, f"recorded on {machine}, {record['provenance']['date'][:10]}"


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    add_directive(app, "gpubook-status", status, 1)
    add_directive(app, "gpubook-banner", banner, 1)
    add_value(app, "gpubook-took", took)
    add_value(app, "gpubook-figure", figure)
