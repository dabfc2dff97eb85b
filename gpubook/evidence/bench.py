"""What every bench returns: its figures, where they were measured, and what it promises of them."""

from __future__ import annotations

from typing import Any

from gpubook.evidence.records import here


def claim(text: str, value: Any, limit: Any, *, holds: bool) -> dict[str, Any]:
    """One promise as a bench's result has it under ``must``."""
    return {"claim": text, "value": value, "limit": limit, "holds": holds}


def at_least(text: str, value: float, limit: float) -> dict[str, Any]:
    """A claim that holds from its limit on."""
    return claim(f"{text} at least", value, limit, holds=value >= limit)


def at_most(text: str, value: float, limit: float) -> dict[str, Any]:
    """A claim that holds up to its limit."""
    return claim(f"{text} at most", value, limit, holds=value <= limit)


def result(bench: str, version: int, device: str, **figures: Any) -> dict[str, Any]:
    """A bench's figures on a device, "cpu" or "cuda", with the command and this machine.

    ``version`` rises when the bench's method changes.
    """
    command = f"gpubook bench {bench} --device {device}"
    about = {"bench": bench, "version": version, "command": command, "device": device}
    return about | figures | {"provenance": here()}
