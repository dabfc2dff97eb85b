"""A real Chromium with the network cut, and the built book served from this machine."""

import functools
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpubook.book.pdf import chapters
from tests.browser import survey
from tests.chromium import started

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [document for _, documents in chapters(ROOT) for document in documents]
NOTEBOOKS = [name for name in DOCUMENTS if name.startswith("notebooks/")]

# Chromium's own calls home are off, and no name but the local address can be looked up.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@pytest.fixture(scope="session")
def chromium(built_book):
    """Chromium, started once in each process of the tests; skips where there is none."""
    with started(FLAGS) as browser:
        yield browser


@pytest.fixture(scope="module")
def alone(chromium):
    """A function that opens markup by itself, on a telephone; any request would be a problem."""
    tab = chromium.new_page(viewport={"width": 360, "height": 740})
    problems = []
    tab.on("pageerror", lambda error: problems.append(str(error)))
    tab.on("request", lambda request: problems.append(request.url))

    def opened(markup: str):
        viewport = "<meta name=viewport content='width=device-width'>"
        tab.set_content(f"<!DOCTYPE html><html lang=en>{viewport}<body>{markup}</body></html>")
        return tab

    yield opened
    tab.close()
    assert problems == []


@pytest.fixture(scope="session")
def pictures(built_book) -> Path:
    """The folder of the pages' pictures."""
    return built_book.parent / "screenshots"


@pytest.fixture(scope="session")
def seen(chromium, site, built_book, pictures):
    """A function from a page's name to what a survey of it in every look has seen."""
    context = chromium.new_context(reduced_motion="reduce", color_scheme="light")
    context.add_init_script(survey.SHIFTS)

    @functools.cache
    def once(document: str) -> survey.Seen:
        return survey.survey(
            lambda: Tab(context.new_page(), site), site, document, built_book, pictures
        )

    yield once
    context.close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="session")
def site(built_book: Path) -> Iterator[str]:
    """The address of the built book, without a slash at its end."""
    handler = functools.partial(_Quiet, directory=str(built_book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Tab:
    """A browser's page that keeps account of all that went wrong in it."""

    def __init__(self, page, home: str) -> None:
        self.page = page
        self.problems: list[str] = []
        self.requests = 0
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.problems.append(f"uncaught: {error}"))
        page.on("requestfailed", lambda r: self.problems.append(f"failed: {r.url}"))
        page.on("response", self._response)
        page.on("request", lambda request: self._request(request, home))

    def _console(self, message) -> None:
        if message.type == "error":
            self.problems.append(f"console: {message.text}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.problems.append(f"{response.status}: {response.url}")

    def _request(self, request, home: str) -> None:
        self.requests += 1
        if not request.url.startswith((home, "data:", "blob:")):
            self.problems.append(f"external: {request.url}")

    def open(self, url: str) -> None:
        """Load a page and wait until its formulas and fonts are there, or 20 s have passed."""
        self.page.goto(url)
        self.page.evaluate(
            """() => Promise.race([
                 (async () => {
                   await window.MathJax?.startup?.promise;
                   await document.fonts.ready;
                 })(),
                 new Promise(done => setTimeout(done, 20000)),
               ])"""
        )


@pytest.fixture(scope="session")
def window(chromium):
    """One browser window for all tabs, so that what the pages share is loaded once."""
    context = chromium.new_context(reduced_motion="reduce")
    yield context
    context.close()


def _page(window):
    page = window.new_page()
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")
    return page


@pytest.fixture
def tab(window, site) -> Iterator[Tab]:
    """A new tab for the served book, wide and light."""
    page = _page(window)
    yield Tab(page, site)
    page.close()


@pytest.fixture
def disk_tab(window, built_book) -> Iterator[Tab]:
    """A new tab for the book as it lies on the disk."""
    page = _page(window)
    yield Tab(page, built_book.as_uri())
    page.close()


def pytest_terminal_summary(terminalreporter):
    """Say what the pages weigh and how soon they can be used; nothing is judged by seconds."""
    folder = ROOT / "_build" / "screenshots"
    kept = {document: survey.measures_of(folder, document) for document in DOCUMENTS}
    measures = {d: json.loads(f.read_text(encoding="utf-8")) for d, f in kept.items() if f.exists()}
    if not measures or terminalreporter.config.option.collectonly:
        return
    heaviest = max(measures, key=lambda d: measures[d]["bytes"])
    wide = {d: m[str(survey.WIDTHS[0])] for d, m in measures.items()}
    slowest = max(wide, key=lambda d: wide[d]["interactive_s"])
    terminalreporter.section("what the pages weigh")
    terminalreporter.write_line(
        f"heaviest without figures: {heaviest}, {measures[heaviest]['bytes'] / 1000:.0f} kB; "
        f"last to be interactive: {slowest}, {wide[slowest]['interactive_s']:.2f} s; "
        f"largest shift: {max(m['shift'] for m in wide.values()):.3f}"
    )
