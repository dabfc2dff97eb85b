"""A board for the teacher: who is at which page, and what is right there, as the seats report it.

A service of the Hub. A seat sends ``{"page": …, "checks": {"1": true, …}}`` with its own token, and
the Hub says whose that is: nobody reports for somebody else. Only who may use the service, by the
Hub's roles the teachers, sees the board.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.services.auth import HubOAuthCallbackHandler, HubOAuthenticated
from tornado import web

PAGES, LARGEST = 60, 4096  # pages of one learner, bytes of a report: nobody fills the memory
Checks = dict[str, bool]


@dataclass
class Seat:
    """What one learner has reported: the page opened or checked last, and each page's checks."""

    page: str
    at: float
    checks: dict[str, Checks] = field(default_factory=dict)


@dataclass
class Board:
    """The last reports, also in ``board.json``, so that a Hub that starts again has them."""

    file: Path
    people: list[str]
    seats: dict[str, Seat] = field(default_factory=dict)

    @classmethod
    def of(cls, file: Path, people: list[str]) -> Board:
        """The board with what an earlier Hub knew of the same people."""
        known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        return cls(file, people, {name: Seat(**known[name]) for name in people if name in known})

    def report(self, name: str, body: bytes) -> None:
        """Enter what a seat sent. ValueError when it is no report."""
        page, checks = parse(body)
        seat = self.seats.setdefault(name, Seat(page, 0.0))
        seat.page, seat.at = page, time.time()
        if checks and (page in seat.checks or len(seat.checks) < PAGES):
            seat.checks[page] = checks
        part = self.file.with_suffix(".part")
        part.write_text(json.dumps({n: asdict(s) for n, s in self.seats.items()}), "utf-8")
        part.replace(self.file)

    def pages(self) -> list[str]:
        """Every page that somebody has checked."""
        return sorted({page for seat in self.seats.values() for page in seat.checks})


def parse(body: bytes) -> tuple[str, Checks]:
    """The page of a report and whether each exercise is right. ValueError when it is none."""
    report = json.loads(body)
    page, checks = report.get("page"), report.get("checks", {})
    if not (isinstance(page, str) and re.fullmatch(r"[0-9]{2}-[a-z0-9-]{1,60}", page)):
        raise ValueError("page")
    if not all(re.fullmatch(r"[1-9][0-9]?", n) and type(r) is bool for n, r in checks.items()):
        raise ValueError("checks")
    return page, checks


class Report(HubOAuthenticated, web.RequestHandler):
    """Where a seat sends what it has to say. The token in the header is all that counts."""

    def initialize(self, board: Board) -> None:
        self.board = board

    async def post(self) -> None:
        token = self.hub_auth.get_token(self, in_cookie=False)
        asked = self.hub_auth.user_for_token(token, use_cache=False, sync=False) if token else None
        user = await asked if asked else None
        if not user or user["kind"] != "user" or user["name"] not in self.board.people:
            raise web.HTTPError(403)
        try:
            self.board.report(user["name"], self.request.body)
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise web.HTTPError(400) from error
        self.set_status(204)

    def check_xsrf_cookie(self) -> None:
        """No cookie is asked for, so no other site can send one along."""


class Show(HubOAuthenticated, web.RequestHandler):
    """The table; the browser asks again by itself."""

    def initialize(self, board: Board) -> None:
        self.board = board

    @web.authenticated
    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
        self.render("board.html", board=self.board, now=time.time())


async def main() -> None:
    """Serve until the Hub ends this process, or has died: the next one needs the port."""
    hub = os.getppid()
    os.umask(0o077)
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]
    board = Board.of(Path(os.environ["HUB_FOLDER"], "board.json"), os.environ["PEOPLE"].split())
    application = web.Application(
        [
            (prefix, Show, {"board": board}),
            (f"{prefix}report", Report, {"board": board}),
            (f"{prefix}oauth_callback", HubOAuthCallbackHandler),
        ],
        cookie_secret=os.urandom(32),
        template_path=str(Path(__file__).parent / "templates"),
    )
    here = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    application.listen(
        here.port, here.hostname, max_buffer_size=16 * 1024, idle_connection_timeout=60
    )
    while os.getppid() == hub:
        await asyncio.sleep(1)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main())
