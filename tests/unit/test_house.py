"""The house rules that a machine can check: who may import whom, what is committed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT

ORDER = [
    "errors", "files", "programs", "machine", "telemetry", "evidence", "engine", "injection",
    "matmul", "spam", "doctor", "project", "book", "cli",
]  # fmt: skip
MODULES = sorted((ROOT / "gpubook").rglob("*.py"))


def room(parts):
    return parts[1].removesuffix(".py") if len(parts) > 1 else ""


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_a_room_imports_only_rooms_before_it(path):
    own = room(path.relative_to(ROOT).parts)
    if own in {"", "__init__"}:
        return
    assert own in ORDER, f"{own} is no room of the house"
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            parts = name.split(".")
            if parts[0] == "gpubook" and len(parts) > 1 and parts[1] in ORDER:
                assert ORDER.index(parts[1]) <= ORDER.index(own), f"{own} imports {name}"


@pytest.mark.parametrize("name", ORDER)
def test_a_rooms_first_lines_say_what_it_is_for_and_who_may_import_it(name):
    folder = ROOT / "gpubook" / name
    file = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    assert re.search(r"may import|imports? it", " ".join(said.split())), said


@pytest.mark.parametrize("module", ["gpubook", "gpubook.cli"])
def test_the_command_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"torch", "transformers", "sklearn", "docker", "matplotlib", "papermill"}
