"""The page of troubleshooting, made from the doctor's rules.

``{gpubook-doctor-search}`` is the box into which a message is pasted, ``{gpubook-doctor-rules}``
a section for each rule, ``{gpubook-compat}`` the tables of drivers, CUDA and GPUs. The box compares
a message as `gpubook.doctor.plain` does, in the reader's browser; without scripts it is not shown,
and the page's text is searched as any other.
"""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gpubook.book.directives import add_directive, fill, with_script
from gpubook.doctor import compat
from gpubook.doctor.report import in_words
from gpubook.doctor.rules import GAP, Rule, load


def inline(text: str) -> list[nodes.Node]:
    """Text with code between single backticks."""
    return [
        nodes.literal(part, part) if n % 2 else nodes.Text(part)
        for n, part in enumerate(re.split(r"`([^`]+)`", text))
        if part
    ]


def paragraph(text: str, lead: str = "") -> nodes.paragraph:
    """A paragraph, with ``lead`` in bold before it."""
    made = nodes.paragraph()
    if lead:
        made += [nodes.strong(lead, lead), nodes.Text(" ")]
    made += inline(text)
    return made


def anchor(rule: Rule) -> str:
    """The section's id, for links."""
    return f"doctor-{rule.id}"


def _code(text: str, language: str) -> nodes.literal_block:
    block = nodes.literal_block(text, text, language=language)
    block["classes"].append("gb-doctor-code")
    return block


def index_entries(rule: Rule) -> list[str]:
    """A rule's messages for the search and the index: each whole, and its words before a quote."""
    found: dict[str, None] = {}
    for symptom in rule.symptoms:
        plain = " ".join(symptom.text.replace(" ... ", " ").replace(";", ",").split())
        start = re.split(r"""['"`\[({]""", plain)[0].rstrip(" :=,")
        for entry in (start, plain):
            if len(entry.split()) > 1:
                found[entry] = None
    return list(found)


def rule_section(rule: Rule) -> nodes.section:
    """One rule: its title, and in a fold its messages, cause, fixes and sources."""
    section = nodes.section(ids=[anchor(rule)], classes=["gb-doctor-rule"])
    section += nodes.title("", "", *inline(rule.title))
    entries = [("single", entry, anchor(rule), "", None) for entry in index_entries(rule)]
    section += addnodes.index(entries=entries)
    section += nodes.raw("", "<details><summary>Message, cause and fix</summary>", format="html")
    section += _code("\n\n".join(rule.examples), "text")
    section += paragraph(rule.cause, "Cause.")
    section += paragraph(rule.matters, "Why it matters.")
    section += paragraph(rule.versions[0].upper() + rule.versions[1:] + ".", "Versions.")
    for fix in rule.fix:
        said = ": ".join(filter(None, (in_words(fix.when), fix.note)))
        said = said[:1].upper() + said[1:] if said else "Type"
        section += paragraph(said if said.endswith("?") else said.rstrip(".:") + ":")
        section += _code("\n".join(fix.run), "shell")
    sources = nodes.paragraph()
    sources += [nodes.strong("", "Sources."), nodes.Text(" ")]
    for n, url in enumerate(rule.sources):
        short = re.sub(r"^https://(github\.com/)?", "", url).rstrip("/")
        short = re.sub(r"/(issues|pull)/", "#", short)
        sources += nodes.Text(", ") if n else nodes.Text("")
        sources += nodes.reference(short, short, refuri=url)
    section += [sources, nodes.raw("", "</details>", format="html")]
    return section


def search_data(rules: tuple[Rule, ...]) -> list[dict]:
    """What the box compares with: each rule's symptoms, squeezed."""
    return [
        {
            "id": anchor(rule),
            "title": rule.title,
            "explains": [f"doctor-{other}" for other in rule.explains],
            "symptoms": [[part.decode("ascii") for part in s.parts] for s in rule.symptoms],
        }
        for rule in rules
    ]


class _Rules(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(resources.files("gpubook.doctor").joinpath("rules.toml")))
        return [rule_section(rule) for rule in load()]


def search(_root: Path) -> str:
    """The box, hidden until its script takes it, with data, style and script."""
    data = {"gap": GAP, "rules": search_data(load())}
    return fill("search") + with_script("doctor", data)


def compat_tables() -> str:
    """The doctor's table of drivers, CUDA and GPUs, as Markdown."""
    rows = compat.table()
    lines = ["| CUDA in the image | driver on the host |", "| --- | --- |"]
    lines += [f"| {row.major} | [{row.driver} or later]({row.source}) |" for row in rows.cuda]
    lines += ["", "| GPU | compute capability | driver branches | CUDA | open kernel modules |"]
    lines += ["| --- | --- | --- | --- | --- |"]
    for row in rows.generations:
        span = f"from {row.first} on" if row.first else f"up to {row.last}" if row.last else "all"
        cuda = f"up to {row.last_cuda}" if row.last_cuda else "all"
        cells = [row.name, row.capability, f"[{span}]({row.source})", cuda, row.open]
        lines += [f"| {' | '.join(cells)} |"]
    lines += ["", "| PyTorch | build | machine | has code for |", "| --- | --- | --- | --- |"]
    for row in rows.wheels:
        build = f"cu{row.cuda.replace('.', '')}"
        codes = ", ".join(row.built_for) or "no longer made"
        lines += [f"| from {row.torch} on | {build} | {row.machine} | [{codes}]({row.source}) |"]
    return "\n".join(lines)


class _Compat(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_dependency(str(resources.files("gpubook.doctor").joinpath("compat.toml")))
        return self.parse_text_to_nodes(compat_tables())


def setup(app: Sphinx) -> None:
    """Register with Sphinx."""
    app.add_directive("gpubook-doctor-rules", _Rules)
    add_directive(app, "gpubook-doctor-search", search)
    app.add_directive("gpubook-compat", _Compat)
