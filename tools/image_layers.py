"""Write an image's size by layer as JSON, and print it: python tools/image_layers.py IMAGE FILE

docker/build runs it after each build. Sizes are those of the files that a layer adds, in bytes, as
the engine reports them; layers that add none are left out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

# What each layer of ours is for, by a word of its instruction; the first that fits is taken.
PARTS = {
    "torch-$VARIANT": "torch and what its build brings",
    "/tmp/build/lock.txt": "all other packages",
    "assets.fetch": "data and model",
    "/tmp/source": "the library",
    "tini": "tini",
    "venv /opt/venv": "virtual environment",
    "useradd": "user and folders",
    "/book/": "the book",
    "docker/": "settings and commands",
    "start-notebook": "settings and commands",
    "WORKDIR": "settings and commands",
}


def docker(*command: str) -> str:
    """A docker command's output."""
    return subprocess.run(
        ["docker", *command], capture_output=True, text=True, check=True
    ).stdout.strip()


def part(instruction: str) -> str:
    """What a layer is for. What none of our words is in comes from the base image."""
    return next((what for word, what in PARTS.items() if word in instruction), "base image")


def layers(image: str) -> list[dict]:
    """Each part of the image with its bytes, in the order of the build."""
    text = docker("history", "--no-trunc", "--human=false", "--format", "{{json .}}", image)
    sizes: dict[str, int] = {}
    for line in reversed(text.splitlines()):
        layer = json.loads(line)
        what = part(layer["CreatedBy"])
        sizes[what] = sizes.get(what, 0) + int(re.sub(r"\D", "", layer["Size"]) or 0)
    return [{"part": what, "bytes": size} for what, size in sizes.items() if size]


def facts(image: str) -> dict:
    """What is written about an image."""
    about = json.loads(docker("image", "inspect", image))[0]
    labels = about["Config"]["Labels"] or {}
    names = {"version": "version", "revision": "revision", "base": "base.name"}
    return {
        "image": image,
        "variant": labels.get("gpubook.variant", ""),
        "platform": f"{about['Os']}/{about['Architecture']}",
        "created": about["Created"],
        **{key: labels.get(f"org.opencontainers.image.{name}", "") for key, name in names.items()},
        "bytes": about["Size"],
        "layers": layers(image),
    }


def main(image: str, path: Path) -> int:
    """Write and print the sizes."""
    about = facts(image)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    for layer in about["layers"]:
        print(f"image: {layer['bytes'] / 1e6:9.1f} MB  {layer['part']}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
