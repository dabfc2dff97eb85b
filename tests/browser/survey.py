"""A page in every look: light and dark, on a telephone and on a desk.

What a page does wrong is kept for the tests to judge; what it looks like, as pictures in
``_build/screenshots`` for people; what it weighs and how fast it is, as JSON beside them.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

WIDTHS = (1440, 360)
THEMES = ("light", "dark")
_TALLEST = 16_000
"""Pixels: browsers draw no taller picture."""
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}

SCRIPTS = Path(__file__).with_name("scripts")


def script(name: str) -> str:
    """What a page is asked in its own language; ``// include NAME.js`` is that file's text."""
    text = (SCRIPTS / f"{name}.js").read_text(encoding="utf-8")
    return re.sub(r"// include ([\w-]+)\.js\n", lambda match: script(match[1]), text)


SHIFTS = script("shifts")
WHOLE = script("whole")
WIDER = script("wider")
# Inline code that reaches beyond the screen and is in no box that scrolls.
CUT = script("cut")
# Each pair of colours in which words of code are written on a page, unless it is readable.
WORDS_OF_CODE = script("words-of-code")
MEASURES = script("measures")


@dataclass
class Seen:
    """One page: what was wrong in any look, and its measures at each width."""

    problems: list[str] = field(default_factory=list)
    measures: dict[int, dict] = field(default_factory=dict)
    requests: int = 0


def _axe(page, context: dict, options: dict) -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    options = options | {"resultTypes": ["violations"], "preload": False}
    found = Axe().run(page, context=context, options=options).response["violations"]
    return [
        f"{v['id']}: {node['html'][:200]} ({node.get('failureSummary', '')[:200]})"
        for v in found
        for node in v["nodes"]
    ]


CONTRAST_RULE = "color-contrast"


def structure(page, within: str = "html") -> list[str]:
    """What axe finds against WCAG 2.1, levels A and AA, contrast aside."""
    off = {CONTRAST_RULE: {"enabled": False}}
    return _axe(page, {"include": [[within]]}, {"runOnly": WCAG, "rules": off})


def contrasts(page, within: str = "html") -> list[str]:
    """Texts whose contrast is below WCAG 2.1, level AA.

    It takes axe most of its time, and half of a page's texts are the words of its code, in a few
    colours: of these, each pair of colours is computed once, here.
    """
    part = {"include": [[within]], "exclude": [["pre span"]]}
    wrong = _axe(page, part, {"runOnly": {"type": "rule", "values": [CONTRAST_RULE]}})
    return wrong + page.evaluate(WORDS_OF_CODE, within)


def violations(page, *, within: str = "html") -> list[str]:
    """All that axe finds; ``within`` is a selector."""
    return structure(page, within) + contrasts(page, within)


def pictures_of(folder: Path, document: str) -> list[Path]:
    """Where the pictures of a page in all its looks are kept."""
    name = document.replace("/", "-")
    return [folder / f"{name}-{width}-{theme}.jpg" for width in WIDTHS for theme in THEMES]


def measures_of(folder: Path, document: str) -> Path:
    """Where the measures of a page are kept."""
    return folder / f"{document.replace('/', '-')}.json"


def _problems(page, theme: str, width: int) -> list[str]:
    """What is wrong with a page in one theme at one width.

    A theme changes colours and no structure, a width changes structure and no colours: the
    structure is looked at once a width, the colours once a theme. What only a narrow screen shows,
    buttons and dialogs, is the same on every page: test_reading looks at its colours.
    """
    wrong = [f"scrolls sideways: {w}" for w in page.evaluate(WIDER)]
    wrong += [f"cut at the edge: {w}" for w in page.evaluate(CUT)]
    if theme == THEMES[0]:
        wrong += structure(page)
    if width == WIDTHS[0]:
        wrong += contrasts(page)
    return [f"{theme}, {width} pixels: {w}" for w in wrong]


def _picture(page, width: int, path: Path) -> None:
    height = min(page.evaluate("() => document.documentElement.scrollHeight"), _TALLEST)
    page.screenshot(
        path=path, full_page=True, type="jpeg", quality=50,
        clip={"x": 0, "y": 0, "width": width, "height": height},
    )  # fmt: skip


def _look(tab, url: str, width: int, pictures: list[Path], seen: Seen) -> None:
    """One page at one width, in all themes: its problems, pictures and measures."""
    tab.page.set_viewport_size({"width": width, "height": 900})
    tab.open(url)
    seen.measures[width] = tab.page.evaluate(MEASURES)
    seen.problems += tab.page.evaluate(WHOLE)
    for theme, picture in zip(THEMES, pictures, strict=True):
        tab.page.emulate_media(color_scheme=theme)
        tab.page.wait_for_function("t => document.documentElement.dataset.theme === t", arg=theme)
        seen.problems += _problems(tab.page, theme, width)
        _picture(tab.page, width, picture)


def survey(new_tab, site: str, document: str, book: Path, folder: Path) -> Seen:
    """See one page in every look. ``new_tab`` opens a tab that keeps account of problems."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = pictures_of(folder, document)
    for old in pictures:
        old.unlink(missing_ok=True)
    seen = Seen()
    for n, width in enumerate(WIDTHS):
        tab = new_tab()
        two = pictures[n * len(THEMES) : (n + 1) * len(THEMES)]
        _look(tab, f"{site}/{document}.html", width, two, seen)
        tab.page.close()
        seen.problems += tab.problems
        seen.requests += tab.requests
    measures = {"bytes": weigh(book / f"{document}.html")}
    measures |= {str(width): m for width, m in seen.measures.items()}
    measures_of(folder, document).write_text(json.dumps(measures, indent=1), encoding="utf-8")
    return seen


def weigh(page: Path) -> int:
    """Bytes of a page's HTML without its figures."""
    text = page.read_text(encoding="utf-8")
    return len(re.sub(r"<svg\b.*?</svg>", "", text, flags=re.DOTALL).encode())
