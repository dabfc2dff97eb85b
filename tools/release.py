"""What a release needs: one version in every file, its notes, the list of published versions.

    python tools/release.py version           # 1 where files name different versions
    python tools/release.py version 1.2.0     # set it everywhere
    python tools/release.py notes v1.0.0      # the changelog's section, if tag and tree agree
    python tools/release.py index SITE        # SITE/index.html lists SITE/latest, SITE/v1.0.0, …

The version in pyproject.toml is what `gpubook --version`, the bundle's name and docker/build go by.
The others are for people and programs that read one file only. Only the standard library is needed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PLACES = {
    "pyproject.toml": r'^version = "(.+)"$',
    "docker/Dockerfile": r"^ARG VERSION=(\S+)$",
    "CITATION.cff": r"^version: [\"']?([\w.]+)[\"']?$",
    "CHANGELOG.md": r"^## \[?v?(Unreleased|\d[\w.]*)\]?",
}
"""Where a version stands: the first match of each file's pattern. The last two may be missing."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>GPU + Container</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>:root {{ color-scheme: light dark; }}
body {{ font: 1.1rem/1.6 system-ui, sans-serif; }}
main {{ margin: 10vh auto; max-width: 36rem; padding: 0 1rem; }}
</style></head><body><main>
<h1>GPU + Container</h1>
<p>An executable book about GPUs in containers, taught by measuring them.</p>
<ul>
{items}
</ul></main></body></html>
"""


def versions(root: Path) -> dict[str, str]:
    """The version that each file names."""
    texts = {name: (root / name).read_text("utf-8") for name in PLACES if (root / name).exists()}
    matches = {name: re.search(PLACES[name], text, re.M) for name, text in texts.items()}
    return {name: match[1] if match else "none" for name, match in matches.items()}


def set_version(root: Path, version: str) -> None:
    """Put a version into each file. A changelog's released versions stay: it gets a heading."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError("three numbers are needed, such as 1.2.0")
    for name, old in versions(root).items():
        path = root / name
        text = path.read_text("utf-8")
        match = re.search(PLACES[name], text, re.M)
        if name == "CHANGELOG.md" and match and old not in ("Unreleased", version):
            text = f"{text[: match.start()]}## {version}\n\n{text[match.start() :]}"
        elif match:
            text = text[: match.start(1)] + version + text[match.end(1) :]
        path.write_text(text, "utf-8")


def one_version(root: Path, version: str | None) -> str:
    """Set the version if one is given; say which it is. ValueError where files differ."""
    if version:
        set_version(root, version)
    names = versions(root)
    if len(set(names.values())) != 1:
        each = ", ".join(f"{name} {version}" for name, version in names.items())
        raise ValueError(f"they differ: {each}; set one: make version VERSION=…")
    return f"version: {names['pyproject.toml']} in {', '.join(names)}"


def notes(root: Path, tag: str) -> str:
    """The section of ``CHANGELOG.md`` for a tag. ValueError when tag, tree and changelog differ."""
    version = versions(root)["pyproject.toml"]
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has version {version}")
    changelog = (root / "CHANGELOG.md").read_text("utf-8")
    sections = re.split(r"^## \[(.+?)\](.*)$", changelog, flags=re.MULTILINE)[1:]
    for name, date, text in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
        if name == version:
            if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date):
                raise ValueError(f"CHANGELOG.md gives {version} no date: [{version}] - YYYY-MM-DD")
            return text.strip()
    raise ValueError(f"CHANGELOG.md has no section [{version}]")


def releases(site: Path) -> list[str]:
    """The folders of releases, ``vX.Y.Z``, the newest first."""
    named = [re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", folder.name) for folder in site.iterdir()]
    matches = [m for m in named if m and (site / m[0] / "index.html").is_file()]
    matches.sort(key=lambda m: tuple(map(int, m.groups())), reverse=True)
    return [m[0] for m in matches]


def index(site: Path) -> str:
    """Write the first page of the published book. ValueError without a rendered ``latest``."""
    if not (site / "latest" / "index.html").is_file():
        raise ValueError(f"{site} has no rendered book in latest/")
    items = ['<li><a href="latest/">latest</a>: the main branch as it is now</li>']
    for n, name in enumerate(releases(site)):
        newest = ": the newest release" if n == 0 else ""
        items.append(f'<li><a href="{name}/">{name}</a>{newest}</li>')
    (site / "index.html").write_text(_PAGE.format(items="\n".join(items)), "utf-8")
    return f"pages: {site / 'index.html'}"


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 2 with one line where that can't be done."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("version").add_argument("value", nargs="?")
    commands.add_parser("notes").add_argument("value", metavar="TAG")
    commands.add_parser("index").add_argument("value", metavar="SITE", type=Path)
    args = parser.parse_args(arguments)
    does = {"version": one_version, "notes": notes}
    try:
        print(
            index(args.value) if args.command == "index" else does[args.command](ROOT, args.value)
        )
    except (OSError, ValueError) as error:
        print(f"{args.command}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
