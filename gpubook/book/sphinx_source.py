"""From a library name in a notebook's cell, one click leads to its source, rendered with the book.

Only names that a page imports from this library are links, and only the modules that they lead to
are rendered (``source/gpubook/…``). Plain Sphinx has sphinx.ext.viewcode for documented objects;
here nothing is documented twice, the source is the reference.
"""

from __future__ import annotations

import ast
import functools
import html
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from sphinx.application import Sphinx

import gpubook
from gpubook.evidence import Page

_ROOT = Path(gpubook.__file__).resolve().parent.parent
_CELL = re.compile(r'(<div class="cell_input[^"]*"[^>]*>)(.*?)(</pre>)', re.DOTALL)
_NAME = r'<span class="n">{}</span>'
_ATTRIBUTE = r'<span class="o">\.</span><span class="n">(\w+)</span>'


def bindings(notebook: Path) -> dict[str, Any]:
    """The names that a notebook's cells import from the library, with what they stand for."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        source = re.sub(r"^%%.*\n?", "", "".join(cell["source"]))
        if cell["cell_type"] == "code" and "gpubook" in source:
            names |= dict(_imports(source))
    return names | {"page": Page} if names else names


def _imports(source: str) -> Iterator[tuple[str, Any]]:
    try:
        statements = ast.walk(ast.parse(source))
    except SyntaxError:  # a shell cell
        return
    for node in statements:
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "gpubook":
            module = importlib.import_module(node.module or "")
            for alias in node.names:
                yield alias.asname or alias.name, _member(module, alias.name)


def _member(module: ModuleType, name: str) -> Any:
    if hasattr(module, name):
        return getattr(module, name)
    return importlib.import_module(f"{module.__name__}.{name}")


def place(thing: Any, attributes: list[str]) -> tuple[Path, int] | None:
    """The file (below the library's parent folder) and the line where a name is defined."""
    owner = None
    for name in attributes:
        if not hasattr(thing, name):
            return None
        owner, thing = thing, getattr(thing, name)
    try:
        file = Path(inspect.getsourcefile(inspect.unwrap(thing)) or "").resolve()
        line = 1 if inspect.ismodule(thing) else inspect.getsourcelines(thing)[1]
    except (TypeError, OSError):  # a constant: its module's assignment
        if not inspect.ismodule(owner):
            return None
        file = Path(owner.__file__ or "").resolve()
        line = _assignment(file, attributes[-1])
    return (file.relative_to(_ROOT), line) if file.is_relative_to(_ROOT / "gpubook") else None


def _assignment(file: Path, name: str) -> int:
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == name for t in targets):
            return node.lineno
    return 1


def linked(body: str, names: dict[str, Any], up: str) -> str:
    """A page's HTML with the library's names in its cells as links; ``up`` leads to the top."""
    if not names:
        return body
    known = "|".join(map(re.escape, names))
    chains = re.compile(_NAME.format(f"({known})") + f"((?:{_ATTRIBUTE})*)")

    def link(match: re.Match) -> str:
        attributes = re.findall(_ATTRIBUTE, match[2])
        where = place(names[match[1]], attributes)
        if where is None:
            return match[0]
        file, line = where
        target = f"{up}source/{file.with_suffix('.html').as_posix()}#L-{line}"
        title = html.escape(f"the source: {file}, line {line}")
        return f'<a class="gb-source" href="{target}" title="{title}">{match[0]}</a>'

    return _CELL.sub(lambda m: m[1] + chains.sub(link, m[2]) + m[3], body)


@functools.cache
def _bindings_of(notebook: Path) -> dict[str, Any]:
    return bindings(notebook)


def _link_names(app: Sphinx, pagename: str, _template: str, context: dict, _doctree: Any) -> None:
    notebook = Path(app.srcdir) / f"{pagename}.ipynb"
    if notebook.is_file():
        up = "../" * pagename.count("/")
        context["body"] = linked(context["body"], _bindings_of(notebook), up)


def rendered(file: Path) -> str:
    """A module's source as HTML, each line with an id ``L-NUMBER``."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    text = (_ROOT / file).read_text(encoding="utf-8")
    formatter = HtmlFormatter(lineanchors="L", wrapcode=True)
    return f"<h1>{html.escape(str(file))}</h1>{highlight(text, PythonLexer(), formatter)}"


def _source_pages(app: Sphinx) -> Iterator[tuple[str, dict, str]]:
    files = set()
    for notebook in sorted(Path(app.srcdir).glob("notebooks/*.ipynb")):
        output = Path(app.outdir) / "notebooks" / f"{notebook.stem}.html"
        if output.is_file():
            page = output.read_text(encoding="utf-8")
            files |= set(re.findall(r'href="\.\./source/(gpubook/[\w/]+)\.html#', page))
    for name in sorted(files):
        file = Path(f"{name}.py")
        yield f"source/{name}", {"title": str(file), "body": rendered(file)}, "page.html"


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.connect("html-page-context", _link_names)
    app.connect("html-collect-pages", _source_pages)
