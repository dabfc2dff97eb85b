"""Evidence measured here, or replayed where this machine cannot measure it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpubook import machine
from gpubook.evidence import records
from gpubook.evidence.records import EvidenceError


@dataclass(frozen=True)
class Evidence:
    """A record, whether it was measured here and now, and if not, why not."""

    record: dict
    live: bool
    why: str | None = None

    @property
    def name(self) -> str:
        """Its name on its page."""
        return self.record["name"]

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

    @property
    def mode(self) -> str:
        """``"live"`` or ``"recorded"``."""
        return "live" if self.live else "recorded"

    @property
    def where(self) -> str:
        """The machine, for readers: ``"this machine"`` or its short name."""
        return "this machine" if self.live else self.machine


def recorded(root: Path, notebook: str, name: str) -> list[Evidence]:
    """Every machine's recording of one evidence, the preferred machine's first."""
    return [Evidence(r, live=False) for r in records.recordings_of(root, notebook, name)]


def obtain(
    root: Path,
    notebook: str,
    name: str,
    measure: Callable[[], Any],
    *,
    needs: str = "",
    require: frozenset[str] = frozenset(),
    parameters: dict | None = None,
) -> Evidence:
    """Measure if this machine has what ``needs`` names, else replay the first recording.

    ``measure`` returns plain JSON. Raises MissingCapability when something in ``require`` is
    missing, EvidenceError when there is nothing to replay or the data is not JSON.
    """
    wanted = machine.parse_needs(needs)
    missing = machine.probe().missing(sorted(wanted))
    if not missing:
        data = measure()
        record = records.new_record(notebook, name, data, needs=wanted, parameters=parameters)
        return Evidence(record, live=True)
    machine.check(wanted & require)
    why = "; ".join(missing.values())
    replays = recorded(root, notebook, name)
    if not replays:
        raise EvidenceError(
            f"{notebook}/{name} cannot be measured here ({why}) and has no recording"
        )
    return Evidence(replays[0].record, live=False, why=why)
