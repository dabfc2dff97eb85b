"""The images and containers of the book's own measurements: chosen and removed."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from gpubook import machine
from gpubook.machine.endpoint import ImageMissing, answering, using

if TYPE_CHECKING:
    from docker import DockerClient

DEMO_IMAGES = ("ubuntu:24.04", "gpubook-base:local", "gpu-plus-container:latest")
"""Images that are enough for the demonstrations (a shell and coreutils), best first."""

PYTHON_IMAGES = ("python:3.12-slim", "gpubook-base:local")
"""Images with Python that a reader's own image can start from, best first."""


def choose_image(
    image: str = "", images: Sequence[str] = DEMO_IMAGES, client: DockerClient | None = None
) -> str:
    """The image to run: ``image``, or the first of ``images`` that is here; else one is pulled.

    Raises ImageMissing, naming what is here instead, when it can be neither found nor pulled.
    """
    from docker.errors import APIError, ImageNotFound

    wanted = (image,) if image else images
    with answering("looking for an image"), using(client) as docker:
        for name in wanted:
            with suppress(ImageNotFound):
                docker.images.get(name)
                return name
        try:
            docker.images.pull(wanted[0])
        except APIError as error:
            here = sorted({tag for i in docker.images.list() for tag in i.tags})
            reason = str(error.explanation or error).strip().splitlines()[0]
            raise ImageMissing(
                f"the image {wanted[0]} is not here and cannot be pulled ({reason}): run "
                f"`docker pull {wanted[0]}` where there is a network, or choose one with "
                f"`-p IMAGE NAME`; here are: {', '.join(here) or 'none'}"
            ) from error
    return wanted[0]


def image_here(image: str = "", images: Sequence[str] = DEMO_IMAGES) -> str:
    """The image for a page's containers: `choose_image`, or where no engine answers, its name."""
    if machine.probe().capabilities["docker"].available:
        return choose_image(image, images)
    return image or images[0]


def remove(name: str) -> None:
    """Remove the container of that name, if an engine answers and there is one.

    A page that was interrupted leaves its container; the next run needs the name again.
    """
    from docker.errors import NotFound

    if not machine.probe().capabilities["docker"].available:
        return
    with answering("removing a container"), using(None) as docker, suppress(NotFound):
        docker.containers.get(name).remove(force=True)
