"""A notebook's cells as a lesson: which of them teach, which are machinery, what runs alone.

Run as a script, it executes the teaching cells of one notebook with no book library to import:

    python tests/lesson.py NOTEBOOK VALUES.json

``VALUES.json`` maps evidences to the data that cells get which cannot run here.
"""

import ast
import itertools
import json
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MACHINERY = re.compile(r"parameters|setup|finish|self-check|(guess|result)-.*")
"""Ids of the cells that open, close and question a page."""

_MAGIC = re.compile(r"%%(terminal|measure|solution|writefile) +(\S+)(.*)\n?")
_OWN_COMMAND = re.compile(r"^\s*gpubook\b")


@dataclass(frozen=True)
class Cell:
    """One code cell. ``magic`` is "" or terminal, measure, solution, writefile."""

    id: str
    magic: str
    name: str
    options: str
    body: str
    library_lines: frozenset[int]

    @property
    def lines(self) -> dict[int, str]:
        """The body's lines that say something, by number from 1."""
        numbered = enumerate(self.body.splitlines(), 1)
        return {n: t for n, t in numbered if t.strip() and not t.lstrip().startswith("#")}

    @property
    def commands(self) -> list[str]:
        """A shell cell's commands: lines, joined until bash takes them for whole."""
        whole, pending = [], ""
        for line in self.body.splitlines():
            pending = f"{pending}\n{line}" if pending else line
            if pending.strip() and _whole(pending):
                whole.append(pending)
                pending = ""
        return whole

    @property
    def teaches(self) -> bool:
        """Neither machinery nor a call into the book's library."""
        return not MACHINERY.fullmatch(self.id) and not self.library_lines

    @property
    def needs(self) -> list[str]:
        """What a machine must have to run it."""
        words = shlex.split(self.options)
        after = dict(itertools.pairwise(words))
        return [need for need in after.get("--needs", "").split(",") if need]


def _whole(command: str) -> bool:
    """Whether bash would run this rather than wait for another line."""
    if command.endswith("\\"):
        return False
    read = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True)
    return read.returncode == 0 and not read.stderr


def cells_of(path: Path) -> list[Cell]:
    """A notebook's code cells, with the lines that call the library."""
    content = json.loads(path.read_text(encoding="utf-8"))
    sources = [(c["id"], "".join(c["source"])) for c in content["cells"]]
    code = [
        (i, s)
        for (i, s), c in zip(sources, content["cells"], strict=True)
        if c["cell_type"] == "code"
    ]
    names = {"page"}
    for _, source in code:
        names |= _imported(_split(source)[-1]) if not source.startswith("%%t") else set()
    return [_cell(cell_id, source, names) for cell_id, source in code]


def _split(source: str) -> tuple[str, str, str, str]:
    match = _MAGIC.match(source)
    return (*match.groups(), source[match.end() :]) if match else ("", "", "", source)


def _imported(body: str) -> set[str]:
    """The names that a cell imports from the library."""
    names = set()
    for node in ast.walk(_tree(body)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpubook":
            names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, ast.Import):
            own = [a for a in node.names if a.name.split(".")[0] == "gpubook"]
            names |= {alias.asname or "gpubook" for alias in own}
    return names


def _tree(body: str) -> ast.Module:
    try:
        return ast.parse(body)
    except SyntaxError:  # the text of a file, or a shell line
        return ast.Module([], [])


def _cell(cell_id: str, source: str, names: set[str]) -> Cell:
    magic, name, options, body = _split(source)
    if magic in ("terminal", "writefile"):
        calls = {n for n, t in enumerate(body.splitlines(), 1) if _OWN_COMMAND.match(t)}
    else:
        nodes = [n for n in ast.walk(_tree(body)) if isinstance(n, ast.Name | ast.ImportFrom)]
        calls = {n.lineno for n in nodes if _of_library(n, names)}
    return Cell(cell_id, magic, name, options, body, frozenset(calls))


def _of_library(node: ast.AST, names: set[str]) -> bool:
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").split(".")[0] == "gpubook"
    return node.id in names


def plain_lines(cells: list[Cell]) -> tuple[int, int]:
    """Of the taught lines: how many call nothing of the library, and how many there are."""
    taught = [cell for cell in cells if not MACHINERY.fullmatch(cell.id)]
    total = sum(len(cell.lines) for cell in taught)
    calls = sum(len(cell.lines.keys() & cell.library_lines) for cell in taught)
    return total - calls, total


def library_cells(cells: list[Cell]) -> int:
    """How many code cells call the library."""
    return sum(bool(cell.library_lines) for cell in cells)


def _run(cell: Cell, names: dict[str, Any], values: dict[str, Any]) -> None:
    variable = cell.name.replace("-", "_")
    if cell.name in values:
        data = values[cell.name]
        names[variable] = [s["stdout"] for s in data["steps"]] if _is_terminal(cell) else data
    elif _is_terminal(cell):
        names[variable] = [_shell(command, cell.options) for command in cell.commands]
    elif cell.magic == "writefile":
        Path(cell.name).write_text(cell.body, encoding="utf-8")
    else:
        value = _execute(cell, names)
        if cell.magic == "measure":
            names[variable] = json.loads(json.dumps(value, allow_nan=False))


def _is_terminal(cell: Cell) -> bool:
    return cell.magic == "terminal"


def _shell(command: str, options: str) -> str:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(["bash", "-c", command], text=True, **streams)
    if done.returncode and "--expect-failure" not in options:
        sys.exit(f"{command}: {done.stdout}")
    return done.stdout


def _execute(cell: Cell, names: dict[str, Any]) -> Any:
    tree = ast.parse(cell.body)
    scope = dict(names) if cell.magic else names  # what a measured body defines does not stay
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, cell.id, "exec"), scope)  # noqa: S102 - this is what a cell is
    return eval(compile(ast.Expression(last.value), cell.id, "eval"), scope) if last else None


def main(notebook: str, values_file: str) -> None:
    """Execute the teaching cells in order; the first error is the script's.

    Solutions are left out: they may use what only the page's machinery shows.
    """
    sys.modules["gpubook"] = None  # type: ignore[assignment] # an import of it fails
    values = json.loads(Path(values_file).read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for cell in cells_of(Path(notebook)):
        replayed = cell.name in values["evidences"]
        if cell.id == "parameters" or replayed or (cell.teaches and cell.magic != "solution"):
            _run(cell, names, values["evidences"])
        if cell.id == "parameters":
            names |= values["parameters"]


if __name__ == "__main__":
    main(*sys.argv[1:])
