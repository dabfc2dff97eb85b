"""Who may log in to a class's Hub: passwords, and one-time codes on a list to print.

    hub codes            prints the list of the learners who have not logged in yet
    hub password NAME    sets a password (asked for, or a line of standard input)
    hub reset NAME       gives a learner a new code instead of a forgotten password

``accounts.json`` in the Hub's folder maps a name to its ``code`` until the first login, and to the
hash of its ``password`` from then on. Only the standard library is used: the Hub's configuration
imports this, and so do tests that have no Hub.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import hashlib
import hmac
import json
import os
import re
import secrets
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SHORTEST, LONGEST = 10, 200  # characters of a password
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another on paper
TRIES_HERE, TRIES = 5, 50  # wrong tries for one name: from one address, from all together …
WINDOW = 60.0  # … in so many seconds
Accounts = dict[str, dict[str, str]]


class AccountError(Exception):
    """One line for the person at the login form or at the shell."""


def check_name(name: str) -> None:
    """AccountError unless containers and volumes can have this name, too."""
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", name):
        raise AccountError(
            f"a name has small letters, digits and -, and begins with a letter: not {name!r}"
        )


def listed(variable: str) -> list[str]:
    """The names in an environment variable, separated by blanks. AccountError for a bad one."""
    names = os.environ.get(variable, "").split()
    for name in names:
        check_name(name)
    return names


@contextlib.contextmanager
def accounts_in(folder: Path) -> Iterator[Accounts]:
    """The accounts, for one user at a time; what has changed in them is kept."""
    path = folder / "accounts.json"
    with (folder / "accounts.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = path.read_text(encoding="utf-8") if path.exists() else "{}"
        accounts = json.loads(before)
        yield accounts
        if accounts != json.loads(before):
            part = path.with_suffix(".part")
            with os.fdopen(
                os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
            ) as file:
                json.dump(accounts, file, indent=1)
            part.replace(path)


# ------------------------------------------------------------------------- passwords and codes


def new_code() -> str:
    """A code to type from paper: 59 bits, so nobody guesses it."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(3))


def hashed(password: str, salt: str = "") -> str:
    """``SALT$HASH`` by scrypt, which knows no longest password."""
    salt = salt or secrets.token_hex(16)
    digest = hashlib.scrypt(password.encode(), salt=bytes.fromhex(salt), n=2**14, r=8, p=1)
    return f"{salt}${digest.hex()}"


NOBODY = {"password": hashed(secrets.token_hex())}  # a name that is not listed takes as long


def is_right(account: dict[str, str], typed: str) -> bool:
    """Whether this is the account's password, or its code with or without the hyphens."""
    if "code" in account:
        plain = re.sub(r"[\s-]", "", typed).lower()
        return hmac.compare_digest(account["code"].replace("-", "").encode(), plain.encode())
    return hmac.compare_digest(
        account["password"], hashed(typed, account["password"].split("$")[0])
    )


def check_password(name: str, password: str) -> None:
    """AccountError unless it can be somebody's password."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise AccountError(f"A password has {SHORTEST} to {LONGEST} characters.")
    if name in password.lower() or len(set(password)) < 4:
        raise AccountError("This password is easy to guess. Choose another one.")


def log_in(folder: Path, name: str, typed: str, new: str) -> bool:
    """Whether the password or the code is right; a code is used up by the ``new`` password.

    AccountError when it is right but the new password is missing or can't be one.
    """
    if len(typed) > LONGEST:
        raise AccountError(f"A password has at most {LONGEST} characters.")
    with accounts_in(folder) as accounts:
        account = accounts.get(name, NOBODY)
        if not is_right(account, typed):
            return False
        if new:
            check_password(name, new)
            accounts[name] = {"password": hashed(new)}
        elif "code" in account:
            raise AccountError("The code is right. Type it again, and a new password below it.")
    return True


@dataclass
class Throttle:
    """The tries of the last minute that were not right, or are not yet known to be."""

    tries: list[tuple[float, str, str]] = field(default_factory=list)

    def take(self, name: str, address: str, now: float) -> tuple[float, str, str] | None:
        """A try to hand in to ``right``, or None: there were too many."""
        self.tries = [one for one in self.tries if one[0] > now - WINDOW]
        of_name = [one for one in self.tries if one[1] == name]
        here = sum(one[2] == address for one in of_name)
        if here >= TRIES_HERE or len(of_name) >= TRIES:
            return None
        self.tries.append((now, name, address))
        return self.tries[-1]

    def right(self, one: tuple[float, str, str]) -> None:
        """This try does not count: nothing was guessed."""
        with contextlib.suppress(ValueError):
            self.tries.remove(one)


# --------------------------------------------------------------------------------- the commands


def ask_password(name: str) -> str:
    """From the terminal, twice; from a pipe, one line. AccountError when it can't be one."""
    if sys.stdin.isatty():
        password = getpass.getpass(f"Password for {name}: ")
        if getpass.getpass("The same again: ") != password:
            raise AccountError("the two are not the same")
    else:
        password = sys.stdin.readline().rstrip("\n")
    check_password(name, password)
    return password


def prepare(folder: Path) -> None:
    """Before the Hub listens: every teacher has a password, every new learner a code."""
    learners, teachers = listed("HUB_LEARNERS"), listed("HUB_TEACHERS")
    with accounts_in(folder) as accounts:
        for name in accounts.keys() - {*learners, *teachers}:
            del accounts[name]
        for name in teachers:
            if "password" not in accounts.get(name, {}):
                if not sys.stdin.isatty():
                    raise AccountError(f"no password yet: docker/jupyterhub/hub password {name}")
                accounts[name] = {"password": hashed(ask_password(name))}
        for name in learners:
            accounts.setdefault(name, {"code": new_code()})


def renew(folder: Path, name: str, account: dict[str, str]) -> None:
    """Another password or code. AccountError for a bad name."""
    check_name(name)
    with accounts_in(folder) as accounts:
        accounts[name] = account


SLIP = """{address}
  name  {name}
  code  {code}    (works once, with a password of your choice)
  SHA-256 of the certificate:
  {fingerprint}
"""


def sheet(folder: Path, address: str, fingerprint: str) -> str:
    """The list to print: a slip for each learner who has not logged in yet."""
    with accounts_in(folder) as accounts:
        slips = [
            SLIP.format(address=address, name=name, code=account["code"], fingerprint=fingerprint)
            for name, account in accounts.items()
            if "code" in account
        ]
    return ("- " * 40 + "\n").join(slips) or "every learner has a password\n"


def main(arguments: Sequence[str]) -> int:
    """``accounts.py FOLDER COMMAND …``; returns the exit code."""
    folder, command, *rest = Path(arguments[0]), *arguments[1:]
    try:
        if command == "prepare":
            prepare(folder)
        elif command == "codes":
            sys.stdout.write(sheet(folder, *rest))
        elif command == "password":
            renew(folder, rest[0], {"password": hashed(ask_password(rest[0]))})
        elif command == "reset":
            renew(folder, rest[0], {"code": new_code()})
    except AccountError as error:
        print(f"hub: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
