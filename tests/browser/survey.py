"""Every page in every look (light and dark, telephone and desk), seen once by two browsers.

What a page does wrong is kept for the tests to judge; what it looks like, as pictures in
``_build/screenshots`` for people; what it weighs and how fast it is, in ``measures.json`` there.
"""

from __future__ import annotations

import json
import queue
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

WIDTHS = (1440, 360)
THEMES = ("light", "dark")
_BROWSERS = 2
_TALLEST = 16_000
"""Pixels: browsers draw no taller picture."""
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}

SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shifts.push(entry.value);
}).observe({ type: "layout-shift", buffered: true });
"""

WHOLE = """() => {
  const wrong = [];
  for (const image of document.images) {
    if (!image.complete || !image.naturalWidth) wrong.push("image " + image.src);
  }
  for (const maths of document.querySelectorAll(".math")) {
    if (!maths.querySelector("mjx-container")) wrong.push("formula " + maths.textContent);
  }
  for (const error of document.querySelectorAll("mjx-merror")) {
    wrong.push("formula error " + error.textContent);
  }
  for (const font of document.fonts) {
    if (font.status === "error") wrong.push("font " + font.family);
  }
  for (const drawing of document.querySelectorAll(".gb-drawing svg, .gb-figure svg")) {
    if (!drawing.checkVisibility()) continue;
    if (drawing.getBoundingClientRect().height < 20) wrong.push("flat drawing");
    if (!drawing.getAttribute("aria-label")) wrong.push("drawing without a text");
  }
  return wrong;
}"""

WIDER = """() => {
  const room = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= room) return [];
  const wide = [...document.querySelectorAll("main *")]
    .filter(e => e.getBoundingClientRect().right > room + 1)
    .slice(0, 5)
    .map(e => e.tagName + "." + e.className + " to " + e.getBoundingClientRect().right);
  return ["page of " + document.documentElement.scrollWidth + " pixels", ...wide];
}"""

# Inline code that reaches beyond the screen and is in no box that scrolls.
CUT = """() => [...document.querySelectorAll("article code")]
  .filter(e => !e.closest("pre, .pst-scrollable-table-container, .gb-table, .gb-terminal"))
  .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth)
  .map(e => e.textContent)"""

MEASURES = """() => {
  const [load] = performance.getEntriesByType("navigation");
  return {
    interactive_s: load.domContentLoadedEventEnd / 1000,
    loaded_s: load.loadEventEnd / 1000,
    shift: shifts.reduce((sum, value) => sum + value, 0),
  };
}"""


@dataclass
class Seen:
    """One page: what was wrong in any look, and its measures at each width."""

    problems: list[str] = field(default_factory=list)
    measures: dict[int, dict] = field(default_factory=dict)
    requests: int = 0


def violations(page, *, within: str | None = None) -> list[str]:
    """What axe finds against WCAG 2.1, levels A and AA; ``within`` is a selector."""
    from axe_playwright_python.sync_playwright import Axe

    options = {"runOnly": WCAG, "resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, context=within, options=options).response["violations"]
    return [
        f"{v['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:200]})"
        for v in found
        for node in v["nodes"]
    ]


def _look(tab, url: str, width: int, name: str, pictures: Path) -> tuple[list[str], dict]:
    """One page at one width, in both themes: what is wrong, and its measures."""
    wrong: list[str] = []
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.open(url)
    measures = tab.page.evaluate(MEASURES)
    wrong += tab.page.evaluate(WHOLE)
    for theme in THEMES:
        tab.page.emulate_media(color_scheme=theme)
        tab.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
        where = f"{theme}, {width} pixels"
        wrong += [f"scrolls sideways ({where}): {w}" for w in tab.page.evaluate(WIDER)]
        wrong += [f"cut at the edge ({where}): {w}" for w in tab.page.evaluate(CUT)]
        wrong += [f"{where}: {w}" for w in violations(tab.page)]
        height = tab.page.evaluate("() => document.documentElement.scrollHeight")
        tab.page.screenshot(
            path=pictures / f"{name}-{width}-{theme}.jpg",
            full_page=True,
            clip={"x": 0, "y": 0, "width": width, "height": min(height, _TALLEST)},
            type="jpeg",
            quality=50,
        )
    return wrong, measures


def _work(
    launch, todo: queue.SimpleQueue, site: str, pictures: Path, seen: dict[str, Seen]
) -> None:
    from playwright.sync_api import sync_playwright

    from tests.browser.conftest import Tab

    with sync_playwright() as playwright:
        context = launch(playwright).new_context(reduced_motion="reduce", color_scheme="light")
        context.add_init_script(SHIFTS)
        while True:
            try:
                document = todo.get_nowait()
            except queue.Empty:
                break
            one = seen[document]
            try:
                for width in WIDTHS:
                    page = context.new_page()
                    tab = Tab(page, site)
                    name = document.replace("/", "-")
                    wrong, one.measures[width] = _look(
                        tab, f"{site}/{document}.html", width, name, pictures
                    )
                    one.problems += [*wrong, *tab.problems]
                    one.requests += tab.requests
                    page.close()
            except Exception as error:  # noqa: BLE001 - a test fails with it
                one.problems.append(f"the survey stopped: {error}")


def survey(launch, site: str, documents: list[str], book: Path, pictures: Path) -> dict[str, Seen]:
    """See all pages, as many at once as there are browsers. ``launch`` starts a browser."""
    pictures.mkdir(parents=True, exist_ok=True)
    for old in pictures.glob("*.jpg"):
        old.unlink()
    seen = {document: Seen() for document in documents}
    todo: queue.SimpleQueue = queue.SimpleQueue()
    heavy = sorted(documents, key=lambda d: (book / f"{d}.html").stat().st_size, reverse=True)
    for document in heavy:
        todo.put(document)
    workers = [
        threading.Thread(target=_work, args=(launch, todo, site, pictures, seen))
        for _ in range(_BROWSERS)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    measures = {
        document: {"bytes": weigh(book / f"{document}.html")} | {str(k): v for k, v in m.items()}
        for document, m in ((d, one.measures) for d, one in seen.items())
    }
    text = json.dumps(measures, indent=1, sort_keys=True)
    (pictures / "measures.json").write_text(text + "\n", encoding="utf-8")
    return seen


def weigh(page: Path) -> int:
    """Bytes of a page's HTML without its figures."""
    text = page.read_text(encoding="utf-8")
    return len(re.sub(r"<svg\b.*?</svg>", "", text, flags=re.DOTALL).encode())
