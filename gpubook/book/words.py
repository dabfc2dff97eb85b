"""How long something takes, in words for readers."""

from __future__ import annotations

import re

WORDS_A_MINUTE = 200
"""Of technical text, read by people to whom some of it is new."""


def duration(seconds: float) -> str:
    """``"8 seconds"``, ``"3.6 minutes"``: rounded as far as it can be repeated."""
    if seconds < 60:
        return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"
    minutes = seconds / 60
    return f"{minutes:.1f} minutes" if minutes < 10 else f"{minutes:.0f} minutes"


def brief(seconds: float) -> str:
    """``"1.2 s"``, ``"3.4 ms"``, ``"56 µs"``: three digits."""
    sizes = ((1, "s"), (1e-3, "ms"), (1e-6, "µs"))
    size, unit = next((s for s in sizes if seconds >= s[0]), sizes[-1])
    return f"{seconds / size:.3g} {unit}"


def reading_minutes(text: str) -> int:
    """Minutes that a text takes: every word of it counts, code and tables as well."""
    return max(1, round(len(re.findall(r"\w+", text)) / WORDS_A_MINUTE))


def size(number: int | None) -> str:
    """Bytes for people: ``"1.4 GiB"``, ``"87 MiB"``; a dash for what was not measured."""
    if number is None:
        return "–"
    return f"{number / 2**30:.1f} GiB" if number >= 2**30 else f"{number / 2**20:.0f} MiB"
