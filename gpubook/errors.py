"""Errors for people: each message says what happened, why, and what to do next.

The commands print the message on one line and exit; a traceback is for our own mistakes only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable


class BookError(Exception):
    """Something the reader can act on. The commands exit with ``exit_code``."""

    exit_code = 1


class UsageError(BookError):
    """The command or a parameter was used wrongly (exit code 2)."""

    exit_code = 2


class MissingCapability(BookError):
    """A capability that was required (`REQUIRE`) is not on this machine."""


def exit_code(name: str, command: Callable[[], int]) -> int:
    """Run ``command`` as the command ``name`` does: its exit code, or that of what stopped it.

    A BookError is one line on standard error and its own code; Ctrl-C is 130, and a reader that
    closed the pipe (``| head``) is 141, as shells report for these two signals.
    """
    try:
        return command()
    except BookError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print(f"{name}: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Python would write what is left once more at its end, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
