"""The toolkit and the engine beside it: what is configured, what a version does."""

from __future__ import annotations

import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gpubook import engine
from gpubook.errors import BookError
from gpubook.evidence import terminal
from gpubook.injection.own import CdiUnavailable
from gpubook.injection.stub import stub_driver


class VersionUnreadable(BookError):
    """A text that should start with a version number does not."""


CONFIGURE = "nvidia-ctk runtime configure --runtime=docker --dry-run"

# What changed when. Sources: release notes of Docker Engine 25.0, 28.2 and 29.2 and
# moby/moby#50228; release notes of the NVIDIA Container Toolkit 1.14 and 1.18.
CHANGES: tuple[dict[str, str], ...] = (
    {
        "since": "Docker 19.03 (2019)",
        "change": "--gpus: the engine adds the toolkit's prestart hook by itself",
    },
    {
        "since": "Toolkit 1.14 (2023)",
        "change": "the chapter's version: --runtime=nvidia adds the same prestart hook by default",
    },
    {
        "since": "Docker 25 (January 2024)",
        "change": "the engine can read CDI specifications, when features.cdi is true",
    },
    {"since": "Docker 28.2 (May 2025)", "change": "CDI is on unless it is switched off"},
    {
        "since": "Toolkit 1.18 (October 2025)",
        "change": "--runtime=nvidia makes a CDI specification per container; a service keeps "
        "the host's specification fresh",
    },
    {
        "since": "Docker 29.2 (January 2026)",
        "change": "--gpus tries CDI first and keeps the hook for when that fails",
    },
)


def version_tuple(text: str) -> tuple[int, ...]:
    """``(28, 5, 2)`` for ``28.5.2+dfsg4``."""
    match = re.match(r"v?(\d+(?:\.\d+)*)", text.strip())
    if match is None:
        raise VersionUnreadable(f"{text!r} does not start with a version number such as 28.5.2")
    return tuple(int(part) for part in match[1].split("."))


def expected_path(
    way: str, *, docker: str, toolkit: str, cdi_enabled: bool = False, spec: bool = True
) -> str | None:
    """The injection path that these versions give a request, or None where it is refused.

    ``way`` as in ``collect.WAYS``; ``cdi_enabled``: ``features.cdi`` is set in daemon.json;
    ``spec``: there is a CDI specification on the host. A rule of versions: what a container shows
    (:func:`gpubook.injection.decide`) outranks it.
    """
    engine_version, toolkit_version = version_tuple(docker), version_tuple(toolkit)
    reads_cdi = engine_version >= (28, 2) or (engine_version >= (25,) and cdi_enabled)
    if way == "plain":
        return "none"
    if way == "device":
        return "engine-cdi" if reads_cdi and spec else None
    if way == "runtime":
        return "jit-cdi" if toolkit_version >= (1, 18) else "legacy"
    if way == "gpus":
        return "engine-cdi" if engine_version >= (29, 2) and spec else "legacy"
    raise ValueError(f"no way {way!r} of asking")


def configuration_in(text: str) -> dict[str, Any]:
    """The JSON that ``nvidia-ctk runtime configure --dry-run`` prints among its log lines."""
    start = text.find("{\n")
    try:
        found = json.loads(text[start:]) if start >= 0 else None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise VersionUnreadable("the dry run printed no daemon.json: run `nvidia-ctk --version`")
    return found


def engine_view() -> dict[str, Any]:
    """What the engine says of GPUs: its runtimes, and the CDI devices it found."""
    info = engine.info()
    return {
        "server": info["server"],
        "default_runtime": info["default_runtime"],
        "runtimes": [row["name"] for row in info["runtimes"]],
        "cdi_directories": info["cdi"]["directories"],
        "cdi_devices": info["cdi"]["devices"],
    }


def configuration() -> dict[str, Any]:
    """daemon.json as it is, and as the toolkit would write it (nothing is changed)."""
    config = engine.daemon_config()
    said = terminal.run(CONFIGURE, timeout=60)["stdout"]
    return {
        "daemon_json": json.loads(config["text"]) if config["exists"] else {},
        "dry_run": configuration_in(said),
    }


def host_specification() -> dict[str, str]:
    """The host's CDI specification of nvidia.com/gpu: ``{"path", "text"}``. Where two folders have
    one, the engine takes a device from the folder that it names last (CDI's own rule)."""
    folders = engine.info()["cdi"]["directories"]
    for folder in reversed(folders):
        for path in sorted(Path(folder).glob("*")):
            if path.suffix in (".yaml", ".yml", ".json"):
                text = path.read_text(encoding="utf-8", errors="replace")
                if re.search(r"kind\W+nvidia\.com/gpu", text):
                    return {"path": str(path), "text": text}
    raise CdiUnavailable(
        f"no specification of nvidia.com/gpu in {', '.join(folders) or 'any folder'}: "
        "`sudo systemctl restart nvidia-cdi-refresh.service` makes one (toolkit before 1.18: "
        "`sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml`)"
    )


def run_workload(command: str, *, stub: Path | None = None) -> dict[str, Any]:
    """Run one command line as typed; the form of a terminal's evidence. ``stub``: the folder of
    captures, from which a stub driver is made for as long as the command runs."""
    with stub_driver(stub) if stub else nullcontext():
        step = terminal.run(command, timeout=120)
    if step["exit_code"]:
        raise engine.EngineRefused(f"`{command}` failed: {step['stdout'].strip()[-300:]}")
    return {"steps": [step]}
