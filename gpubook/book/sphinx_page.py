"""What is around a page's text: its scripts, how it looks when shared, its old addresses.

- A script or style is loaded by the pages that use it, and only after the text is there.
- Every page has a description, and what a chat or a forum shows of a link to it.
- ``book/redirects.yml`` has the old addresses; each becomes a page that leads on.
- With a base URL (``html: baseurl:`` in ``_config.yml``) there are absolute addresses and a
  ``sitemap.xml``; without one, as for reading from a disk, there is neither.
"""

from __future__ import annotations

import html
import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import yaml
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.typing import ExtensionMetadata

REDIRECTS = Path("book/redirects.yml")
CARD = "_static/social.png"
_ENOUGH, _MOST = 110, 200
"""Characters of a description: a text this long is enough, and none is longer."""

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


def _is_lead(part: nodes.Element) -> bool:
    """Whether a paragraph is nothing but words in bold, over what follows."""
    children = [child for child in part.children if child.astext().strip()]
    return isinstance(part, nodes.paragraph) and all(isinstance(c, nodes.strong) for c in children)


def description(tree: nodes.document) -> str:
    """The page's first words, as many as make a description: plain text, `_MOST` characters."""
    words = ""
    for part in tree.findall(lambda n: isinstance(n, nodes.paragraph | nodes.bullet_list)):
        if not isinstance(part.parent, nodes.section):
            continue
        items = part.children if isinstance(part, nodes.bullet_list) else [part]
        text = "; ".join(" ".join(item.astext().split()) for item in items)
        colon = ":" if _is_lead(part) and not text.endswith(":") else ""
        words = f"{words} {text}{colon}".strip()
        if len(words) >= _ENOUGH:
            break
    if len(words) <= _MOST:
        return words
    return words[: _MOST - 1].rsplit(" ", 1)[0].rstrip(",;:") + "…"


def _meta(app: Sphinx, pagename: str, context: dict, tree: nodes.document) -> str:
    base, relative = app.config.html_baseurl, context["pathto"]
    title = re.sub("<[^>]+>", "", context["title"])
    tags = {
        "og:type": "website" if pagename == app.config.root_doc else "article",
        "og:site_name": app.config.html_title or app.config.project,
        "og:title": html.unescape(title),
        "og:description": description(tree),
        "og:image": urljoin(base, CARD) if base else relative(CARD, resource=True),
        "og:image:alt": "The book's name, and a processor within a container within a machine",
    }
    if base:
        tags["og:url"] = urljoin(base, f"{pagename}.html")
    lines = [f'<meta name="description" content="{html.escape(tags["og:description"])}" />']
    lines += [
        f'<meta property="{key}" content="{html.escape(value)}" />' for key, value in tags.items()
    ]
    lines.append('<meta name="twitter:card" content="summary_large_image" />')
    return "\n".join(lines)


def _around(
    app: Sphinx, pagename: str, template: str, context: dict, tree: nodes.document | None
) -> None:
    if template == "search.html":
        return  # its scripts call each other while they load
    body = context.get("body", "")
    _lean(context, body)
    if tree is not None:
        context["metatags"] = context.get("metatags", "") + _meta(app, pagename, context, tree)


_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Moved</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<script>
const places = {places};
const place = decodeURIComponent(location.hash.slice(1));
location.replace(Object.hasOwn(places, place) ? places[place] : places[""] + location.hash);
</script>
<noscript><meta http-equiv="refresh" content="0; url={first}"></noscript>
</head><body><main><h1>This page has moved</h1>
<ul>{links}</ul></main></body></html>
"""


def redirects(root: Path) -> dict[str, dict[str, str]]:
    """The old addresses: a page, and in it a place (``""`` is its top), to where it is now."""
    try:
        text = (root / REDIRECTS).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found = yaml.safe_load(text) or {}
    for old, places in found.items():
        if not isinstance(places, dict) or "" not in places or not old.endswith(".html"):
            raise ExtensionError(
                f'{REDIRECTS}: {old} must be a page (.html) with its places, "" among them'
            )
    return found


def redirect_page(old: str, places: dict[str, str]) -> str:
    """The page at an old address that leads to the new ones."""
    folder = os.path.dirname(old)  # noqa: PTH120 - an address, not a file
    there = {place: os.path.relpath(new, folder or ".") for place, new in places.items()}
    links = "".join(
        f'<li><a href="{html.escape(new)}">{html.escape(place or "The page")}</a></li>'
        for place, new in there.items()
    )
    data = json.dumps(there).replace("</", "<\\/")
    return _PAGE.format(places=data, first=html.escape(there[""]), links=links)


def sitemap(base: str, pages: list[str]) -> str:
    """The addresses of all pages, for search engines."""
    urls = "".join(
        f"<url><loc>{html.escape(urljoin(base, page))}.html</loc></url>\n" for page in sorted(pages)
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}</urlset>\n'
    )


def _finish(app: Sphinx, problem: Exception | None) -> None:
    if problem or app.builder.format != "html":
        return
    from gpubook.book.card import draw

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
    draw(out / CARD, title=app.config.html_title or app.config.project)
    if app.config.html_baseurl:
        text = sitemap(app.config.html_baseurl, list(app.env.found_docs))
        (out / "sitemap.xml").write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register with Sphinx."""
    app.connect("html-page-context", _around, priority=900)  # after those that add scripts
    app.connect("build-finished", _finish)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
