#!/usr/bin/env python3
"""Ruff for the notebooks, with the cells under the book's magics included.

    tools/lint_notebooks.py check
    tools/lint_notebooks.py format

Ruff skips a cell that starts with a magic it does not know. So it gets copies of the notebooks in
which the line ``%%measure NAME …`` is the assignment that the magic stands for: the body below it
is linted like any other cell, and the variable is known to the cells that use it.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from gpubook.evidence.magics import PARSERS, variable

ROOT = Path(__file__).resolve().parent.parent
_MAGIC = re.compile(r"%%(\w+) +(\S+)(.*)")
_STAND_IN = re.compile(r"\w+ = \.\.\.  # %%\n+")


def to_python(source: str) -> str:
    """A cell's source with its magic as an assignment; a shell cell's body is left out."""
    first, _, body = source.partition("\n")
    match = _MAGIC.fullmatch(first)
    if match is None or match[1] not in PARSERS:
        return source
    name = f"solution_{match[2]}" if match[1] == "solution" else variable(match[2])
    assignment = f"{name} = ...  # %%"
    if match[1] == "terminal":
        return assignment
    gap = "\n\n" if body.startswith(("def ", "class ", "@")) else ""  # as ruff wants it
    return f"{assignment}\n{gap}{body}"


def from_python(formatted: str, before: str) -> str:
    """The cell's source after formatting; ``before`` is what it was."""
    if before.startswith("%%terminal"):
        return before
    first = before.partition("\n")[0]
    return _STAND_IN.sub(lambda _: f"{first}\n", formatted, count=1)


def _convert(notebook: dict, convert) -> dict:
    cells = [
        cell | {"source": convert(cell, number).splitlines(keepends=True)}
        if cell["cell_type"] == "code"
        else cell
        for number, cell in enumerate(notebook["cells"])
    ]
    return notebook | {"cells": cells}


def _source(cell: dict) -> str:
    return "".join(cell["source"])


def _write(path: Path, notebook: dict) -> None:
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main(command: str) -> int:
    """Lint (``check``) or rewrite (``format``) every notebook; ruff's exit code."""
    originals = {path: json.loads(path.read_text()) for path in ROOT.glob("notebooks/*.ipynb")}
    with tempfile.TemporaryDirectory() as folder:
        copies = Path(folder) / "notebooks"  # the name that pyproject's exceptions are for
        copies.mkdir()
        config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
        for path, notebook in originals.items():
            _write(copies / path.name, _convert(notebook, lambda cell, _: to_python(_source(cell))))
        if command == "check":
            calls = [["check", "--quiet"], ["format", "--check", "--quiet"]]
        else:
            calls = [["check", "--fix-only", "--quiet"], ["format", "--quiet"]]
        named = [f"notebooks/{path.name}" for path in originals]  # each: a folder's are excluded
        codes = [
            subprocess.call([sys.executable, "-m", "ruff", *call, *config, *named], cwd=folder)
            for call in calls
        ]
        if command == "format":
            for path, notebook in originals.items():
                cells = json.loads((copies / path.name).read_text())["cells"]
                back = _convert(
                    notebook, lambda cell, n, c=cells: from_python(_source(c[n]), _source(cell))
                )
                _write(path, back)
    return max(codes)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
