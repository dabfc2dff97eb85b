"""What a bench promises: each claim with its value, its limit and whether it holds."""

from __future__ import annotations

from typing import Any


def claim(text: str, value: Any, limit: Any, *, holds: bool) -> dict[str, Any]:
    """One claim as a bench's result has it under ``must``."""
    return {"claim": text, "value": value, "limit": limit, "holds": holds}


def at_least(text: str, value: float, limit: float) -> dict[str, Any]:
    """A claim that holds from its limit on."""
    return claim(text, value, limit, holds=value >= limit)


def at_most(text: str, value: float, limit: float) -> dict[str, Any]:
    """A claim that holds up to its limit."""
    return claim(text, value, limit, holds=value <= limit)
