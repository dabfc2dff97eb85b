"""Errors for people: each message says what happened, why, and what to do next.

The commands print the message on one line and exit; a traceback is for our own mistakes only.
"""


class BookError(Exception):
    """Something the reader can act on. The commands exit with ``exit_code``."""

    exit_code = 1


class UsageError(BookError):
    """The command or a parameter was used wrongly (exit code 2)."""

    exit_code = 2


class MissingCapability(BookError):
    """A capability that was required (`REQUIRE`) is not on this machine."""
