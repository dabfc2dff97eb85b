"""The doctor's rules: read from rules.toml and checked, so that a bad entry is named at once."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from gpubook import files
from gpubook.doctor.plain import squeeze
from gpubook.errors import BookError
from gpubook.machine.host import numbers

GAP = 160
"""How many characters " ... " in a symptom may stand for, blanks not counted."""
SHORTEST = 8
"""The least length of a symptom's longest part, so that no common word is a symptom."""


class RuleError(BookError):
    """An entry of rules.toml that cannot be used, with the reason."""


@dataclass(frozen=True)
class Symptom:
    """Words of a message. ``parts`` are squeezed and follow one another within `GAP` bytes."""

    text: str
    parts: tuple[bytes, ...]

    @property
    def anchor(self) -> bytes:
        """The longest part: where it is not in a text, the symptom is not."""
        return max(self.parts, key=len)

    @property
    def weight(self) -> int:
        """How much text the symptom pins down; the more, the surer the diagnosis."""
        return sum(map(len, self.parts))

    @functools.cached_property
    def pattern(self) -> re.Pattern[bytes]:
        """The parts as one expression over squeezed text: literals and bounded gaps only, so its
        time is linear in the text."""
        gap = b"[^\\x00]{0,%d}?" % GAP
        return re.compile(gap.join(re.escape(part) for part in self.parts))


@dataclass(frozen=True)
class Fix:
    """What to type. ``when``: for which versions or in which place; empty for always."""

    run: tuple[str, ...]
    when: str = ""
    note: str = ""

    def applies(self, versions: dict[str, str]) -> bool | None:
        """Whether it is for these versions; ``None`` where they, or the place, are not known."""
        answers = [_holds(word, versions) for word in self.when.split()]
        if False in answers:
            return False
        return None if None in answers else True


@dataclass(frozen=True)
class Rule:
    """One cause: how it shows, what it is, how to fix it. See the head of rules.toml."""

    id: str
    title: str
    symptoms: tuple[Symptom, ...]
    cause: str
    matters: str
    versions: str
    fix: tuple[Fix, ...]
    sources: tuple[str, ...]
    examples: tuple[str, ...]
    explains: tuple[str, ...] = ()


_CONDITION = re.compile(r"(engine|toolkit)(>=|<)(\d+(?:\.\d+){0,2})")


def _holds(word: str, versions: dict[str, str]) -> bool | None:
    match = _CONDITION.fullmatch(word)
    if match is None or not numbers(versions.get(match[1], "")):
        return None
    have, want = numbers(versions[match[1]]), numbers(match[3])
    return have >= want if match[2] == ">=" else have < want


@functools.cache
def load() -> tuple[Rule, ...]:
    """All rules. Raises RuleError for the first entry that cannot be used."""
    return parse(files.packaged("gpubook.doctor", "rules.toml"))


def parse(text: str) -> tuple[Rule, ...]:
    """The rules in a TOML text. Raises RuleError, naming the entry."""
    try:
        entries = tomllib.loads(text).get("rule", [])
    except tomllib.TOMLDecodeError as problem:
        raise RuleError(f"rules.toml is not TOML: {problem}") from None
    rules = tuple(_rule(entry) for entry in entries)
    ids = [rule.id for rule in rules]
    for rule in rules:
        if ids.count(rule.id) > 1:
            raise RuleError(f"rule {rule.id}: there are two of this id")
        for other in rule.explains:
            if other not in ids or other == rule.id:
                raise RuleError(f"rule {rule.id}: explains {other!r}, which is no other rule")
    return rules


_TEXTS = ("id", "title", "cause", "matters", "versions")
_LISTS = ("sources", "examples", "explains")


def _rule(entry: dict[str, Any]) -> Rule:
    try:
        if wrong := files.broken_rule(entry, "gpubook.doctor", "rules.schema.json"):
            raise RuleError(wrong)
        return Rule(
            symptoms=tuple(map(_symptom, entry["symptoms"])),
            fix=tuple(Fix(**fix | {"run": tuple(fix["run"])}) for fix in entry["fix"]),
            **{key: entry[key] for key in _TEXTS},
            **{key: tuple(entry.get(key, ())) for key in _LISTS},
        )
    except RuleError as error:
        raise RuleError(f"rule {entry.get('id', 'without an id')}: {error}") from None


def _symptom(text: str) -> Symptom:
    parts = tuple(squeeze(part.encode()) for part in text.split(" ... "))
    if not all(parts):
        raise RuleError(f"symptom {text!r} has an empty part")
    if max(map(len, parts)) < SHORTEST:
        least = f"one part needs {SHORTEST} letters or more"
        raise RuleError(f"symptom {text!r} is too short: {least}")
    return Symptom(text, parts)
