"""The images and containers of the book's own measurements: chosen, started, removed."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gpubook import machine
from gpubook.engine.endpoint import ImageMissing, answering, using

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

DEMO_IMAGES = ("ubuntu:24.04", "gpubook-base:local", "gpu-plus-container:latest")
"""Images that are enough for the demonstrations (a shell and coreutils), best first."""

PYTHON_IMAGES = ("python:3.12-slim", "gpubook-base:local")
"""Images with Python that a reader's own image can start from, best first."""

LABEL = "gpubook.demo"
"""Every container that the book starts carries this label, so that it can be found and removed."""


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
            docker.images.pull(_with_tag(wanted[0]))
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


def _with_tag(image: str) -> str:
    """Without a tag the SDK would pull every tag that the repository has."""
    return image if ":" in image.rsplit("/", 1)[-1] or "@" in image else f"{image}:latest"


@contextmanager
def running(
    image: str,
    command: str | Sequence[str] = ("sleep", "60"),
    *,
    client: DockerClient | None = None,
    **options,
) -> Iterator[Container]:
    """A running container, removed at the end whatever happens.

    The command replaces the image's entry point, so that it is process 1 itself; it should end by
    itself, since we may be killed before it is removed. ``options`` are those of the SDK's
    ``containers.create``. Errors of the SDK in the body come out as EngineStopped or
    EngineRefused.
    """
    from docker.errors import DockerException
    from requests.exceptions import RequestException

    program, *arguments = shlex.split(command) if isinstance(command, str) else command
    with using(client) as docker:
        with answering("creating a container"):
            container = docker.containers.create(
                image,
                arguments,
                entrypoint=[program],
                labels={LABEL: "1"},
                **({"init": False} | options),
            )
        try:
            with answering("looking at a container"):
                container.start()
                container.reload()
                yield container
        finally:
            # An engine that has gone cannot remove it; its error was or will be told elsewhere.
            with suppress(DockerException, RequestException):
                container.remove(force=True)
