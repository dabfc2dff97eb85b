"""The executed notebooks take the place of the stored ones, as a page shows them.

They are in a folder of their own (environment variable GPUBOOK_EXECUTED, or ``_build/executed``),
with their results in the folder ``results`` beside it. A page says below its title how long the
computing took in this build, on which machine, and how long reading takes; and with which
parameters it was made, if not with its own. Nothing of this is typed in.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from pygments.lexers import find_lexer_class_for_filename
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

from gpubook.book.notebooks import literals
from gpubook.book.results import load_result, machine_of
from gpubook.book.words import duration, reading_minutes
from gpubook.evidence.magics import PARSERS

INJECTED = "injected-parameters"
"""The tag of the cell that papermill adds after the parameters cell."""


def executed_folder(root: Path) -> Path:
    """Where the executed notebooks are: $GPUBOOK_EXECUTED, or ``_build/executed``."""
    return Path(os.environ.get("GPUBOOK_EXECUTED") or root / "_build" / "executed")


def executed_source(source: str, executed: Path) -> str:
    """The executed form of the notebook ``source`` (both as the file's text).

    Parameters that were injected get a note for the reader. Raises ExtensionError when the
    notebook was not executed, or is not the one that was.
    """
    name = executed.stem
    how = f"run `gpubook run {name}`, or `make book` for all"
    if not executed.is_file():
        raise ExtensionError(f"{name} has no executed notebook in {executed.parent}: {how}")
    book = json.loads(executed.read_text(encoding="utf-8"))
    ran = [cell for cell in book["cells"] if not _tagged(cell, INJECTED)]
    if _texts(ran) != _texts(json.loads(source)["cells"]):
        raise ExtensionError(f"{name} has changed since it was executed: {how}")
    cells: list[dict] = []
    for cell in book["cells"]:
        if _tagged(cell, INJECTED):
            cells += _parameters_note(cell, ran)
        cells.append(_as_read(cell))
    return json.dumps(book | {"cells": cells})


def _as_read(cell: dict) -> dict:
    """A cell as the page shows it: without its magic, which is machinery.

    A ``%%terminal`` cell shows its commands in the transcript, so its source is left out. A
    ``%%writefile`` cell is the file, under its name.
    """
    if cell["cell_type"] == "code" and cell.get("id") in _SET_UP:
        return _folded(cell, _SET_UP[cell["id"]])
    if cell.get("id") == "finish":
        return _without_input(cell)
    if cell["cell_type"] != "code" or not (magic := re.match(r"%%(\w+) *(.*)\n", _text(cell))):
        return cell
    if magic[1] == "writefile":
        return _file(cell["id"], magic[2], _text(cell)[magic.end() :])
    if magic[1] == "terminal":
        return _without_input(cell)
    if magic[1] in PARSERS:
        return cell | {"source": _text(cell)[magic.end() :]}
    return cell


_SET_UP = {"parameters": "Parameters of this page", "setup": "Set-up of this page"}


def _without_input(cell: dict) -> dict:
    tags = [*cell["metadata"].get("tags", ()), "remove-input"]
    return cell | {"metadata": cell["metadata"] | {"tags": tags}}


def _folded(cell: dict, name: str) -> dict:
    """A cell whose source folds under a name; what it printed stays."""
    metadata = cell["metadata"]
    tags = [*metadata.get("tags", ()), "hide-input"]
    prompts = {"code_prompt_show": name, "code_prompt_hide": name}
    return cell | {"metadata": metadata | {"tags": tags, "mystnb": prompts}}


def _file(cell_id: str, name: str, content: str) -> dict:
    """A Markdown cell with a file that the notebook writes."""
    lexer = find_lexer_class_for_filename(name)
    language = lexer.aliases[0] if lexer else "text"
    source = f"```{{code-block}} {language}\n:caption: {name}\n\n{content}\n```"
    return {"cell_type": "markdown", "id": cell_id, "metadata": {}, "source": source}


def _tagged(cell: dict, tag: str) -> bool:
    return tag in cell["metadata"].get("tags", ())


def _text(cell: dict) -> str:
    return "".join(cell["source"])


def _texts(cells: list[dict]) -> list[tuple[str, str]]:
    return [(cell["cell_type"], _text(cell).strip()) for cell in cells]


def _note(name: str, *lines: str) -> dict:
    """A Markdown cell of our own."""
    source = "\n".join(lines)
    return {"cell_type": "markdown", "id": f"gb-{name}-note", "metadata": {}, "source": source}


def _parameters_note(injected: dict, cells: list[dict]) -> list[dict]:
    """A Markdown cell that tells which parameters this run had been given, if any.

    REQUIRE is none of them: it changes no result, and each result says whether it is live.
    """
    own = "".join(_text(cell) for cell in cells if _tagged(cell, "parameters"))
    defaults = literals(own, "the page")
    given = literals(_text(injected), "the page")
    given.pop("REQUIRE", None)
    lines = [
        f"- `{name} = {value!r}`"
        + (f" (default: `{defaults[name]!r}`)" if name in defaults else "")
        for name, value in given.items()
    ]
    head = [":::{admonition} Parameters given to this run", ":class: attention gb-parameters", ""]
    head += ["These pages were made with values other than the notebook's own:", ""]
    return [_note("parameters", *head, *lines, ":::")] if lines else []


def visible_text(cells: list[dict[str, Any]]) -> str:
    """What a reader of an executed notebook sees unfolded: prose, code, what it printed."""
    parts = []
    for cell in cells:
        tags = cell["metadata"].get("tags", ())
        if "hide-cell" in tags:
            continue
        if "remove-input" not in tags:
            parts.append(_text(cell))
        for output in cell.get("outputs", ()):
            data = output.get("data", {}).get("text/plain", output.get("text", ""))
            parts.append("".join(data))
    return "\n".join(parts)


def time_note(result: dict[str, Any] | None, text: str) -> dict[str, Any]:
    """The Markdown cell below a notebook's title: computing as measured, reading as counted."""
    lines = []
    if result is not None:
        modes = [item["mode"] for item in result["evidences"]]
        where = machine_of(result)
        lines.append(
            f"- **Computing:** {duration(result['finished'] - result['started'])} when this page "
            f"was made{f' (on {where})' if where else ''}. {modes.count('live')} of its "
            f"{len(modes)} results were measured then, the others replayed."
        )
    minutes = reading_minutes(text)
    lines.append(f"- **Reading:** about {minutes} minutes; exercises come on top.")
    return _note("time", "**How long it takes**", "", ":::{container} gb-took", *lines, ":::")


def with_time_note(source: str, result: dict[str, Any] | None) -> str:
    """An executed notebook's text with the note after its first cell."""
    book = json.loads(source)
    book["cells"].insert(1, time_note(result, visible_text(book["cells"])))
    return json.dumps(book)


def _read_executed(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix != ".ipynb":
        return
    executed = executed_folder(Path(app.srcdir))
    text = executed_source(source[0], executed / path.name)
    has_result = (executed.with_name("results") / f"{path.stem}.json").is_file()
    result = load_result(executed.parent, path.stem) if has_result else None
    source[0] = with_time_note(text, result)


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("source-read", _read_executed)
