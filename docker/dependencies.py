"""Print what the image must install, one requirement a line, without the library itself.

    python docker/dependencies.py pyproject.toml [EXTRA…] [build]

So the Dockerfile can install the packages in a layer that depends on pyproject.toml alone: a
change of the library's code doesn't install them again. ``build`` adds the build system's.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """The project's dependencies and those of its extras, sorted, as pyproject.toml has them."""
    data = tomllib.loads(pyproject.read_text(encoding="utf-8"))
    found = list(data["project"]["dependencies"])
    for extra in extras:
        if extra == "build":
            found += data["build-system"]["requires"]
        else:
            found += data["project"]["optional-dependencies"][extra]
    return sorted(set(found))


if __name__ == "__main__":
    print("\n".join(requirements(Path(sys.argv[1]), sys.argv[2:])))
