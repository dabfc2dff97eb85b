"""A learner's books: each a volume that the engine fills from the image when it is new.

    hub renew NAME       a fresh book at the next start of the seat

A volume is of one image, so a rebuilt image brings a fresh book by itself. The one before it is
mounted read-only as ``earlier``: nothing is copied or lost, and a learner takes over what to keep.
"""

from __future__ import annotations

import os
import re
import sys

import docker


def choose(created: dict[str, str], seat: str, image: str) -> tuple[str, str | None]:
    """The volume with the book of ``image`` and the one used before; ``created`` has their times.

    ``seat`` is the container's name, ``image`` the first digits of the image's id.
    """
    pattern = rf"{re.escape(seat)}-book(-[0-9a-f]{{12}}-\d+)?"
    books = sorted((time, name) for name, time in created.items() if re.fullmatch(pattern, name))
    own = [name for _, name in books if name.startswith(f"{seat}-book-{image}-")]
    current = own[-1] if own else f"{seat}-book-{image}-1"
    earlier = [name for _, name in books if name != current]
    return current, earlier[-1] if earlier else None


def books(engine: docker.DockerClient, seat: str, image: str) -> tuple[str, str | None]:
    """The same, of the volumes that an engine has and the image's name."""
    volumes = engine.volumes.list(filters={"name": f"{seat}-book"})
    created = {volume.name: volume.attrs["CreatedAt"] for volume in volumes}
    return choose(created, seat, engine.images.get(image).id.removeprefix("sha256:")[:12])


def renew(engine: docker.DockerClient, seat: str, image: str) -> str:
    """A new volume for the next start; its name."""
    current, _ = books(engine, seat, image)
    base, _, number = current.rpartition("-")
    fresh = f"{base}-{int(number) + 1}"
    engine.volumes.create(fresh)
    return fresh


def main(name: str) -> None:
    """Renew one learner's book."""
    seat = f"{os.environ.get('HUB_NETWORK') or 'gpubook-hub'}-{name}"
    image = os.environ.get("HUB_IMAGE") or "gpu-plus-container:latest"
    print(renew(docker.from_env(), seat, image))


if __name__ == "__main__":
    main(sys.argv[1])
