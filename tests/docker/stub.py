"""A stub driver: the files of a captured driver with nothing in them, for real CDI injection.

With an engine and no GPU, the engine's work can still be done for real: this makes a tree with the
names from the captured CDI specification, each file empty, device nodes that are /dev/null under
GPU names, an ``nvidia-smi`` that prints captured text and says that it is a stub, and a hook
program that makes the links which the specification asks for. It computes nothing.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from gpubook.injection import cdi
from gpubook.machine import info
from tests.captured import CAPTURES

NOTICE = "STUB DRIVER: recorded text, printed by a stand-in; there is no GPU here"
FILE = "gpubook-stub-driver.json"

_HOOK = f'''#!{sys.executable} -I
"""Stand-in for nvidia-cdi-hook: makes the links that it is asked for, and nothing else."""
import json, os, sys

state = json.load(sys.stdin)
with open(os.path.join(state["bundle"], "config.json"), encoding="utf-8") as file:
    root = os.path.realpath(os.path.join(state["bundle"], json.load(file)["root"]["path"]))
words = sys.argv[1:]
if words[:1] == ["create-symlinks"]:
    for word, value in zip(words, words[1:]):
        if word == "--link":
            target, _, link = value.partition("::")
            path = os.path.join(root, link.lstrip("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.lexists(path):
                os.symlink(target, path)
'''


def rerooted(spec: dict[str, Any], tree: str) -> dict[str, Any]:
    """The specification with every host path below ``tree`` and harmless nodes."""

    def edits(part: dict[str, Any]) -> dict[str, Any]:
        # 1:3 is /dev/null: writing is swallowed, reading ends at once
        harmless = {"type": "c", "major": 1, "minor": 3, "permissions": "rw"}
        return part | {
            "deviceNodes": [{"path": n["path"]} | harmless for n in part.get("deviceNodes", ())],
            "mounts": [
                m | {"hostPath": tree + m["hostPath"], "containerPath": _moved(m["containerPath"])}
                for m in part.get("mounts", ())
            ],
            "hooks": [h | {"path": tree + h["path"]} for h in part.get("hooks", ())],
        }

    devices = [d | {"containerEdits": edits(d["containerEdits"])} for d in spec["devices"]]
    return spec | {"devices": devices, "containerEdits": edits(spec["containerEdits"])}


def _moved(path: str) -> str:
    # The captured host keeps its programs in a driver volume; an ordinary one in /usr/bin, which
    # every image's PATH has.
    return path.replace("/usr/local/nvidia/bin/", "/usr/bin/")


def build(tree: Path) -> dict[str, Any]:
    """Make the tree; the new specification."""
    spec = rerooted(yaml.safe_load((CAPTURES / "cdi-nvidia.yaml").read_text("utf-8")), str(tree))
    for mount in spec["containerEdits"]["mounts"]:
        _put(Path(mount["hostPath"]), _smi() if mount["hostPath"].endswith("/nvidia-smi") else "")
    for program in {h["path"] for h in spec["containerEdits"]["hooks"]}:
        _put(Path(program), _HOOK)
    return spec


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o755 if text else 0o644)


def _smi() -> str:
    # It prints itself from its third line on, so no line of the text can be a command.
    text = (CAPTURES / "nvidia-smi.txt").read_text("utf-8").rstrip()
    return f'#!/bin/sh\nexec tail -n +3 "$0"\n{NOTICE}\n{text}\n{NOTICE}\n'


@contextmanager
def stub_driver() -> Iterator[cdi.Spec]:
    """The stub in place: ``--device nvidia.com/gpu=all`` works while this is open."""
    folder = Path(info.info()["cdi"]["directories"][0])
    others = [p for p in folder.glob("*") if b"nvidia.com/gpu" in p.read_bytes()]
    assert not others, f"{others[0]} already describes a GPU: the stub would hide it"
    tree = Path(tempfile.mkdtemp(prefix="gpubook-stub-driver-"))
    tree.chmod(0o755)
    try:
        text = json.dumps(build(tree))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE).write_text(text, encoding="utf-8")
        yield cdi.parse(text)
    finally:
        (folder / FILE).unlink(missing_ok=True)
        shutil.rmtree(tree, ignore_errors=True)
