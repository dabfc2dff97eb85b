"""Text as the rules compare it: what terminals, loggers and pasting add is taken away.

The same message reaches us in colours, wrapped at any column, with its quotation marks escaped
once or twice in JSON, or turned into typographic ones by a forum. So a text is *squeezed* before
it is searched: lower case, and without blanks, line ends, quotation marks, backslashes, table and
quotation bars, and everything that is not ASCII. This is done on bytes in one pass, and a symptom
is squeezed in the same way.
"""

from __future__ import annotations

import re

_DROPPED = bytes(range(33)) + b"\"'`\\|>*" + bytes(range(127, 256))
_LOWER = bytes(range(256)).lower()

# Colour codes, also as JSON and shells write the escape character. All repeats are bounded.
_COLOUR = re.compile(rb"(?:\x1b|\\u001b|\\x1b|\\033|\\e)\[[0-9;?]{0,24}[A-Za-z]")
_LINK = re.compile(rb"\x1b\][0-9]{1,4};[^\x07\x1b]{0,2000}(?:\x07|\x1b\\)")
_ESCAPED = re.compile(rb"\\u([0-9a-fA-F]{4})")
_ESCAPED_BLANK = re.compile(rb"\\[nrt]")


def plain(text: bytes) -> bytes:
    """Without colour codes and with JSON's escapes undone (quotation marks stay escaped)."""
    if b"\x1b" in text or b"\\" in text:
        # A zero byte keeps what is left of an escape apart from the word after it: "\\" and
        # "nvidia" would read as a line end and "vidia".
        text = _COLOUR.sub(b"\x00", text)
        if b"\x1b]" in text:
            text = _LINK.sub(b"", text)
    if b"\\" in text:
        if b"\\u" in text:
            text = _ESCAPED.sub(_character, text)
        text = _ESCAPED_BLANK.sub(b" ", text)
    return text.replace(b"\x00", b"")


def _character(escape: re.Match[bytes]) -> bytes:
    return chr(int(escape[1], 16)).encode("utf-8", errors="ignore")  # halves of a pair: nothing


def squeeze(text: bytes) -> bytes:
    """Lower case, without blanks, quotation marks, backslashes, bars and non-ASCII bytes."""
    return text.translate(_LOWER, _DROPPED)


def shown(text: bytes, width: int = 400) -> str:
    """A line for people: no control characters, at most ``width`` characters."""
    words = plain(text).decode("utf-8", errors="replace")
    words = re.sub(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+", " ", words).strip()
    return words if len(words) <= width else words[: width - 2] + " …"
