"""Every page, in a real browser with the network cut: whole, quiet, readable, accessible."""

import pytest

from tests.browser.conftest import DOCUMENTS, NOTEBOOKS
from tests.browser.survey import THEMES, WHOLE, WIDTHS, pictures_of, weigh

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_is_whole_and_accessible_in_both_themes_on_wide_and_narrow_screens(seen, document):
    assert seen(document).problems == []
    assert seen(document).requests > 5, "the account of requests is not working"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_moves_while_a_page_loads(seen, document):
    assert set(seen(document).measures) == set(WIDTHS)
    for width, measures in seen(document).measures.items():
        assert measures["shift"] < 0.1, f"{width} pixels"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_picture_of_a_page_in_every_look_is_kept(seen, pictures, document):
    assert seen(document).measures
    kept = pictures_of(pictures, document)
    assert len(kept) == len(WIDTHS) * len(THEMES) == 4
    assert all(picture.stat().st_size > 5000 for picture in kept)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_without_its_figures_is_lighter_than_300_kb(built_book, document):
    assert weigh(built_book / f"{document}.html") < 300_000


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_page_works_from_the_disk(disk_tab, built_book, document):
    disk_tab.open((built_book / f"{document}.html").as_uri())
    assert disk_tab.page.evaluate(WHOLE) == []
    assert disk_tab.problems == []


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_a_lesson_is_no_longer_than_twelve_screens(tab, site, document):
    tab.page.set_viewport_size({"width": 1440, "height": 900})
    tab.open(f"{site}/{document}.html")
    height = tab.page.evaluate("document.documentElement.scrollHeight")
    print(f"{document}: {height / 900:.1f} screens")
    assert height <= 12 * 900


@pytest.mark.parametrize("document", NOTEBOOKS)
def test_a_library_name_in_a_cell_leads_to_the_line_of_its_source(tab, site, document):
    tab.open(f"{site}/{document}.html")
    tab.page.evaluate("document.querySelectorAll('details').forEach(fold => (fold.open = true))")
    links = tab.page.locator("a.gb-source:visible")
    assert links.count() >= 1, "the set-up at least"
    target = links.first.get_attribute("href")
    links.first.click()
    tab.page.wait_for_url(f"**/{target.removeprefix('../')}")
    assert tab.page.locator(f"[id='{target.partition('#')[2]}']").count() == 1
    assert tab.problems == []


def test_the_network_is_cut_and_a_request_to_it_would_be_seen(tab, site):
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    assert tab.problems == []
    tab.page.evaluate("() => fetch('https://example.org/x.js').catch(() => null)")
    assert any(problem.startswith("external:") for problem in tab.problems)
    assert any(problem.startswith("failed:") for problem in tab.problems)


def test_formulas_are_drawn(tab, site):
    tab.open(f"{site}/book/gpu-primer.html")
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
        shown = tab.page.locator(look).locator(".gb-evidence-name").all_text_contents()
        names = {item["record"]["name"] for item in evidences if item["mode"] == mode}
        names = {name for name in names if not name.startswith("exercise-")}  # their fold says it
        assert names <= set(shown), f"{mode} without a chip"


def test_banners_differ_by_more_than_colour(tab, site):
    tab.open(f"{site}/book/intro.html")
    looks = tab.page.eval_on_selector_all(
        ".gb-evidence",
        """all => all.map(e => [e.querySelector("strong").textContent,
                                 getComputedStyle(e).borderTopStyle])""",
    )
    borders = dict(looks)
    assert len(borders) == len({tuple(look) for look in looks}) > 0, "one border a word"
    assert len(set(borders.values())) == len(borders), "and another for each"


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
