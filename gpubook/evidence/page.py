"""A notebook's page: asks for evidence, measures or replays, says which, keeps the results."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubook import machine
from gpubook.errors import BookError
from gpubook.evidence import display, records, selfcheck, tabs, terminal
from gpubook.evidence.records import EvidenceError


@dataclass(frozen=True)
class Evidence:
    """What a page got: ``data``, and whether it was measured here and now."""

    record: dict
    live: bool
    why: str | None = None

    @property
    def data(self) -> Any:
        """The measured data (plain JSON)."""
        return self.record["data"]

    @property
    def provenance(self) -> dict:
        """Machine, software, date and source."""
        return self.record["provenance"]

    @property
    def machine(self) -> str:
        """The short name of the machine that gave the data."""
        return self.provenance["machine"]["name"]


Draw = Callable[[Evidence], display.Shown | Sequence[display.Shown]]
"""From an evidence to what the page shows of it."""


def _pane(evidence: Evidence, draw: Draw) -> tabs.Pane:
    """What one machine gave, under its banner."""
    drawn = draw(evidence)
    parts = [drawn] if isinstance(drawn, display.Shown) else list(drawn)
    banner = display.banner(evidence.record, live=evidence.live, why=evidence.why)
    return tabs.Pane(evidence.record, evidence.live, [banner, *parts])


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
    """One notebook's evidence.

    ``notebook`` is the file's stem, ``require`` the capabilities that must be live here, as the
    parameter REQUIRE has them; the environment variable REQUIRE adds to them.

    Raises MissingCapability at once when a required capability is not here, UsageError when
    one is unknown.
    """

    def __init__(self, notebook: str, *, require: str = "") -> None:
        self.notebook = notebook
        self.root = find_root()
        self.require = machine.required(require)
        self._work = Path(w) if (w := os.environ.get("GPUBOOK_WORK")) else None
        self._evidence: dict[str, Evidence] = {}
        self._solutions: dict[int, dict] = {}
        here = machine.probe()
        machine.check(self.require, here)
        terminal.register(self)
        _show(_what_is_here(here, self.require))

    def ask(
        self,
        name: str,
        *,
        measure: Callable[[], Any],
        needs: str = "",
        machine: str | None = None,
        stub: bool = False,
        draw: Draw | None = None,
        others: Callable[[Any], bool] = lambda data: True,
    ) -> Evidence:
        """Measure now if this machine can, replay a recording if it cannot; say which.

        ``measure`` returns plain JSON data. ``needs`` names the capabilities it takes, such as
        ``"docker,gpu"``; ``machine`` picks whose recording is replayed. ``stub`` says that a
        stand-in for the NVIDIA driver answers.

        With ``draw``, and ``others``, the result is shown as `machines` shows it; without, only its
        banner is.

        Raises MissingCapability when a required capability is missing, EvidenceError when
        there is nothing to replay.
        """
        wanted = _machine.parse_needs(needs)
        missing = _machine.probe().missing(sorted(wanted))
        if not missing:
            provenance = records.here(stub=stub)
            record = records.new_record(
                self.notebook, name, measure(), needs=wanted, provenance=provenance
            )
            return self._keep(Evidence(record, live=True), draw, others)
        _machine.check(wanted & self.require)
        why = "; ".join(missing.values())
        found = self.recorded(name)
        if machine is not None:
            found = [ev for ev in found if ev.machine == machine]
        if not found:
            raise EvidenceError(
                f"{self.notebook}/{name} cannot be measured here ({why}) and has no recording"
                + (f" on {machine}" if machine else "")
            )
        return self._keep(Evidence(found[0].record, live=False, why=why), draw, others)

    def evidence(self, name: str) -> Evidence:
        """What this page got under a name, for cells after the one that asked.

        Raises EvidenceError when it did not ask yet.
        """
        if name not in self._evidence:
            raise EvidenceError(
                f"{self.notebook} has not asked for {name} yet: run that cell first"
            )
        return self._evidence[name]

    def recorded(self, name: str) -> list[Evidence]:
        """Every machine's recording of an evidence of this notebook, the preferred one first."""
        found = records.recordings_of(self.root, self.notebook, name)
        return [Evidence(record, live=False) for record in found]

    def machines(
        self, name: str, draw: Draw, *, others: Callable[[Any], bool] = lambda data: True
    ) -> display.Shown:
        """What this page got under a name, with a tab for each machine that has a recording.

        ``draw`` makes of an evidence what its pane shows, a table, a figure or several, under
        the evidence's banner. ``others`` says of a recording's data whether it belongs here.
        With nothing recorded elsewhere there are no tabs.
        """
        own = self.evidence(name)
        recorded = [
            ev
            for ev in self.recorded(name)
            if ev.record["sha256"] != own.record["sha256"] and others(ev.data)
        ]
        return tabs.machines([_pane(ev, draw) for ev in (own, *recorded)])

    def show_banner(self, evidence: Evidence) -> None:
        """Show where an evidence comes from."""
        _show(display.banner(evidence.record, live=evidence.live, why=evidence.why))

    def solution(
        self, exercise: int, answer: Any, *, of: Sequence[str | Evidence], why: str
    ) -> None:
        """Show and keep the answer to an exercise, for the reader and for the tests.

        ``answer`` is plain JSON, computed from the evidences ``of`` (by name, if this page has
        asked for them); the reader is told of each whether it is live. ``why`` explains the
        answer, with code between backticks.

        Raises EvidenceError when the answer is not JSON or an evidence was not asked for.
        """
        sources = [self.evidence(one) if isinstance(one, str) else one for one in of]
        try:
            answer = json.loads(records.canonical(answer))
        except (TypeError, ValueError) as error:
            raise EvidenceError(
                f"solution {exercise}: the answer is not plain JSON: {error}"
            ) from error
        names = [source.record["name"] for source in sources]
        self._solutions[exercise] = {"exercise": exercise, "of": names, "answer": answer}
        self._save(finished=False)
        _show(display.solution(why, [(e.record, e.live) for e in sources]))

    def self_check(self) -> display.Shown:
        """This page's questions, with feedback for each option.

        Raises BadQuestions when there are none, or they cannot be answered.
        """
        questions = selfcheck.load(selfcheck.path_of(self.root, self.notebook))
        return selfcheck.show(questions, self.notebook[:2])

    def _keep(
        self, evidence: Evidence, draw: Draw | None, others: Callable[[Any], bool]
    ) -> Evidence:
        self._evidence[evidence.record["name"]] = evidence
        self._save(finished=False)
        if draw is None:
            self.show_banner(evidence)
            return evidence
        _show(self.machines(evidence.record["name"], draw, others=others))
        return evidence

    def _save(self, *, finished: bool) -> None:
        """Leave what is known so far for the process that executes this notebook."""
        if self._work is None:
            return
        kept = [
            {"mode": "live" if e.live else "recorded", "why": e.why, "record": e.record}
            for e in self._evidence.values()
        ]
        state = {"notebook": self.notebook, "finished": finished, "evidences": kept}
        state["solutions"] = list(self._solutions.values())
        if finished:
            state["modules"] = sorted(
                str(Path(module.__file__).resolve())
                for name, module in sys.modules.items()
                if name.split(".")[0] == "gpubook" and getattr(module, "__file__", None)
            )
        records.write_json(self._work / "evidence.json", state)

    @property
    def artifacts(self) -> Path:
        """This notebook's own folder for what it makes (a model, say), created empty on demand."""
        if self._work is not None:
            folder = self._work / "artifacts"
        else:
            folder = self.root / "_build" / "artifacts" / self.notebook
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def artifacts_of(self, notebook: str) -> Path:
        """What another notebook made. Raises BookError when it was not executed yet."""
        folder = (
            Path(os.environ.get("GPUBOOK_OUT") or self.root / "_build") / "artifacts" / notebook
        )
        if not folder.is_dir():
            raise BookError(
                f"{self.notebook} uses what {notebook} makes, and that is not here: "
                f"run notebooks/{notebook}.ipynb first"
            )
        return folder

    def finish(self) -> display.Shown:
        """Close the page: the table of what was measured now and what was replayed."""
        self._save(finished=True)
        rows = [
            {
                "name": name,
                "mode": display.kind(e.record, live=e.live),
                "machine": display.machine_line(e.provenance),
                "date": e.provenance["date"][:10],
            }
            for name, e in self._evidence.items()
        ]
        columns = {"name": "Evidence", "mode": "Live?", "machine": "Machine", "date": "Date"}
        return display.table(rows, columns, caption="Where this page's results come from")


_machine = machine  # `ask` has a parameter of that name


def _show(shown: display.Shown) -> None:
    """Show in a notebook; print in a plain Python session."""
    try:
        from IPython.display import display as show
    except ImportError:
        print(shown)
    else:
        show(shown)


def _what_is_here(here: machine.Machine, require: frozenset[str]) -> display.Shown:
    """The opening table of a page: this machine and what it can measure."""
    gib = 2**30
    rows = [
        {"what": "Processor", "here": f"{here.cpu}, {here.cores} cores"},
        {"what": "Memory", "here": f"{here.memory_bytes / gib:.1f} GiB"},
        {"what": "System", "here": f"{here.os}, kernel {here.kernel}"},
        {"what": "Free disk", "here": f"{shutil.disk_usage('.').free / gib:.1f} GiB"},
    ]
    labels = {"docker": "Docker Engine", "gpu": "GPU", "toolkit": "NVIDIA Container Toolkit"}
    for name, capability in here.capabilities.items():
        word = "" if capability.available else "none: "
        must = " (required)" if name in require else ""
        rows.append({"what": labels[name] + must, "here": word + capability.why})
    return display.table(rows, {"what": "This machine", "here": "has"}, caption="This machine")
