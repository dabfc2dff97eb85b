"""Checks of an installation of Docker Engine on Ubuntu or Debian, one for each step of it.

The steps are those of https://docs.docker.com/engine/install/ubuntu/; nothing is changed here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from gpubook.engine.endpoint import EngineError, resolve

CONFLICTING = (
    "docker.io",
    "docker-compose",
    "docker-compose-v2",
    "docker-doc",
    "podman-docker",
    "containerd",
    "runc",
)
"""The distribution's packages that Docker's own cannot be installed beside."""

PACKAGES = (
    "docker-ce",
    "docker-ce-cli",
    "containerd.io",
    "docker-buildx-plugin",
    "docker-compose-plugin",
)
"""Docker's own packages."""

KEY = Path("/etc/apt/keyrings/docker.asc")
SOURCES = Path("/etc/apt/sources.list.d")
REPOSITORY = "download.docker.com"


def parse_dpkg(text: str) -> dict[str, str]:
    """Lines of ``package<TAB>version<TAB>status`` → version of each that is installed."""
    rows = [line.split("\t") for line in text.splitlines()]
    return {r[0]: r[1] for r in rows if len(r) == 3 and r[2].startswith("ii")}


def _installed(names: tuple[str, ...]) -> dict[str, str] | None:
    """Versions of the installed ones among the packages; ``None`` where there is no dpkg."""
    if shutil.which("dpkg-query") is None:
        return None
    form = "${Package}\t${Version}\t${db:Status-Abbrev}\n"
    # It ends with 1 as soon as one name is unknown, and still prints the others.
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", form, *names], capture_output=True, text=True, timeout=30
    )
    return parse_dpkg(done.stdout)


def installation(*, key: Path = KEY, sources: Path = SOURCES) -> list[dict]:
    """What each step of the installation left here: ``[{"step", "check", "found", "ok"}]``.

    ``ok`` is ``None`` where the step does not apply (a system without dpkg).
    """
    here = _installed(CONFLICTING + PACKAGES)
    rows = []
    if here is None:
        rows.append(_row("old packages", "packages in the way", "no dpkg on this system", None))
    else:
        old = [f"{name} {here[name]}" for name in CONFLICTING if name in here]
        rows.append(_row("old packages", "packages in the way", ", ".join(old) or "none", not old))
    rows.append(_row("repository", f"key {key}", "there" if key.is_file() else "no", key.is_file()))
    lists = [f.name for f in _files(sources) if REPOSITORY in _text(f)]
    rows.append(_row("repository", "apt source", ", ".join(lists) or "none", bool(lists)))
    for name in PACKAGES:
        version = (here or {}).get(name)
        ok = None if here is None else version is not None
        rows.append(_row("packages", name, version or "not installed", ok))
    found, ok = _access()
    return [*rows, _row("access", "this user may open the engine's socket", found, ok)]


def _row(step: str, check: str, found: str, ok: bool | None) -> dict:
    return {"step": step, "check": check, "found": found, "ok": ok}


def _files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.glob("*") if f.suffix in (".list", ".sources"))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _access() -> tuple[str, bool]:
    try:
        endpoint = resolve()
    except EngineError as error:
        return str(error), False
    path = endpoint.socket_path
    if path is None:
        return f"{endpoint.host} is no local socket", True
    try:
        exists = path.is_socket()
    except OSError:
        exists = False
    if not exists:
        return f"no socket at {path}", False
    allowed = os.access(path, os.R_OK | os.W_OK)
    return f"{path}: {'yes' if allowed else 'permission denied'}", allowed
