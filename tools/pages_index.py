"""The first page of the published book: it lists ``latest`` and each release, the newest first.

python tools/pages_index.py SITE      # SITE/latest, SITE/v1.0.0, …
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

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


def releases(site: Path) -> list[str]:
    """The folders of releases, ``vX.Y.Z``, the newest first."""
    named = [re.fullmatch(r"v(\d+)\.(\d+)\.(\d+)", folder.name) for folder in site.iterdir()]
    matches = [m for m in named if m and (site / m[0] / "index.html").is_file()]
    matches.sort(key=lambda m: tuple(map(int, m.groups())), reverse=True)
    return [m[0] for m in matches]


def index(site: Path) -> str:
    """The page's text. Raises FileNotFoundError without a rendered ``latest``."""
    if not (site / "latest" / "index.html").is_file():
        raise FileNotFoundError(f"{site} has no rendered book in latest/")
    items = ['<li><a href="latest/">latest</a>: the main branch as it is now</li>']
    for n, name in enumerate(releases(site)):
        newest = ": the newest release" if n == 0 else ""
        items.append(f'<li><a href="{name}/">{name}</a>{newest}</li>')
    return _PAGE.format(items="\n".join(items))


def main(arguments: list[str]) -> int:
    """Write the page; 2 with one line where that can't be done."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python tools/pages_index.py SITE\n")
        return 2
    site = Path(arguments[0])
    try:
        (site / "index.html").write_text(index(site), encoding="utf-8")
    except OSError as error:
        sys.stderr.write(f"pages: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
