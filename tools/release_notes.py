"""The changelog's words about a release, once tag and tree are known to be of one version.

python tools/release_notes.py v1.0.0      # exit 2 with one line if it can't
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def notes(root: Path, tag: str) -> str:
    """The section of ``CHANGELOG.md`` for a tag. ValueError when tag, tree and changelog differ."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has version {version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    sections = re.split(r"^## \[(.+?)\](.*)$", changelog, flags=re.MULTILINE)[1:]
    for name, date, text in zip(sections[::3], sections[1::3], sections[2::3], strict=True):
        if name == version:
            if not re.fullmatch(r" - \d{4}-\d\d-\d\d", date):
                raise ValueError(f"CHANGELOG.md gives {version} no date: [{version}] - YYYY-MM-DD")
            return text.strip()
    raise ValueError(f"CHANGELOG.md has no section [{version}]")


def main(arguments: list[str]) -> int:
    """Print the section; 2 with one line where there is none to print."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python tools/release_notes.py TAG\n")
        return 2
    try:
        print(notes(ROOT, arguments[0]))
    except (OSError, ValueError) as error:
        sys.stderr.write(f"release: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
