"""What readers do with a page: choose a machine, copy, unfold, search, print, all by keyboard."""

import json

import pytest

from gpubook.book.sphinx_page import redirects
from tests.browser.conftest import DOCUMENTS, NOTEBOOKS
from tests.browser.survey import THEMES, contrasts, script
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

ENGINE = NOTEBOOKS[0]
"""A page with results of two recorded machines at least, whatever is here."""

PRODUCT = NOTEBOOKS[3]
"""A page with several such results."""

PANES = script("panes")


def _panes(page) -> list[dict]:
    found = page.evaluate(PANES)
    assert found, "no machine tabs on this page"
    assert all(group["shown"] == [group["checked"]] for group in found)
    assert all(said > 0 for group in found for said in group["said"]), "a pane without a banner"
    return found


# Machine tabs


def test_choosing_a_machine_with_the_keyboard_changes_every_group_and_is_remembered(tab, site):
    tab.open(f"{site}/{PRODUCT}.html")
    before = _panes(tab.page)
    # A machine that two groups have, and neither shows.
    hidden = [set(group["names"]) - {group["checked"]} for group in before]
    at, chosen = next(
        (n, name)
        for n, names in enumerate(hidden)
        for name in sorted(names)
        if sum(name in other for other in hidden) > 1
    )
    names = before[at]["names"]
    groups = tab.page.locator(".gb-machines")
    groups.nth(at).locator("> fieldset input:checked").focus()
    for _ in range((names.index(chosen) - names.index(before[at]["checked"])) % len(names)):
        tab.page.keyboard.press("ArrowRight")
    after = _panes(tab.page)
    assert after != before
    assert all(group["checked"] == chosen for group in after if chosen in group["names"])
    place = tab.page.evaluate("() => document.activeElement.getBoundingClientRect().top")
    assert 0 <= place <= 900, "what was chosen left the screen"

    tab.open(f"{site}/{PRODUCT}.html")
    again = _panes(tab.page)
    assert all(group["checked"] == chosen for group in again if chosen in group["names"])
    tab.page.evaluate("() => localStorage.clear()")
    assert tab.problems == []


def test_a_pane_says_in_its_tab_and_in_its_banner_whether_it_is_live(tab, site):
    tab.open(f"{site}/{ENGINE}.html")
    groups = tab.page.locator(".gb-machines")
    for n in range(groups.count()):
        group = groups.nth(n)
        for label in group.locator("> fieldset label").all():
            label.click()
            pane = group.locator("> .gb-pane").locator("visible=true")
            value = label.locator("input").get_attribute("value")
            mode = label.locator("small").inner_text()
            words = pane.locator(".gb-evidence strong").all_inner_texts()
            assert words, value
            wanted = "RECORDED" if mode.startswith("recorded") else mode.upper()
            assert set(words) == {wanted}
    tab.page.evaluate("() => localStorage.clear()")


@pytest.fixture
def plain(chromium, site):
    """A page of a browser in which scripts are off."""
    context = chromium.new_context(java_script_enabled=False, reduced_motion="reduce")
    yield context.new_page()
    context.close()


def test_without_scripts_tabs_and_folds_still_work_and_nothing_is_offered_that_does_not(
    plain, site
):
    plain.goto(f"{site}/{ENGINE}.html")
    group = plain.locator(".gb-machines").first
    panes = group.locator("> .gb-pane")
    assert [pane.is_visible() for pane in panes.all()].count(True) == 1
    group.locator("> fieldset label").nth(1).click()
    assert [pane.is_visible() for pane in panes.all()][1]
    solution = plain.locator("details.admonition").first
    assert not solution.locator("> *").nth(1).is_visible()
    solution.locator("> summary").click()
    assert solution.locator("> *").nth(1).is_visible()
    assert plain.locator(".copybtn").count() == 0


# Copying


@pytest.fixture
def clipboard(tab, window, site):
    """A function that clicks a copy button and returns what the clipboard then has."""
    window.grant_permissions(["clipboard-read", "clipboard-write"], origin=site)

    def copied(button) -> str:
        tab.page.evaluate("() => navigator.clipboard.writeText('nothing was copied')")
        button.focus()
        tab.page.keyboard.press("Enter")
        done = "b => b.classList.contains('success')"
        tab.page.wait_for_function(done, arg=button.element_handle())
        return tab.page.evaluate("() => navigator.clipboard.readText()")

    yield copied
    window.clear_permissions()


def test_a_command_is_copied_without_its_prompt_and_its_output(tab, site, clipboard, results):
    tab.open(f"{site}/{ENGINE}.html")
    evidence = results(ENGINE.split("/")[1]).evidence("docker-info")
    (command,) = [step["command"] for step in evidence.data["steps"]]
    step = tab.page.locator(".gb-step:visible", has_text=command).first
    assert "Server" in step.inner_text()
    assert clipboard(step.locator(".copybtn")) == command


def test_of_a_transcript_only_what_was_typed_is_copied(tab, site, clipboard):
    tab.open(f"{site}/{ENGINE}.html")
    block = tab.page.locator("div.highlight:visible:has(.copybtn)").first
    typed = "$ docker run \\\n    --rm x\nan output\n\n$ docker ps\n"
    block.locator("pre").evaluate("(pre, text) => { pre.textContent = text; }", typed)
    assert clipboard(block.locator(".copybtn")) == "docker run \\\n    --rm x\ndocker ps"


def test_code_is_copied_as_it_is(tab, site, clipboard):
    tab.open(f"{site}/{ENGINE}.html")
    notebook = json.loads((ROOT / f"{ENGINE}.ipynb").read_text(encoding="utf-8"))
    source = next("".join(c["source"]) for c in notebook["cells"] if c["id"] == "parameters")
    tab.page.locator("details.hide", has_text="Parameters of this page").first.click()
    block = tab.page.locator(".cell_input div.highlight").first
    assert clipboard(block.locator(".copybtn")) == source


# Folded solutions


def test_solutions_are_folded_open_with_the_keyboard_and_are_open_on_paper(tab, site):
    tab.open(f"{site}/{ENGINE}.html")
    boxes = tab.page.locator("main details")
    assert boxes.count() > 2
    box = tab.page.locator("details.admonition").first
    inside = box.locator("> *").nth(1)
    assert not inside.is_visible()
    box.locator("> summary").focus()
    tab.page.keyboard.press("Enter")
    assert inside.is_visible()
    tab.page.keyboard.press("Enter")
    assert not inside.is_visible()
    is_open = "all => all.map(box => box.open)"
    before = boxes.evaluate_all(is_open)
    tab.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    assert all(boxes.evaluate_all(is_open))
    tab.page.evaluate("() => dispatchEvent(new Event('afterprint'))")
    assert boxes.evaluate_all(is_open) == before


# Searching


@pytest.mark.parametrize("kind", ["served", "from the disk"])
@pytest.mark.parametrize(
    ("message", "rule"),
    [
        ("could not select device driver", "doctor-no-toolkit"),
        ("Failed to initialize NVML", "doctor-nvml-lost"),
        ('docker: Error response from daemon: could not select device driver "" with', None),
    ],
)
def test_an_error_message_is_found(tab, disk_tab, site, built_book, kind, message, rule):
    tab, home = (tab, site) if kind == "served" else (disk_tab, built_book.as_uri())
    tab.open(f"{home}/search.html?q={message.replace(' ', '+')}")
    results = tab.page.locator("#search-results ul.search li a")
    results.first.wait_for()
    links = results.evaluate_all("all => all.map(a => a.href)")
    # A page that shows the error itself may come first.
    assert any("/book/troubleshooting.html" in link for link in links[:5]), links[:5]
    if rule:
        leading = [link.partition("#")[2] for link in links if "#doctor-" in link]
        assert rule in leading, leading
    assert tab.problems == []


# Paper


@pytest.mark.parametrize("document", [ENGINE, "notebooks/08-matmul", "book/troubleshooting"])
def test_on_paper_there_is_no_navigation_and_nothing_is_cut(tab, site, document):
    tab.page.set_viewport_size({"width": 680, "height": 960})  # an A4 page's text
    tab.open(f"{site}/{document}.html")
    tab.page.emulate_media(media="print")
    tab.page.evaluate("() => dispatchEvent(new Event('beforeprint'))")
    for away in (".bd-sidebar-primary", ".bd-sidebar-secondary", ".prev-next-footer", ".copybtn"):
        assert not any(item.is_visible() for item in tab.page.locator(away).all()), away
    assert tab.page.locator("article h1").first.is_visible()
    cut = tab.page.evaluate(
        """() => [...document.querySelectorAll("article svg, article table, article pre")]
          .filter(e => e.checkVisibility() && !e.closest("svg svg"))
          .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1
                       || e.scrollWidth > e.clientWidth + 1 && e.tagName === "PRE")
          .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert cut == []
    for pane in tab.page.locator(".gb-machines > .gb-pane").all():
        assert pane.locator("> .gb-pane-title").is_visible(), "every machine's pane is printed"
    tab.page.emulate_media(media="screen")


# The keyboard


WALK = script("walk")


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_keyboard_reaches_everything_and_shows_where_it_is(tab, site, document):
    tab.open(f"{site}/{document}.html")
    number = tab.page.evaluate(WALK)
    assert number > 20
    for _ in range(number + 10):
        tab.page.keyboard.press("Tab")
    missed = tab.page.evaluate(
        "() => walk.all.filter(e => !walk.reached.has(e)).map(e => e.outerHTML.slice(0, 150))"
    )
    assert missed == []
    assert tab.page.evaluate("() => walk.unseen") == [], "no sign of the focus"


def test_on_a_narrow_screen_the_keyboard_opens_and_leaves_the_table_of_contents(tab, site):
    tab.page.set_viewport_size({"width": 360, "height": 900})
    tab.open(f"{site}/{DOCUMENTS[0]}.html")
    toggle = tab.page.locator("button.primary-toggle").first
    toggle.focus()
    tab.page.keyboard.press("Enter")
    link = tab.page.locator("dialog[open] a.reference").first
    link.wait_for()
    tab.page.keyboard.press("Escape")
    link.wait_for(state="hidden")
    assert toggle.evaluate("e => document.activeElement === e")


@pytest.mark.parametrize("document", [DOCUMENTS[0], ENGINE])
@pytest.mark.parametrize("theme", THEMES)
def test_what_only_a_narrow_screen_shows_has_contrast(tab, site, document, theme):
    """The survey of every page looks at the colours of a wide screen."""
    tab.page.set_viewport_size({"width": 360, "height": 900})
    tab.page.emulate_media(color_scheme=theme)
    tab.open(f"{site}/{document}.html")
    assert contrasts(tab.page) == []
    tab.page.locator("button.primary-toggle").first.click()
    tab.page.locator("dialog[open] a.reference").first.wait_for()
    assert contrasts(tab.page, "dialog[open]") == []


# Old addresses


def test_an_old_address_leads_to_the_new_page(tab, site):
    places = [
        (old, place, new) for old, all_ in redirects(ROOT).items() for place, new in all_.items()
    ]
    assert places
    for old, place, new in places:
        tab.page.goto("about:blank")
        tab.page.goto(f"{site}/{old}" + (f"#{place}" if place else ""))
        tab.page.wait_for_url(f"{site}/{new}")
