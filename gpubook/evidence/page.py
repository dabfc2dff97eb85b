"""A notebook's page: what its cells show of the evidence that its ledger measures and keeps."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpubook import machine
from gpubook.errors import BookError
from gpubook.evidence import board, checks, display, magics, opening, tabs
from gpubook.evidence.evidence import Evidence
from gpubook.evidence.ledger import Ledger

Draw = Callable[[Any], Any]
"""From an evidence's data to what the page shows of it: something `display.value` can show."""


def find_root(start: Path | None = None) -> Path:
    """The book's folder: $GPUBOOK_ROOT, or the first folder upwards that holds ``_toc.yml``."""
    if chosen := os.environ.get("GPUBOOK_ROOT"):
        return Path(chosen)
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "_toc.yml").is_file():
            return folder
    raise BookError(
        f"no book here: neither {start} nor a folder above it holds _toc.yml; "
        "change to the book's folder or set GPUBOOK_ROOT"
    )


class Page:
    """What one notebook shows, and the cell magics that fill its ledger (see `magics`).

    ``notebook`` is the file's stem, ``require`` the capabilities that must be live here, as the
    parameter REQUIRE has them; the environment variable REQUIRE adds to them.

    Raises MissingCapability at once when a required capability is not here, UsageError when
    one is unknown.
    """

    def __init__(self, notebook: str, *, require: str = "") -> None:
        self.notebook, self.root = notebook, find_root()
        work = os.environ.get("GPUBOOK_WORK")
        must = machine.required(require)
        self.ledger = Ledger(notebook, self.root, must, Path(work) if work else None)
        here = machine.probe()
        machine.check(must, here)
        magics.register(self)
        board.report(notebook)
        display.show(opening.line(here, must))

    def evidence(self, name: str) -> Evidence:
        """What this page has under a name. Raises EvidenceError before its cell has run."""
        return self.ledger.get(name)

    def recorded(self, name: str) -> list[Evidence]:
        """Every machine's recording of an evidence of this notebook, the preferred one first."""
        return self.ledger.recorded(name)

    def machines(
        self, name: str, draw: Draw, *, others: Callable[[Any], bool] = lambda data: True
    ) -> display.Shown:
        """What this page has under a name, with a tab for each machine that has a recording.

        ``draw`` makes of an evidence's data what its pane shows; ``others`` says of a recording's
        data whether it belongs here. With nothing recorded elsewhere there are no tabs.
        """
        own = self.evidence(name)
        rest = [ev for ev in self.recorded(name) if ev.record["sha256"] != own.record["sha256"]]
        panes = [own, *(ev for ev in rest if others(ev.data))]
        return tabs.machines([(evidence, draw(evidence.data)) for evidence in panes])

    def chip(self, name: str) -> display.Shown:
        """The line that says where the evidence of that name comes from."""
        return display.chip(self.evidence(name))

    def solution(self, exercise: int) -> display.Shown:
        """Why the answer to an exercise is so, and which evidences it rests on.

        The words are the page's ``[[solution]]`` in ``book/checks``: BadQuestions without them.
        """
        sources = self.ledger.solutions[exercise]["of"]
        why = self._checks().solution(exercise)
        return display.solution(why, [self.evidence(name) for name in sources])

    def guess(self, name: str) -> display.Shown:
        """The reader's guess at a result, before the page shows it. Kept in the page only."""
        return checks.show_guess(self._checks().guess(name), name)

    def reveal(self, name: str, value: float | str) -> display.Shown:
        """The result that the reader guessed at, beside the guess."""
        return checks.show_result(self._checks().guess(name), name, value)

    def self_check(self) -> display.Shown:
        """This page's questions, with feedback for each option."""
        return checks.show_questions(self._checks().questions, self.notebook[:2])

    def _checks(self) -> checks.Checks:
        return checks.load(checks.path_of(self.root, self.notebook))

    @property
    def artifacts(self) -> Path:
        """This notebook's own folder for what it makes (a model, say), created empty on demand."""
        build = self.root / "_build" / "artifacts"
        work = self.ledger.folder
        folder = work / "artifacts" if work else build / self.notebook
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def artifacts_of(self, notebook: str) -> Path:
        """What another notebook made. Raises BookError when it was not executed yet."""
        build = Path(os.environ.get("GPUBOOK_OUT") or self.root / "_build")
        folder = build / "artifacts" / notebook
        if not folder.is_dir():
            raise BookError(
                f"{self.notebook} uses what {notebook} makes, and that is not here: "
                f"run notebooks/{notebook}.ipynb first"
            )
        return folder

    def finish(self) -> display.Shown:
        """Close the page: the table of what was measured now and what was replayed."""
        self.ledger.save(finished=True)
        return opening.closing(self.ledger.evidences.values())
