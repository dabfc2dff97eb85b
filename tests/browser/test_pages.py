"""Every page, in a real browser with the network cut: whole, quiet, readable, accessible."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.browser


def _documents() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [entry["file"] for part in toc["parts"] for entry in part["chapters"]]
    return [toc["root"], *chapters]


DOCUMENTS = _documents()
NOTEBOOKS = [name for name in DOCUMENTS if name.startswith("notebooks/")]

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


# A theme changes only colours, a width only the layout: each rule is judged where it can differ.
COLOURS = ("color-contrast", "link-in-text-block")
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}
AXE = {
    (1440, "light"): {"runOnly": WCAG},
    (1440, "dark"): {"runOnly": {"type": "rule", "values": COLOURS}},
    (360, "light"): {"runOnly": WCAG, "rules": {rule: {"enabled": False} for rule in COLOURS}},
}


def violations(page, options: dict, *, within: str | None = None) -> list[str]:
    """What axe finds against WCAG 2.1, levels A and AA; ``within`` is a selector."""
    from axe_playwright_python.sync_playwright import Axe

    options = options | {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, context=within, options=options).response["violations"]
    return [
        f"{v['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:200]})"
        for v in found
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_is_whole_and_accessible_in_both_themes_on_wide_and_narrow_screens(
    tab, site, document
):
    for width in (1440, 360):
        tab.page.set_viewport_size({"width": width, "height": 900})
        tab.open(f"{site}/{document}.html")
        assert tab.page.evaluate(WHOLE) == []
        for theme in ("light", "dark"):
            tab.page.emulate_media(color_scheme=theme)
            tab.page.wait_for_function(
                "t => document.documentElement.dataset.theme === t", arg=theme
            )
            where = f"{theme}, {width} pixels"
            assert tab.page.evaluate(WIDER) == [], f"scrolls sideways: {where}"
            assert tab.page.evaluate(CUT) == [], f"cut at the edge: {where}"
            if (width, theme) in AXE:
                assert violations(tab.page, AXE[width, theme]) == [], where
    assert tab.problems == []
    assert tab.requests > 5, "the account of requests is not working"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_works_from_the_disk(disk_tab, built_book, document):
    disk_tab.open((built_book / f"{document}.html").as_uri())
    assert disk_tab.page.evaluate(WHOLE) == []
    assert disk_tab.problems == []


def test_the_network_is_cut_and_a_request_to_it_would_be_seen(tab, site):
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    assert tab.problems == []
    tab.page.evaluate("() => fetch('https://example.org/x.js').catch(() => null)")
    assert any(problem.startswith("external:") for problem in tab.problems)
    assert any(problem.startswith("failed:") for problem in tab.problems)


def test_formulas_are_drawn(tab, site):
    tab.open(f"{site}/book/measuring.html")
    assert tab.page.locator("mjx-container").count() >= 4


def test_the_first_page_leads_into_the_book(tab, site):
    tab.page.goto(f"{site}/index.html")
    tab.page.wait_for_url("**/book/intro.html")
    assert "GPU + Container" in tab.page.title()


def test_every_page_is_reached_from_the_table_of_contents(tab, site):
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    links = tab.page.eval_on_selector_all(
        "#pst-primary-sidebar a.reference", "all => all.map(a => a.href)"
    )
    assert {f"{site}/{name}.html" for name in DOCUMENTS[1:]} <= set(links)
    tab.page.click(f"#pst-primary-sidebar a[href$='{DOCUMENTS[1].split('/')[-1]}.html']")
    tab.page.wait_for_url(f"**/{DOCUMENTS[1]}.html")
    assert tab.problems == []


@pytest.mark.parametrize("term", ["containerd-shim-runc-v2", "roofline"])
@pytest.mark.parametrize("kind", ["served", "from the disk"])
def test_search_finds_a_term(tab, disk_tab, site, built_book, term, kind):
    tab, home = (tab, site) if kind == "served" else (disk_tab, built_book.as_uri())
    tab.open(f"{home}/search.html?q={term}")
    results = tab.page.locator("#search-results ul.search li a")
    results.first.wait_for()
    tab.page.wait_for_function(
        "() => /found|finished/i.test(document.querySelector('.search-summary')?.textContent)"
    )
    found = results.evaluate_all("all => all.map(a => a.href)")
    assert any("/book/glossary.html" in link for link in found)
    assert tab.problems == []


def test_the_search_field_of_a_page_leads_to_the_results(tab, site):
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    tab.page.keyboard.press("Control+k")
    tab.page.keyboard.type("namespace")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url("**/search.html?q=namespace")
    tab.page.locator("#search-results ul.search li a").first.wait_for()
    assert tab.problems == []


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_a_notebook_page_says_of_every_result_whether_it_is_live(tab, site, results, document):
    evidences = results(document.split("/")[1]).result["evidences"]
    tab.open(f"{site}/{document}.html")
    for mode, look in (("live", ".gb-live, .gb-stub"), ("recorded", ".gb-recorded, .gb-stub")):
        shown = tab.page.locator(look).locator(".gb-evidence-name").all_inner_texts()
        asked = {item["record"]["name"] for item in evidences if item["mode"] == mode}
        assert asked <= set(shown), f"{mode} without a banner"


def test_banners_differ_by_more_than_colour(tab, site):
    tab.open(f"{site}/book/intro.html")
    looks = tab.page.eval_on_selector_all(
        ".gb-evidence",
        """all => all.map(e => [e.querySelector("strong").textContent,
                                 getComputedStyle(e).borderTopStyle])""",
    )
    assert len(looks) == len({tuple(look) for look in looks}) > 0


def test_a_page_is_printed_light_and_dark_again_on_the_screen(tab, site):
    tab.page.emulate_media(color_scheme="dark")
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    theme = "() => document.documentElement.dataset.theme"
    assert tab.page.evaluate(theme) == "dark"
    tab.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate(theme) == "light"
    tab.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert tab.page.evaluate(theme) == "dark"


def test_wide_tables_scroll_in_their_own_box_and_can_be_focused(tab, site):
    tab.page.set_viewport_size({"width": 360, "height": 900})
    tab.open(f"{site}/book/this-machine.html")
    boxes = tab.page.locator(".gb-table")
    assert boxes.evaluate_all("all => all.some(e => e.scrollWidth > e.clientWidth)")
    box = boxes.last
    box.focus()
    assert box.evaluate("e => document.activeElement === e")
