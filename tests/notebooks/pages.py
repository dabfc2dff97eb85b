"""A page's own code, for tests that run it without the page."""

import ast
import json

from tests.conftest import ROOT


def source(notebook: str, cell_id: str) -> str:
    """A cell's source, without the line of its magic."""
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if cell["id"] == cell_id:
            text = "".join(cell["source"])
            return text.partition("\n")[2] if text.startswith("%%") else text
    raise LookupError(f"{notebook} has no cell {cell_id}")


def names(notebook: str, *cell_ids: str, **given: object) -> dict:
    """The names after these cells have run, one after another, from ``given``."""
    scope = dict(given)
    for cell_id in cell_ids:
        exec(source(notebook, cell_id), scope)  # noqa: S102 - this is what a cell is
    return scope


def value(notebook: str, cell_id: str, **given: object) -> object:
    """The value of a measured cell's last line, with ``given`` as the names that it finds."""
    tree = ast.parse(source(notebook, cell_id))
    last = ast.Expression(tree.body.pop().value)
    exec(compile(tree, cell_id, "exec"), given)  # noqa: S102 - as above
    return eval(compile(last, cell_id, "eval"), given)


def outputs(evidence) -> list[str]:
    """What each command of a terminal printed."""
    return [step["stdout"] for step in evidence.data["steps"]]


def printed(page, name: str) -> list[str]:
    """The same of a page's evidence by its name."""
    return outputs(page.evidence(name))
