"""When a notebook need not be executed again, or the book rendered again, by checksums.

A result's inputs are the notebook, the parameters and what was required live, the modules of
this library that its kernel had loaded, the installed packages, the machine, the recordings
that could be replayed, the environment that steers them, and the runs it came after.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import gpubook
from gpubook import machine
from gpubook.book.notebooks import Notebook
from gpubook.evidence import checks
from gpubook.evidence.records import canonical

_PACKAGE = Path(gpubook.__file__).resolve().parent


def digest(data: bytes) -> str:
    """SHA-256, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str | None:
    """SHA-256 of a file's content, ``None`` where there is no such file."""
    try:
        return digest(path.read_bytes())
    except OSError:
        return None


def module_digests(modules: list[str]) -> dict[str, str | None]:
    """The library's loaded modules and the data files beside them, by their path in it."""
    files = {Path(module) for module in modules}
    for folder in {file.parent for file in files}:
        files |= {f for f in folder.iterdir() if f.is_file() and f.suffix not in {".py", ".pyc"}}
    return {f.relative_to(_PACKAGE).as_posix(): file_digest(f) for f in sorted(files)}


@functools.cache
def packages() -> str:
    """One checksum of the names and versions of all installed packages but this library."""
    versions = sorted(
        f"{name}=={dist.version}"
        for dist in metadata.distributions()
        if (name := dist.metadata["Name"]) and name != "gpubook"
    )
    return digest("\n".join(versions).encode())


def inputs(
    root: Path,
    notebook: Notebook,
    *,
    parameters: dict[str, Any],
    require: frozenset[str],
    after: dict[str, str],
    modules: dict[str, str | None],
) -> dict[str, Any]:
    """What a result of ``notebook`` depends on. ``after`` maps notebooks to their runs' ids."""
    recordings = sorted((root / "recordings").glob(f"*/{notebook.name}/*.json"))
    return {
        "notebook": file_digest(notebook.path),
        "parameters": parameters,
        "require": sorted(require),
        "modules": modules,
        "packages": packages(),
        "machine": digest(canonical(machine.probe().fingerprint())),
        "questions": file_digest(checks.path_of(root, notebook.name)),
        "recordings": {p.relative_to(root).as_posix(): file_digest(p) for p in recordings},
        "replay": os.environ.get("GPUBOOK_RECORDING", ""),
        "after": after,
    }


def changed(root: Path, notebook: Notebook, result: dict, **now: Any) -> list[str]:
    """What has changed since ``result``: names of inputs, empty when nothing has.

    ``now`` holds the other arguments of :func:`inputs` but ``modules``, which are those that
    the result had.
    """
    before = result["inputs"]
    modules = {name: file_digest(_PACKAGE / name) for name in before["modules"]}
    current = inputs(root, notebook, modules=modules, **now)
    return [name for name in current if current[name] != before.get(name)]


_NO_SOURCES = {"_build", "tests", "wheelhouse", "work"}


def pages_inputs(root: Path, executed: Path) -> str:
    """One checksum of what the book's pages are made from, and of what makes them.

    That is every file in ``root`` but tests and what is hidden, built or fetched, the executed
    notebooks and their results, the sizes of images, this library, the installed packages, and
    their Python.
    """
    tops = [p for p in root.iterdir() if p.name[0] != "." and p.name not in _NO_SOURCES]
    build = [executed, executed.with_name("results"), executed.with_name("image")]
    folders = [*tops, *build, _PACKAGE]
    files = {path for folder in folders for path in _files(folder)}
    whole = hashlib.sha256(f"{sys.version} {packages()}".encode())
    for path in sorted(files):
        whole.update(f"{path}\0{file_digest(path)}\n".encode())
    return whole.hexdigest()


def listing(folder: Path) -> str:
    """One checksum of the names, sizes and times of change of a folder's files."""
    about = ((p.relative_to(folder).as_posix(), p.stat()) for p in sorted(_files(folder)))
    lines = [f"{name}\0{stat.st_size} {stat.st_mtime_ns}" for name, stat in about]
    return digest("\n".join(lines).encode())


def _files(path: Path) -> list[Path]:
    """The file, or the files below the folder, without Python's own caches."""
    inside = path.rglob("*") if path.is_dir() else [path]
    return [p for p in inside if p.is_file() and p.parent.name != "__pycache__"]
