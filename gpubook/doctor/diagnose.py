"""From a log to its causes: read in blocks, searched for every rule's symptoms, ranked.

Memory does not grow with the log. Time is linear in it: literals are looked for in squeezed text
(see `plain`), and only symptoms whose anchor is in a block are looked at more closely.
"""

from __future__ import annotations

import io
import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate, chain
from typing import BinaryIO

from gpubook.doctor.plain import plain, shown, squeeze
from gpubook.doctor.rules import Rule, Symptom, load

BLOCK = 1 << 20
_CARRY = 4096  # bytes of a block that the next one sees again: a message may lie across both
_MANY = 1000  # occurrences are counted up to here
_LARGE = 1 << 16  # from here on the prefilter, whose import takes longer than a small search


@dataclass(frozen=True)
class Quote:
    """The line, numbered from 1, that gave a cause away."""

    line: int
    text: str


@dataclass
class Problem:
    """A rule that a text shows. ``count``: how often, up to a thousand."""

    rule: Rule
    symptom: Symptom
    quote: Quote
    offset: int
    count: int = 1
    explained_by: str = ""


@dataclass
class Diagnosis:
    """What a text shows: its problems, the likeliest cause first, and versions that it names."""

    problems: list[Problem]
    versions: dict[str, str]
    lines: int
    size: int


def _after(word: bytes, rest: bytes) -> tuple[bytes, re.Pattern[bytes]]:
    """A pattern with the word that it begins with: where that is not, the pattern is not tried."""
    return word, re.compile(re.escape(word) + rest)


_THREE = rb"(\d{1,3}\.\d{1,3}\.\d{1,3})"
_BRANCH = rb"(\d{3}\.\d{2,3}(?:\.\d{2,3})?)"
_VERSIONS = {
    "engine": (
        _after(b"serverversion:", _THREE),
        _after(b"dockerversion", b":?" + _THREE),
        _after(b"server:dockerengine", rb"[a-z-]{0,20}engine:version:" + _THREE),
    ),
    "toolkit": (
        _after(b"toolkitcliversion", b":?" + _THREE),
        _after(b"nvidia-container-toolkit", rb"[^\d]{0,12}" + _THREE),
        _after(b"cli-version:", _THREE),
    ),
    "driver": (
        _after(b"driverversion:", _BRANCH),
        _after(b"nvrmversion:", rb"[a-z_:()0-9-]{0,60}?" + _BRANCH),
    ),
}


@dataclass
class _Scan:
    rules: tuple[Rule, ...]
    found: dict[str, Problem] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    lines: int = 0  # line ends before the current buffer
    size: int = 0

    def __post_init__(self) -> None:
        self._by_anchor: dict[bytes, list[tuple[Rule, Symptom]]] = {}
        for rule in self.rules:
            for symptom in rule.symptoms:
                self._by_anchor.setdefault(symptom.anchor, []).append((rule, symptom))
        self._prefilter = None

    def _present(self, text: bytes) -> Iterable[bytes]:
        if len(text) < _LARGE:
            return [anchor for anchor in self._by_anchor if anchor in text]
        if self._prefilter is None:
            from gpubook.doctor.prefilter import Prefilter

            self._prefilter = Prefilter(self._by_anchor)
        return self._prefilter.present(text)

    def look(self, raw: bytes, carry: bytes) -> None:
        """Search ``raw``, which begins with ``carry``, what the last buffer ended with."""
        text = squeeze(plain(raw))
        self._read_versions(text)
        anchors = self._present(text)
        if not anchors:
            return
        before = squeeze(plain(carry))
        for rule, symptom in chain.from_iterable(self._by_anchor[anchor] for anchor in anchors):
            problem = self.found.get(rule.id)
            if problem and problem.symptom is symptom:
                if problem.count < _MANY:
                    more = _count(symptom, text) - _count(symptom, before)
                    problem.count = min(_MANY, problem.count + max(0, more))
                continue
            if problem and problem.symptom.weight >= symptom.weight:
                continue
            match = symptom.pattern.search(text) if all(p in text for p in symptom.parts) else None
            if match:
                line, words = _line_at(raw, match.start(), match.end())
                offset = self.size - len(raw) + match.start()
                self.found[rule.id] = Problem(
                    rule, symptom, Quote(self.lines + line, words), offset, _count(symptom, text)
                )

    def _read_versions(self, text: bytes) -> None:
        for name, patterns in _VERSIONS.items():
            for word, pattern in patterns:
                if name not in self.versions and word in text and (match := pattern.search(text)):
                    self.versions[name] = match[1].decode()


def _count(symptom: Symptom, text: bytes) -> int:
    if len(symptom.parts) == 1:
        return min(_MANY, text.count(symptom.anchor))
    if not all(part in text for part in symptom.parts):
        return 0
    number = 0
    for _ in symptom.pattern.finditer(text):
        number += 1
        if number == _MANY:
            break
    return number


def _line_at(raw: bytes, start: int, end: int) -> tuple[int, str]:
    """The number (from 1) and text of the raw line where squeezed offset ``start`` is; with the
    lines up to ``end`` where the message was wrapped."""
    lines = raw.split(b"\n")
    # A JSON escape or a colour code does not reach over a line end, so lengths add up.
    ends = list(accumulate(len(squeeze(plain(line))) for line in lines))
    first = bisect_right(ends, start)
    last = min(bisect_right(ends, end - 1), first + 3)
    before = ends[first - 1] if first else 0
    words = b" ".join(_around(line, start - before) for line in lines[first : last + 1])
    return first + 1, shown(words, 600)


def _around(line: bytes, offset: int) -> bytes:
    """The part of a very long line near the squeezed ``offset``."""
    if len(line) <= 600:
        return line
    done = 0
    for at in range(0, len(line), 100):
        done += len(squeeze(plain(line[at : at + 100])))
        if done > offset:
            return line[max(0, at - 100) : at + 400]
    return line[-500:]


def diagnose(source: BinaryIO | bytes | str, rules: tuple[Rule, ...] | None = None) -> Diagnosis:
    """The causes that a log shows: an open binary file of any size, or a text.

    Problems come with the likeliest cause first: one that explains others before these, then the
    one whose symptom pins down most text. None means that no rule knows what is in the text.
    """
    if isinstance(source, str):
        source = source.encode("utf-8", errors="replace")
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    scan = _Scan(load() if rules is None else rules)
    raw, carry, newlines, ends_open = b"", b"", 0, False
    while block := stream.read(BLOCK):
        raw = carry + block
        scan.lines = newlines - carry.count(b"\n")
        newlines += block.count(b"\n")
        scan.size += len(block)
        ends_open = not block.endswith(b"\n")
        scan.look(raw, carry)
        carry = raw[-_CARRY:]
        cut = carry.find(b"\n") + 1
        carry = carry[cut:] if 0 < cut < len(carry) else carry
    if not scan.found and scan.size == len(raw):
        # A short text with nothing found: line ends may cut through colour codes and JSON's
        # escapes, where a raw log was folded. Without them it is one line.
        scan.lines = 0
        scan.look(raw.translate(None, b"\r\n"), b"")
    problems = list(scan.found.values())
    _rank(problems)
    return Diagnosis(problems, scan.versions, newlines + ends_open, scan.size)


def _rank(problems: list[Problem]) -> None:
    here = {problem.rule.id for problem in problems}
    for problem in problems:
        causes = [p.rule.id for p in problems if problem.rule.id in p.rule.explains]
        problem.explained_by = next((cause for cause in causes if cause in here), "")
    problems.sort(key=lambda p: (bool(p.explained_by), -p.symptom.weight, p.offset))
