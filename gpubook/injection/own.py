"""Put a CDI specification where the engine finds it, for as long as a demonstration takes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gpubook import engine
from gpubook.errors import BookError

if TYPE_CHECKING:
    from docker.models.containers import Container


class CdiUnavailable(BookError):
    """The engine reads no CDI specifications, or none can be put there."""


def spec_folder() -> str:
    """The first folder in which the engine looks for CDI specifications."""
    folders = engine.info()["cdi"]["directories"]
    if not folders:
        raise CdiUnavailable(
            "this engine reads no CDI specifications: from Docker 25 on, set "
            '"features": {"cdi": true} in daemon.json and restart docker (28.2 has it on)'
        )
    return folders[0]


@contextmanager
def placed(image: str, folder: str, files: dict[str, str]) -> Iterator[None]:
    """Write ``files`` (name: text) into the engine's ``folder``, and remove them at the end.

    A container of ``image`` that mounts the folder does it: the engine may be in a virtual
    machine, or this Python in a container, and then the folder is not ours to see. Whoever may
    use the engine can write there in this way. Should we be killed, the container removes the
    files when its time is over.
    """
    names = " ".join(files)
    if any(not re.fullmatch(r"gpubook-[\w.-]+", name) for name in files):
        raise ValueError(f"names must start with gpubook-: {names}")
    remove = f"cd /cdi && rm -f {names}"
    command = ["sh", "-c", f"trap '{remove}' EXIT; sleep 300"]
    volumes = {folder: {"bind": "/cdi", "mode": "rw"}}
    with engine.running(image, command, volumes=volumes) as helper:
        try:
            for name, text in files.items():
                _say(helper, folder, f'printf %s "$TEXT" > /cdi/{name}', TEXT=text)
            yield
        finally:
            _say(helper, folder, remove)


def _say(helper: Container, folder: str, script: str, **environment: str) -> None:
    code, said = helper.exec_run(["sh", "-c", script], environment=environment)
    if code:
        text = said.decode("utf-8", "replace").strip()
        raise CdiUnavailable(f"cannot write into the engine's folder {folder}: {text}")
