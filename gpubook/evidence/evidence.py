"""An evidence: a record, measured here and now or replayed, and never the one as the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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
