"""What one notebook has measured, replayed and answered so far, kept for whoever executes it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gpubook import files, machine
from gpubook.evidence.evidence import Evidence
from gpubook.evidence.records import (
    EvidenceError,
    new_record,
    plain,
    read_json,
    recordings_of,
)


@dataclass
class Ledger:
    """One notebook's evidences and solutions.

    ``require`` names what must be live. ``folder`` is that of the run which executes the
    notebook and collects them, with the run's job in it; None where nobody does.
    """

    notebook: str
    root: Path
    require: frozenset[str]
    folder: Path | None = None
    evidences: dict[str, Evidence] = field(default_factory=dict)
    solutions: dict[int, dict] = field(default_factory=dict)
    _recorded: dict[str, list[Evidence]] = field(default_factory=dict)

    def measure(self, name: str, measure: Callable[[], Any], *, needs: str = "") -> Evidence:
        """Measure now if this machine can, replay the first recording if it cannot; keep which.

        ``measure`` returns plain JSON. ``needs`` names the capabilities it takes, such as
        ``"docker,gpu"``. Raises MissingCapability when one of them is missing that ``require``
        names, EvidenceError when there is nothing to replay or the data is not JSON.
        """
        wanted = machine.parse_needs(needs)
        missing = machine.probe().missing(sorted(wanted))
        if missing:
            machine.check(wanted & self.require)
            evidence = self._replay(name, "; ".join(missing.values()))
        else:
            data, given = measure(), self._parameters()
            record = new_record(self.notebook, name, data, needs=wanted, parameters=given)
            evidence = Evidence(record, live=True)
        self.evidences[name] = evidence
        self.save()
        return evidence

    def _parameters(self) -> dict:
        """Those of the run: a record is sealed here, once, so it has them from the beginning."""
        return read_json(self.folder / "job.json")["parameters"] if self.folder else {}

    def _replay(self, name: str, why: str) -> Evidence:
        replays = self.recorded(name)
        if not replays:
            raise EvidenceError(
                f"{self.notebook}/{name} cannot be measured here ({why}) and has no recording"
            )
        return replace(replays[0], why=why)

    def recorded(self, name: str) -> list[Evidence]:
        """Every machine's recording of an evidence, the preferred machine's first; read once."""
        if name not in self._recorded:
            records = recordings_of(self.root, self.notebook, name)
            self._recorded[name] = [Evidence(record, live=False) for record in records]
        return self._recorded[name]

    def get(self, name: str) -> Evidence:
        """The evidence of that name. Raises EvidenceError when the page has none yet."""
        if name not in self.evidences:
            raise EvidenceError(f"{self.notebook} has no {name} yet: run the cell that measures it")
        return self.evidences[name]

    def answer(self, exercise: int, answer: Any, of: list[str]) -> None:
        """Enter the answer to an exercise. Raises EvidenceError when it is not JSON."""
        where = f"{self.notebook}, solution {exercise}: the answer"
        entry = {"exercise": exercise, "of": of, "answer": plain(answer, where)}
        self.solutions[exercise] = entry
        self.save()

    def save(self, *, finished: bool = False) -> None:
        """Write everything so far: for the process that executes this notebook, or, once an answer
        is given in an open one, for `gpubook check`."""
        if self.folder is None and not self.solutions:
            return
        items = [
            {"mode": e.mode, "why": e.why, "record": e.record} for e in self.evidences.values()
        ]
        state = {"notebook": self.notebook, "finished": finished, "evidences": items}
        state["solutions"] = list(self.solutions.values())
        if finished:
            state["modules"] = _own_modules()
        place = self.folder / "evidence.json" if self.folder else session(self.root, self.notebook)
        files.write_json(place, state)


def session(root: Path, notebook: str) -> Path:
    """Where an open notebook keeps what it has measured and answered."""
    return root / "_build" / "session" / f"{notebook}.json"


def _own_modules() -> list[str]:
    """The library's files that the page has loaded: its result depends on them."""
    loaded = [m for name, m in sys.modules.items() if name.split(".")[0] == "gpubook"]
    files = [file for module in loaded if (file := getattr(module, "__file__", None))]
    return sorted(str(Path(file).resolve()) for file in files)
