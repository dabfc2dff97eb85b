"""A page's own code, run by its tests: the rule or the loop that a reader sees is what is judged."""

from __future__ import annotations

import json
from typing import Any

from tests.conftest import ROOT


def source(notebook: str, cell: str) -> str:
    """The code of one cell, without the line of its magic."""
    content = json.loads((ROOT / "notebooks" / f"{notebook}.ipynb").read_text(encoding="utf-8"))
    (text,) = ["".join(c["source"]) for c in content["cells"] if c["id"] == cell]
    return text.partition("\n")[2] if text.startswith("%%") else text


def run(notebook: str, *cells: str, **names: Any) -> dict[str, Any]:
    """The names that these cells define, run one after another with ``names`` known to them."""
    for cell in cells:
        exec(compile(source(notebook, cell), f"{notebook}/{cell}", "exec"), names)  # noqa: S102
    return names
