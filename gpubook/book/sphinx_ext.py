"""The book's own Sphinx extension: executed notebooks, evidence in prose.

- A notebook is read from the folder of the executed ones (environment variable
  GPUBOOK_EXECUTED, or ``_build/executed``); results are in the folder ``results`` beside that.
- ``{gpubook-status} machine|notebooks|evidence``: what made these pages.
- ``{gpubook-banner} live|recorded``: a real banner of this build, as an example.
- ``{gpubook-figure}`MACHINE/NOTEBOOK/NAME:PATH FORMAT` ``: one recorded figure, with its source.
"""

from __future__ import annotations

import ast
import html
import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from pygments.lexers import find_lexer_class_for_filename
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective, SphinxRole
from sphinx.util.typing import ExtensionMetadata

from gpubook.errors import BookError
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


def _literals(source: str) -> dict[str, Any]:
    return {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }


def _parameters_note(injected: dict, cells: list[dict]) -> list[dict]:
    """A Markdown cell that tells which parameters this run had been given, if any.

    REQUIRE is none of them: it changes no result, and each result says whether it is live.
    """
    defaults: dict[str, Any] = {}
    for cell in cells:
        if _tagged(cell, "parameters"):
            defaults = _literals(_text(cell))
    lines = [
        f"- `{name} = {value!r}`"
        + (f" (default: `{defaults[name]!r}`)" if name in defaults else "")
        for name, value in _literals(_text(injected)).items()
        if name != "REQUIRE"
    ]
    if not lines:
        return []
    text = [":::{admonition} Parameters given to this run", ":class: attention gb-parameters", ""]
    text += ["These pages were made with values other than the notebook's own:", "", *lines, ":::"]
    note = {"cell_type": "markdown", "id": "gb-parameters-note", "metadata": {}}
    return [note | {"source": "\n".join(text)}]


def _read_executed(app: Sphinx, docname: str, source: list[str]) -> None:
    path = Path(app.env.doc2path(docname))
    if path.suffix == ".ipynb":
        executed = executed_folder(Path(app.srcdir)) / path.name
        source[0] = executed_source(source[0], executed)
        app.env.note_dependency(str(executed))


def load_results(root: Path) -> list[dict[str, Any]]:
    """All results of this build, checked, in the order of the notebooks.

    Raises BookError when there are none, or one is not of the executed notebook beside it.
    """
    from gpubook.book.cache import file_digest
    from gpubook.book.execute import load_result

    executed = sorted(executed_folder(root).glob("*.ipynb"))
    if not executed:
        raise BookError(f"no executed notebooks in {executed_folder(root)}: run `gpubook run`")
    results = []
    for path in executed:
        result = load_result(executed_folder(root).parent, path.stem)
        if result["executed_sha256"] != file_digest(path):
            raise BookError(f"{path} is not the notebook that gave its results: run `gpubook run`")
        results.append(result)
    return results


def _evidences(results: list[dict]) -> Iterator[tuple[str, dict]]:
    for result in results:
        for item in result["evidences"]:
            yield result["notebook"], item


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _gib(number: int | None) -> str:
    return "unknown" if number is None else f"{number / 2**30:.1f} GiB"


def machine_rows(results: list[dict]) -> list[dict[str, str]]:
    """The machine that executed the notebooks, as rows of ``what`` and ``here``."""
    items = [item for _, item in _evidences(results)]
    live = [item["record"]["provenance"] for item in items if item["mode"] == "live"]
    started = min(result["started"] for result in results)
    finished = max(result["finished"] for result in results)
    when = {"Notebooks executed": f"from {_utc(started)} to {_utc(finished)}"}
    if not live:
        when["Machine"] = "nothing was measured on it: every result of this build is a recording"
        return [{"what": what, "here": here} for what, here in when.items()]
    described, software = live[-1]["machine"], live[-1]["software"]
    gpus = [f"{g['name']}, {_gib(g['memory_bytes'])}" for g in described["gpus"]]
    facts = {
        "Processor": f"{described['cpu']}, {described['cores']} cores",
        "Memory": _gib(described["memory_bytes"]),
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
    return [{"what": w, "here": h} for w, h in (when | facts | versions).items()]


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
                "notebook": result["notebook"],
                "executed": _utc(result["started"]),
                "seconds": result["finished"] - result["started"],
                "live": modes.count("live"),
                "recorded": modes.count("recorded"),
                "machines": ", ".join(sorted(sources)) or "–",
                "parameters": given or "the notebook's own",
            }
        )
    return rows


def evidence_rows(results: list[dict]) -> list[dict[str, Any]]:
    """What is live and what is recorded: a row for each notebook, machine, day and reason."""
    from gpubook.evidence.display import machine_line

    groups: dict[tuple, list[str]] = {}
    for notebook, item in _evidences(results):
        provenance = item["record"]["provenance"]
        name, day = provenance["machine"]["name"], provenance["date"][:10]
        machine = f"{name}, {day}: {machine_line(provenance)}"
        key = (notebook, item["mode"], machine, item["why"] or "–")
        groups.setdefault(key, []).append(item["record"]["name"])
    columns = ("notebook", "mode", "machine", "why")
    return [dict(zip(columns, key, strict=True), names=", ".join(groups[key])) for key in groups]


_STATUS = {
    "machine": (machine_rows, {"what": "What", "here": "Here"}, "The machine of this build"),
    "notebooks": (
        notebook_rows,
        {
            "notebook": "Notebook",
            "executed": "Started",
            "seconds": ("Took (s)", ".1f"),
            "live": ("Live", "d"),
            "recorded": ("Recorded", "d"),
            "machines": "Recorded on",
            "parameters": "Parameters",
        },
        "The notebooks of this build",
    ),
    "evidence": (
        evidence_rows,
        {
            "notebook": "Notebook",
            "mode": "Live?",
            "names": "Evidence",
            "machine": "Machine and day",
            "why": "Why not live",
        },
        "Every evidence of this build",
    ),
}


def _raw(markup: str) -> list[nodes.Node]:
    return [nodes.raw("", markup, format="html")]


class _Status(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import table

        which = directives.choice(self.arguments[0], list(_STATUS))
        rows_of, columns, caption = _STATUS[which]
        try:
            rows = rows_of(load_results(Path(self.env.app.srcdir)))
        except BookError as error:
            raise self.error(str(error)) from error
        return _raw(table(rows, columns, caption=caption).markup)


class _Banner(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        from gpubook.evidence.display import chip

        mode = directives.choice(self.arguments[0], ["live", "recorded"])
        try:
            found = _evidences(load_results(Path(self.env.app.srcdir)))
        except BookError as error:
            raise self.error(str(error)) from error
        shown = [item for _, item in found if item["mode"] == mode]
        # One of a machine with a GPU shows more of what a banner tells.
        shown.sort(key=lambda item: not item["record"]["provenance"]["machine"]["gpus"])
        if shown:
            record, why = shown[0]["record"], shown[0]["why"]
            return _raw(chip(record, live=mode == "live", why=why).markup)
        text = f"(Nothing is {mode} in this build, so there is no such banner to show.)"
        return [nodes.paragraph("", "", nodes.emphasis(text, text))]


def figure_of(record: dict, path: str) -> Any:
    """The value at ``path`` (``rows.0.seconds``) in a recording's data; KeyError if none."""
    value = record["data"]
    for step in path.split("."):
        try:
            value = value[int(step)] if isinstance(value, list) else value[step]
        except (IndexError, KeyError, TypeError, ValueError):
            raise KeyError(path) from None
    return value


class _Figure(SphinxRole):
    _form = re.compile(r"([^/\s]+)/([^/\s]+)/([^:\s]+):(\S+)(?:\s+(\S+))?")

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        from gpubook.evidence.records import read_json, validate

        try:
            match = self._form.fullmatch(self.text)
            if match is None:
                raise BookError("write MACHINE/NOTEBOOK/NAME:PATH, and a format if you like")
            machine, notebook, name, path, form = match.groups()
            file = Path(self.env.app.srcdir) / "recordings" / machine / notebook / f"{name}.json"
            record = read_json(file)
            validate(record, str(file))
            value = figure_of(record, path)
            text = format(value, form or "")
        except (BookError, KeyError, TypeError, ValueError) as error:
            message = self.inliner.reporter.error(f"{self.text}: {error}", line=self.lineno)
            return [nodes.problematic(self.rawtext, self.rawtext)], [message]
        self.env.note_dependency(str(file))
        source = f"recorded on {machine}, {record['provenance']['date'][:10]}"
        markup = f'<span class="gb-value" title="{html.escape(source)}">{html.escape(text)}</span>'
        return _raw(markup), []


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.connect("source-read", _read_executed)
    app.add_directive("gpubook-status", _Status)
    app.add_directive("gpubook-banner", _Banner)
    app.add_role("gpubook-figure", _Figure())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
