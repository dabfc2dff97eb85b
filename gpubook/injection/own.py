"""Put a CDI specification where the engine finds it, for as long as a demonstration takes."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from gpubook import engine
from gpubook.errors import BookError
from gpubook.injection import cdi
from gpubook.injection.classify import classify, injected
from gpubook.injection.collect import look
from gpubook.injection.observation import from_json


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

    Directly where we may. Otherwise through a container of ``image`` that mounts the folder:
    whoever may use the engine can write there, and the engine may be in a virtual machine.
    """
    names = " ".join(files)
    if any(not n.startswith("gpubook-") or "/" in n for n in files):
        raise ValueError(f"names must start with gpubook-: {names}")
    here = Path(folder)
    try:
        here.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (here / name).write_text(text, encoding="utf-8")
        direct = True
    except OSError:
        direct = False
    try:
        if not direct:
            for name, text in files.items():
                _in_container(image, folder, f'printf %s "$TEXT" > /cdi/{name}', TEXT=text)
        yield
    finally:
        if direct:
            for name in files:
                (here / name).unlink(missing_ok=True)
        else:
            _in_container(image, folder, "cd /cdi && rm -f " + names)


def _in_container(image: str, folder: str, script: str, **environment: str) -> None:
    volumes = {folder: {"bind": "/cdi", "mode": "rw"}}
    with engine.running(image, "sleep 60", volumes=volumes) as container:
        code, said = container.exec_run(["sh", "-c", script], environment=environment)
        if code:
            text = said.decode("utf-8", "replace").strip()
            raise CdiUnavailable(f"cannot write into {folder}: {text}")


def try_spec(
    image: str, text: str, device: str, *, files: dict[str, str] | None = None, commands: tuple = ()
) -> dict:
    """Run a container with ``--device KIND=DEVICE`` of the specification ``text`` and report
    (as :func:`look`, with what was ``injected`` in place of the whole observation).

    ``FOLDER`` in the text becomes the engine's CDI folder, where ``files`` are put as well. The
    specification is checked first, so that a mistake is named before the engine sees it.
    """
    folder = spec_folder()
    text = text.replace("FOLDER", folder)
    spec = cdi.parse(text)
    name = f"{spec.kind}={device}"
    others = [spec.as_other(device)]
    wanted = {f"gpubook-{posixpath.basename(spec.kind)}.yaml": text} | (files or {})
    request = {"device_requests": [{"Driver": "cdi", "DeviceIDs": [name]}]}
    with ExitStack() as stack:
        stack.enter_context(placed(image, folder, wanted))
        found = look(image, "device", options=request, commands=commands, others=others)
    items = injected(classify(from_json(found.pop("observation")), others=others))
    return found | {
        "command": f"docker run --rm --device {name} IMAGE",
        "spec": text,
        "injected": [{"kind": i.kind, "target": i.target, "purpose": i.purpose} for i in items],
    }
