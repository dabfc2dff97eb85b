"""Check that every file names one version, or set it: python tools/version.py [1.2.0]

The library's version in pyproject.toml is what `gpubook --version`, the bundle's name and
docker/build go by. The others are for people and programs that read one file only.
"""

from __future__ import annotations

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


def versions(root: Path) -> dict[str, str]:
    """The version that each file names."""
    texts = {name: (root / name).read_text("utf-8") for name in PLACES if (root / name).exists()}
    matches = {name: re.search(PLACES[name], text, re.M) for name, text in texts.items()}
    return {name: match[1] if match else "none" for name, match in matches.items()}


def set_version(root: Path, version: str) -> None:
    """Put a version into each file. A changelog's released versions stay: it gets a heading."""
    for name, old in versions(root).items():
        path = root / name
        text = path.read_text("utf-8")
        match = re.search(PLACES[name], text, re.M)
        if name == "CHANGELOG.md" and match and old not in ("Unreleased", version):
            text = f"{text[: match.start()]}## {version}\n\n{text[match.start() :]}"
        elif match:
            text = text[: match.start(1)] + version + text[match.end(1) :]
        path.write_text(text, "utf-8")


def main(arguments: list[str]) -> int:
    """Set the version when one is given, then check. Returns the exit code."""
    if len(arguments) > 1 or any(not re.fullmatch(r"\d+\.\d+\.\d+", a) for a in arguments):
        print("version: three numbers are needed, such as 1.2.0", file=sys.stderr)
        return 2
    for version in arguments:
        set_version(ROOT, version)
    names = versions(ROOT)
    if len(set(names.values())) != 1:
        each = ", ".join(f"{name} {version}" for name, version in names.items())
        print(f"version: they differ: {each}; set one: make version VERSION=…", file=sys.stderr)
        return 1
    print(f"version: {names['pyproject.toml']} in {', '.join(names)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
