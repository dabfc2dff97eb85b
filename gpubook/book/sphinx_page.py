"""What is around a page's text: its scripts, how it looks when shared, its old addresses.

- A script or style is loaded by the pages that use it, and only after the text is there.
- sphinxext-opengraph gives each page its description. With an address (``html: baseurl:`` in
  ``_config.yml``) it adds a picture for each page, and sphinx-sitemap writes ``sitemap.xml``;
  without one, as for reading from a disk, there is neither.
- ``book/redirects.yml`` has the old addresses; each becomes a page that leads on. It is not
  sphinxext-rediraffe's file because a page that was split leads to several, one for each of its
  places, and rediraffe knows pages only.
- Launch buttons come from the theme, for the two services that can run a notebook of the book.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import Any

import yaml
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.errors import ExtensionError

REDIRECTS = Path("book/redirects.yml")
_ICON = Path(__file__).with_name("card.png")
"""``book/_static/icon.svg`` as the pixels that a page's picture takes."""
_LAUNCHERS = {"binderhub_url", "jupyterhub_url"}
_HUB_PULL = re.compile(r"/hub/user-redirect/git-pull\?.*")

_USED = {
    "copybutton": r'class="highlight|gb-terminal',
    "clipboard": r'class="highlight|gb-terminal',
    "machines.js": "gb-machines",
    "mystnb": r'class="cell|output',
    "sphinx-design": r'class="[^"]*\bsd-',
    "design-tabs": r'class="[^"]*\bsd-tab',
}
"""From a part of a script's or style's name to what a page has that uses it."""

_AT_ONCE = ("documentation_options", "MathJax", "mathjax")
"""Scripts that lines within the page need at once; MathJax waits by itself."""


def _name(asset: Any) -> str:
    return str(asset.filename or "")


def _lean(context: dict, body: str) -> None:
    """Leave out what the page does not use, and let scripts wait until the text is there."""

    def used(asset: Any) -> bool:
        return all(re.search(sign, body) for part, sign in _USED.items() if part in _name(asset))

    def waiting(script: Any) -> Any:
        if not _name(script) or any(part in _name(script) for part in _AT_ONCE):
            return script
        # All pages share these objects, and search.html must not wait: so a new one.
        given = script.attributes | {"defer": "defer"}
        return type(script)(script.filename, priority=script.priority, **given)

    context["script_files"] = [waiting(js) for js in context["script_files"] if used(js)]
    context["css_files"] = [css for css in context["css_files"] if used(css)]


def _launch(pagename: str, context: dict) -> None:
    """A seat of the book's own JupyterHub holds the notebooks already: open, instead of pull."""
    for group in context.get("header_buttons", ()):
        for button in group.get("buttons", ()) if group.get("label") == "launch-buttons" else ():
            place = f"/hub/user-redirect/lab/tree/{pagename}.ipynb"
            button["url"] = _HUB_PULL.sub(place, button["url"])


def _around(app: Sphinx, pagename: str, template: str, context: dict, tree: object) -> None:
    if template == "search.html":
        return  # its scripts call each other while they load
    _lean(context, context.get("body", ""))
    _launch(pagename, context)
    if not app.config.html_baseurl:
        # The extension writes an address for each page, which is none without the book's.
        context["metatags"] = re.sub(
            r'<meta property="og:url".*\n', "", context.get("metatags", "")
        )


def redirects(root: Path) -> dict[str, dict[str, str]]:
    """The old addresses: a page, and in it a place (``""`` is its top), to where it is now."""
    try:
        text = (root / REDIRECTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    moved = yaml.safe_load(text) or {}
    for old, places in moved.items():
        if not isinstance(places, dict) or "" not in places or not old.endswith(".html"):
            raise ExtensionError(
                f'{REDIRECTS}: {old} must be a page (.html) with its places, "" among them'
            )
    return moved


def redirect_page(old: str, places: dict[str, str]) -> str:
    """The page at an old address that leads to the new ones."""
    folder = os.path.dirname(old)  # noqa: PTH120 - an address, not a file
    there = {place: os.path.relpath(new, folder or ".") for place, new in places.items()}
    links = "".join(
        f'<li><a href="{html.escape(new)}">{html.escape(place or "The page")}</a></li>'
        for place, new in there.items()
    )
    data = json.dumps(there).replace("</", "<\\/")
    page = Path(__file__).with_name("moved.html").read_text(encoding="utf-8")
    return page.format(places=data, first=html.escape(there[""]), links=links)


def _finish(app: Sphinx, problem: Exception | None) -> None:
    if problem or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for old, places in redirects(Path(app.srcdir)).items():
        page = out / old
        if page.exists():
            raise ExtensionError(f"{REDIRECTS}: {old} is a page of the book")
        lost = [new for new in places.values() if not (out / new.split("#")[0]).is_file()]
        if lost:
            raise ExtensionError(f"{REDIRECTS}: {old} leads to {lost[0]}, which is no page")
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(redirect_page(old, places), encoding="utf-8")


def _with_address(_app: Sphinx, config: Config) -> None:
    """One setting, the book's address, for all that needs it."""
    theirs = {k for k, v in config.html_theme_options.get("launch_buttons", {}).items() if v}
    if unknown := sorted(theirs - _LAUNCHERS - {"notebook_interface"}):
        raise ExtensionError(
            f"_config.yml, launch_buttons: {unknown[0]} cannot run the notebooks, which need the "
            f"book's library and recordings; use {' or '.join(sorted(_LAUNCHERS))}"
        )
    if config.html_baseurl:
        config.html_baseurl = config.html_baseurl.rstrip("/") + "/"
    config.ogp_site_url = config.html_baseurl
    config.ogp_site_name = config.html_title
    config.ogp_social_cards = {"enable": bool(config.html_baseurl), "image_mini": str(_ICON)}
    config.sitemap_url_scheme = "{link}"
    config.sitemap_excludes = ["search.html", "genindex.html"]


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.setup_extension("sphinxext.opengraph")
    if app.config.html_baseurl:
        app.setup_extension("sphinx_sitemap")
    app.connect("config-inited", _with_address)
    app.connect("html-page-context", _around, priority=900)  # after those that add scripts
    app.connect("build-finished", _finish)
