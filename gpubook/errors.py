"""Errors for people: each message says what happened, why, and what to do next.

Every command runs through :func:`exit_code`, the one place where whatever can go wrong in
reading, writing, printing and decoding becomes one line and a code. A traceback is for our own
mistakes only. Imports no room; every room may import it.
"""

from __future__ import annotations

import argparse
import errno
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import Any


class BookError(Exception):
    """Something the reader can act on. The commands exit with ``exit_code``."""

    exit_code = 1


class UsageError(BookError):
    """The command or a parameter was used wrongly (exit code 2)."""

    exit_code = 2


class MissingCapability(BookError):
    """A capability that was required (`REQUIRE`) is not on this machine."""


class _OutputLost(BookError):
    """What was printed did not arrive."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"cannot print: {error.strerror or error}")
        # 141 is what shells report of a command whose reader (`| head`) has closed the pipe.
        self.exit_code = 141 if isinstance(error, BrokenPipeError) else 1


class Parser(argparse.ArgumentParser):
    """argparse, with its errors as one line that says what to do."""

    def error(self, message: str) -> None:
        raise UsageError(f"{message} (see `{self.prog} --help`)")


def number(kind: type, low: float, high: float = math.inf) -> Callable[[str], Any]:
    """What argparse takes for an option's ``type``: an int or a float within these limits."""

    def parse(text: str) -> Any:
        value = kind(text)
        if not low <= value <= high:
            limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise argparse.ArgumentTypeError(f"must be {limits}, not {text}")
        return value

    parse.__name__ = "number" if kind is float else "whole number"
    return parse


def exit_code(name: str, command: Callable[[], int]) -> int:
    """Run ``command`` as the command ``name`` does: its exit code, or that of what stopped it.

    A BookError is one line on standard error and its own code; a file, a disk, a text or the
    memory that fails is one line and 1; Ctrl-C is 130, and a reader that closed the pipe
    (``| head``) is 141 and silence, as shells report for these two signals.
    """
    try:
        with _streams():
            try:
                return command()
            finally:
                sys.stdout.flush()
    except (BookError, KeyboardInterrupt, OSError, UnicodeError, RecursionError, MemoryError) as e:
        code = getattr(e, "exit_code", 130 if isinstance(e, KeyboardInterrupt) else 1)
        if isinstance(e, _OutputLost):
            with suppress(OSError, ValueError):  # or Python writes what is left, and complains
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if code != 141 and sys.stderr is not None:
            with suppress(OSError):
                print(f"{name}: {one_line(_reason(e))}", file=_Plain(sys.stderr), flush=True)
        return code


_HINTS = {
    errno.ENOSPC: "free some disk (`df -h`)",
    errno.EDQUOT: "free some of your quota",
    errno.EROFS: "choose a folder that can be written to",
    errno.EACCES: "check the folder and who owns it",
    errno.EPERM: "check the folder and who owns it",
}


def _reason(error: BaseException) -> str:
    match error:
        case KeyboardInterrupt():
            return "stopped"
        case OSError():
            what = error.strerror or str(error) or type(error).__name__
            where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
            hint = _HINTS.get(error.errno or 0)
            return f"{where}{what}" + (f"; {hint}" if hint else "")
        case UnicodeError():
            return f"a text cannot be read or written: {error}"
        case RecursionError():
            return "what was read is nested too deep"
        case MemoryError():
            return "there is not enough memory for this; close other programs, or give less"
    return str(error)


def one_line(text: str) -> str:
    """``text`` on one line, without characters that could rewrite a terminal."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


@contextmanager
def _streams() -> Iterator[None]:
    """The standard streams, made safe: open, and able to print any text.

    A closed one is replaced, or the next file that is opened would take its number.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        raise BookError("standard output is closed: there is no place to print to")
    error = _Plain(sys.stderr) if sys.stderr else open(os.devnull, "w")  # noqa: PTH123, SIM115
    with redirect_stdout(_Plain(sys.stdout)), redirect_stderr(error), warnings.catch_warnings():
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # a library's word to its callers, not to readers
        yield


_CONTROL = {n: f"\\x{n:02x}" for n in (*range(32), *range(127, 160)) if chr(n) not in "\n\t"}


class _Plain:
    """A text stream that shows control characters, and what it cannot encode, as escapes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        encoding = self._stream.encoding or "utf-8"
        plain = text.translate(_CONTROL).encode(encoding, "backslashreplace").decode(encoding)
        with _lost_as_error():
            return self._stream.write(plain)

    def flush(self) -> None:
        with _lost_as_error():
            self._stream.flush()


@contextmanager
def _lost_as_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _OutputLost(error) from None
