"""A book of one prose page and one notebook, and its results, to test rendering without running."""

from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from gpubook.book.render import render

PROVENANCE = {
    "machine": {
        "name": "here",
        "cpu": "A processor",
        "cores": 2,
        "memory_bytes": 2**33,
        "gpus": [],
        "os": "Linux",
        "kernel": "6.1",
        "container": False,
    },
    "software": {"python": "3.11.7", "torch": "2.13.0", "docker": None},
    "date": "2026-11-23T10:46:39Z",
    "source": None,
    "stub": False,
}


def result_of(notebook: str, *items: tuple[str, str, str], **more: object) -> dict:
    evidences = []
    for mode, name, machine in items:
        provenance = PROVENANCE | {"machine": PROVENANCE["machine"] | {"name": machine}}
        record = {"name": name, "provenance": provenance, "data": {}}
        why = None if mode == "live" else "no Docker Engine"
        evidences.append({"mode": mode, "why": why, "record": record})
    result = {"notebook": notebook, "started": 0.0, "finished": 2.5, "parameters": {}}
    return result | {"evidences": evidences} | more


def notebook(*, injected: str | None = None, text: str = "print(N)") -> str:
    cells = [
        new_markdown_cell("# A page"),
        new_code_cell('N = 3  # a number\nREQUIRE = ""', metadata={"tags": ["parameters"]}),
    ]
    if injected is not None:
        tags = {"tags": ["injected-parameters"]}
        cells.append(new_code_cell(f"# Parameters\n{injected}\n", metadata=tags))
    cells.append(new_code_cell(text))
    return nbformat.writes(
        new_notebook(cells=cells, metadata={"language_info": {"name": "python"}})
    )


CONFIG = """
title: Small
only_build_toc_files: true
execute: {execute_notebooks: "off"}
latex: {use_jupyterbook_latex: false}
sphinx:
  recursive_update: true
  config:
    extensions: [myst_nb, jupyter_book, sphinx_comments, sphinx_external_toc,
                 sphinx_book_theme, gpubook.book.sphinx_ext]
    html_theme_options: {navbar_persistent: []}
"""


def make(folder: Path) -> Path:
    """A book of one prose page and one notebook, executed, ready to be rendered."""
    root = folder / "book root"
    (root / "book").mkdir(parents=True)
    (root / "_config.yml").write_text(CONFIG, encoding="utf-8")
    toc = "format: jb-book\nroot: book/intro\nchapters: [{file: notebooks/01-x}]\n"
    (root / "_toc.yml").write_text(toc, encoding="utf-8")
    (root / "book" / "intro.md").write_text("# Small\n\nThe first text.\n", encoding="utf-8")
    for folder in ("notebooks", "_build/executed"):
        (root / folder).mkdir(parents=True)
        (root / folder / "01-x.ipynb").write_text(notebook(), encoding="utf-8")
    return root


def rendered(root: Path) -> Path:
    return render(root, executed=root / "_build" / "executed", out=root / "_build" / "html")
