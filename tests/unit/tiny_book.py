"""A small book in a temporary folder, to test execution without the real notebooks."""

import json
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

SETUP = 'from gpubook.evidence import Page\npage = Page("{name}", require=REQUIRE)'


def make(root: Path) -> Path:
    """An empty book."""
    (root / "notebooks").mkdir(parents=True)
    (root / "_toc.yml").write_text("format: jb-book\nroot: book/intro\n", encoding="utf-8")
    return root


def add(
    root: Path,
    name: str,
    *cells: str,
    parameters: str = "N = 3  # a number",
    finish: bool = True,
    **meta: object,
) -> Path:
    """Add a notebook whose code cells are ``cells`` between the usual first and last ones."""
    first = new_code_cell(f'{parameters}\nREQUIRE = ""  # what must be live', id="parameters")
    first.metadata["tags"] = ["parameters"]
    body = [new_code_cell(source, id=f"cell-{i}") for i, source in enumerate(cells)]
    notebook = new_notebook(
        cells=[
            new_markdown_cell(f"# {name}", id="title"),
            first,
            new_code_cell(SETUP.format(name=name), id="setup"),
            *body,
            *([new_code_cell("page.finish()", id="finish")] if finish else []),
        ],
        metadata={
            "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"},
            "gpubook": meta,
        },
    )
    path = root / "notebooks" / f"{name}.ipynb"
    nbformat.write(notebook, path)
    return path


def result(root: Path, name: str) -> dict:
    """A notebook's results as written."""
    return json.loads((root / "_build" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def data(root: Path, name: str, evidence: str) -> object:
    """One evidence's data."""
    (found,) = [
        item["record"]["data"]
        for item in result(root, name)["evidences"]
        if item["record"]["name"] == evidence
    ]
    return found


def outputs(root: Path) -> list[str]:
    """All that a run left where results are looked for."""
    build = root / "_build"
    return sorted(
        path.relative_to(build).as_posix()
        for folder in ("executed", "results", "artifacts", "work", "failed")
        for path in (build / folder).rglob("*")
        if path.is_file()
    )
