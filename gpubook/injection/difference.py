"""What one container has that another has not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gpubook.injection.classify import Item

# Names that change with every container or every run of a hook, and mean nothing by that.
_VOLATILE = (
    (re.compile(r"(/run/nvidia-ctk-hook)[\w-]+"), r"\1*"),
    (re.compile(r"(-nvcr-)\d+(\.conf)"), r"\1*\2"),
    (re.compile(r"^(HOSTNAME)=.*"), r"\1=*"),
    (re.compile(r"(/containers/)[0-9a-f]{64}/"), r"\1*/"),
)


@dataclass(frozen=True)
class Difference:
    """Items by where they are: only in the first container, only in the second, in both."""

    first: tuple[Item, ...]
    second: tuple[Item, ...]
    both: tuple[Item, ...]


def stable_name(text: str) -> str:
    """``text`` without the parts that differ from one container to the next by chance."""
    for pattern, replacement in _VOLATILE:
        text = pattern.sub(replacement, text)
    return text


def _key(item: Item) -> tuple[str, str]:
    kind = "device" if item.class_id in ("gpu-node", "control-node") else item.kind
    return kind, stable_name(item.target)


def difference(first: Iterable[Item], second: Iterable[Item]) -> Difference:
    """Compare two classified containers by kind and target (device nodes by target alone, since
    the same node is a mount on one path and a node of its own on the other)."""
    one, two = {_key(i): i for i in first}, {_key(i): i for i in second}
    return Difference(
        first=tuple(item for key, item in one.items() if key not in two),
        second=tuple(item for key, item in two.items() if key not in one),
        both=tuple(item for key, item in one.items() if key in two),
    )


def moved(first: Iterable[Item], second: Iterable[Item]) -> list[tuple[Item, Item]]:
    """Files that both containers got under the same name at different places."""
    kinds = ("driver-library", "driver-binary")
    one = {i.name: i for i in first if i.kind == "mount" and i.class_id in kinds}
    two = {i.name: i for i in second if i.kind == "mount" and i.class_id in kinds}
    return [(one[n], two[n]) for n in one if n in two and one[n].target != two[n].target]


def settings_difference(before: Any, after: Any, at: str = "") -> list[dict[str, Any]]:
    """Differences of two JSON values such as daemon.json: rows of setting, before, after.
    ``None`` stands for "not there"."""
    if isinstance(before, dict) and isinstance(after, dict):
        rows = []
        for key in sorted(before.keys() | after.keys()):
            rows += settings_difference(
                before.get(key), after.get(key), f"{at}.{key}" if at else key
            )
        return rows
    if isinstance(after, dict) and after and before is None:
        return settings_difference({}, after, at)
    if isinstance(before, dict) and before and after is None:
        return settings_difference(before, {}, at)
    return [] if before == after else [{"setting": at, "before": before, "after": after}]
