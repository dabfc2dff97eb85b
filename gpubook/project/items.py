"""The checklist, items.toml: what each item asks, why, and how to get there."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from gpubook import files


@dataclass(frozen=True)
class Item:
    """One item of the checklist. ``how`` is what to type or write."""

    id: str
    what: str
    why: str
    how: str


_ALL = tomllib.loads(files.packaged("gpubook.project", "items.toml"))["item"]
ITEMS: dict[str, Item] = {item["id"]: Item(**item) for item in _ALL}

ENGINE_ITEMS = ("builds", "runs")
"""The items that take a Docker Engine."""

MET, MISSING, NOT_CHECKED = "met", "missing", "not checked"


@dataclass(frozen=True)
class Finding:
    """What was found for one item. ``found`` is one line: the evidence, or what is wrong."""

    id: str
    state: str
    found: str

    @property
    def item(self) -> Item:
        """The item of the checklist."""
        return ITEMS[self.id]

    def as_json(self) -> dict[str, str]:
        """The finding with its item's words."""
        return asdict(self.item) | {"state": self.state, "found": self.found}


def text_of(folder: Path, name: str, limit: int = files.LIMIT) -> tuple[str, str]:
    """A project's file and an empty reason, or an empty text and why it cannot be read."""
    try:
        return files.read_text(folder / name, limit), ""
    except FileNotFoundError:
        return "", f"there is no {name}"
    except OSError as error:
        return "", f"{name}: {error.strerror}"
    except files.Malformed as error:
        return "", str(error)


def met(id_: str, found: str) -> Finding:
    """The item is met, as ``found`` shows."""
    return Finding(id_, MET, found)


def missing(id_: str, found: str) -> Finding:
    """The item is not met, because of ``found``."""
    return Finding(id_, MISSING, found)


def not_checked(id_: str, why: str) -> Finding:
    """The item could not be checked here."""
    return Finding(id_, NOT_CHECKED, why)
