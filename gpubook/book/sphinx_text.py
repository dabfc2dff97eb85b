"""What is done to a page's text: folded boxes that need no script, links to the glossary."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.nodes import make_refnode

from gpubook.book.directives import raw

OTHER_SENSES = frozenset(
    {"accuracy", "batch", "capability", "evidence", "hook", "kernel", "layer", "live", "padding"}
    | {"peak", "precision", "recall", "recorded", "recording", "registry", "runtime", "volume"}
)
"""Terms that the book also uses in another sense, or in the everyday one (a network's layer is no
image's layer): these are linked where the writer says so."""


class _Fold(SphinxPostTransform):
    """An admonition with the class ``dropdown`` becomes an element that browsers fold alone."""

    default_priority = 400  # after the links: none stands in a title

    def run(self, **_: object) -> None:
        for box in list(self.document.findall(nodes.admonition)):
            if "dropdown" not in box["classes"]:
                continue
            title, *rest = box.children
            classes = " ".join(["admonition", *box["classes"]])
            opening = f'<details class="{classes}"><summary class="admonition-title">'
            shown = [raw(opening), *title.children, raw("</summary>"), *rest, raw("</details>")]
            box.parent.replace(box, shown)  # replace_self would put its classes on the first


def term_pattern(term: str) -> str:
    """A regular expression for a term in running text, singular or plural.

    Small letters stand for capitals, too; a term with capitals is meant as it is written.
    """
    word = re.escape(term)
    if term == term.lower():
        word = f"(?i:{word})"
    return rf"(?<![\w./=-]){word}(?:s|es)?(?![\w/=]|-\w|\.\w)"


_NO_LINKS = (
    nodes.comment,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.raw,
    nodes.reference,
    nodes.term,
    nodes.thead,
    nodes.title,
)
"""Where no link may stand, or none would help."""


def running_text(document: nodes.document) -> Iterator[nodes.Text | nodes.reference]:
    """The pieces of a page's text in which a link may stand, and the links, in order."""
    for piece in document.findall(lambda n: isinstance(n, nodes.Text | nodes.reference)):
        above = piece.parent
        while above is not None and not isinstance(above, _NO_LINKS) and "nb_element" not in above:
            above = above.parent
        if above is None or above.get("nb_element") == "cell_markdown":
            yield piece


class _LinkFirstUse(SphinxPostTransform):
    """The first use of a glossary's term on a page leads to the glossary."""

    default_priority = 300  # the writer's own links are resolved before

    def run(self, **_: object) -> None:
        objects = self.env.get_domain("std").objects
        places = {name: place for (kind, name), place in objects.items() if kind == "term"}
        if not places or any(page == self.env.docname for page, _ in places.values()):
            return
        self._places = places
        self._names = sorted(places, key=len, reverse=True)  # "OCI runtime" before "runtime"
        self._pattern = re.compile("|".join(f"({term_pattern(name)})" for name in self._names))
        self._done = set(OTHER_SENSES)
        anchors = {anchor: name for name, (_, anchor) in places.items()}
        for piece in list(running_text(self.document)):
            if isinstance(piece, nodes.reference):
                target = piece.get("refid") or piece.get("refuri", "").partition("#")[2]
                self._done.add(anchors.get(target, ""))
            else:
                self._link_in(piece)

    def _link_in(self, text: nodes.Text) -> None:
        pieces: list[nodes.Node] = []
        rest = 0
        for match in self._pattern.finditer(text):
            name = self._names[match.lastindex - 1]
            whole = isinstance(text.parent, nodes.literal)
            if name in self._done or (whole and match[0] != text):
                continue
            self._done.add(name)
            shown = text.parent.deepcopy() if whole else nodes.inline("", match[0])
            shown["classes"] += ["xref", "std", "std-term"]
            page, anchor = self._places[name]
            link = make_refnode(self.app.builder, self.env.docname, page, anchor, shown)
            if whole:
                text.parent.replace_self(link)
                return
            pieces += [nodes.Text(text[rest : match.start()]), link]
            rest = match.end()
        if pieces:
            text.parent.replace(text, [*pieces, nodes.Text(text[rest:])])


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_post_transform(_Fold)
    app.add_post_transform(_LinkFirstUse)
