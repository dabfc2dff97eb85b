"""A stub driver: the files of a captured driver with nothing in them, for real CDI injection.

With an engine and no GPU, the engine's work can still be done for real: this makes a tree with the
names from a captured CDI specification, each file empty, device nodes that are /dev/null under
GPU names, an ``nvidia-smi`` that prints captured text and says that it is a stub, and a hook
program that makes the links which the specification asks for. It computes nothing. Whatever is
measured through it is marked ``stub`` in its provenance.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.errors import BookError
from gpubook.injection import cdi
from gpubook.injection.own import CdiUnavailable, spec_folder

NOTICE = "STUB DRIVER: recorded text, printed by a stand-in; there is no GPU here"
KIND = "nvidia.com/gpu"
FILE = "gpubook-stub-driver.json"

# The host that was captured keeps its programs in a driver volume; an ordinary host in /usr/bin,
# which every image's PATH has.
_PROGRAMS = ("/usr/local/nvidia/bin/", "/usr/bin/")

_HOOK = '''#!{python} -I
"""Stand-in for nvidia-cdi-hook: makes the links that it is asked for, and nothing else."""
import json, os, sys

state = json.load(sys.stdin)
with open(os.path.join(state["bundle"], "config.json"), encoding="utf-8") as file:
    root = os.path.realpath(os.path.join(state["bundle"], json.load(file)["root"]["path"]))
words = sys.argv[1:]
if words[:1] == ["create-symlinks"]:
    for word, value in zip(words, words[1:]):
        if word != "--link":
            continue
        target, _, link = value.partition("::")
        path = os.path.realpath(os.path.join(root, os.path.dirname(link).lstrip("/")))
        if os.path.commonpath([root, path]) != root:
            sys.exit("a link outside the container: " + link)
        os.makedirs(path, exist_ok=True)
        name = os.path.join(path, os.path.basename(link))
        if not os.path.lexists(name):
            os.symlink(target, name)
'''


class DriverPresent(BookError):
    """A stub driver is of no use where a real specification is."""


def rerooted(spec: dict[str, Any], tree: str) -> dict[str, Any]:
    """A parsed specification with every host path below ``tree`` and harmless nodes."""

    def edits(part: dict[str, Any]) -> dict[str, Any]:
        part = {key: value for key, value in part.items() if value is not None}
        changed = dict(part)
        if "deviceNodes" in part:
            changed["deviceNodes"] = [
                # 1:3 is /dev/null: writing is swallowed, reading ends at once
                {"path": n["path"], "type": "c", "major": 1, "minor": 3, "permissions": "rw"}
                for n in part["deviceNodes"]
            ]
        if "mounts" in part:
            changed["mounts"] = [
                m | {"hostPath": tree + m["hostPath"], "containerPath": _moved(m["containerPath"])}
                for m in part["mounts"]
            ]
        if "hooks" in part:
            changed["hooks"] = [h | {"path": tree + h["path"]} for h in part["hooks"]]
        return changed

    return spec | {
        "devices": [
            d | {"containerEdits": edits(d.get("containerEdits") or {})} for d in spec["devices"]
        ],
        "containerEdits": edits(spec.get("containerEdits") or {}),
    }


def _moved(path: str) -> str:
    old, new = _PROGRAMS
    return new + path.removeprefix(old) if path.startswith(old) else path


def build(tree: Path, captures: Path) -> dict[str, Any]:
    """Make the tree from ``captures/cdi-nvidia.yaml`` and ``nvidia-smi.txt``; the new spec."""
    import yaml

    text = files.read_text(captures / "cdi-nvidia.yaml")
    cdi.parse(text)  # named mistakes before odd ones
    spec = rerooted(yaml.safe_load(text), str(tree))
    _inside(tree, spec)
    for mount in spec["containerEdits"].get("mounts", ()):
        path = Path(mount["hostPath"])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        if path.name == "nvidia-smi":
            said = files.read_text(captures / "nvidia-smi.txt")
            # It prints itself from its third line on, so no line of the text can be a command.
            path.write_text(
                f'#!/bin/sh\nexec tail -n +3 "$0"\n{NOTICE}\n{said.rstrip()}\n{NOTICE}\n',
                encoding="utf-8",
            )
        if "/bin/" in mount["hostPath"]:
            path.chmod(0o755)
    for program in {h["path"] for h in spec["containerEdits"].get("hooks", ())}:
        hook = Path(program)
        hook.parent.mkdir(parents=True, exist_ok=True)
        hook.write_text(_HOOK.replace("{python}", sys.executable), encoding="utf-8")
        hook.chmod(0o755)
    return spec


def _inside(tree: Path, spec: dict[str, Any]) -> None:
    """Raise SpecError when a host path would leave the tree."""
    edits = [part["containerEdits"] for part in (spec, *spec["devices"])]
    mounts = [m["hostPath"] for edit in edits for m in edit.get("mounts", ())]
    for path in (*mounts, *(h["path"] for edit in edits for h in edit.get("hooks", ()))):
        if ".." in Path(path).parts or not path.startswith(f"{tree}/"):
            raise cdi.SpecError(f"the path {path.removeprefix(str(tree))} leaves the stub's folder")


@contextmanager
def stub_driver(captures: Path) -> Iterator[cdi.Spec]:
    """The stub in place: ``--device nvidia.com/gpu=all`` works while this is open.

    Raises DriverPresent where another specification of nvidia.com/gpu is, CdiUnavailable where
    the engine's folder cannot be written.
    """
    folder = Path(spec_folder())
    for other in (*folder.glob("*.yaml"), *folder.glob("*.yml"), *folder.glob("*.json")):
        if other.name != FILE and KIND.encode() in files.read_bytes(other):
            raise DriverPresent(
                f"{other} already describes {KIND}: require docker,gpu, or move the file away"
            )
    tree = Path(tempfile.mkdtemp(prefix="gpubook-stub-driver-"))
    tree.chmod(0o755)
    try:
        spec = build(tree, captures)
        try:
            (folder / FILE).write_text(json.dumps(spec), encoding="utf-8")
        except OSError as problem:
            raise CdiUnavailable(f"cannot write {folder / FILE}: {problem.strerror}") from None
        yield cdi.parse(json.dumps(spec))
    finally:
        (folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
