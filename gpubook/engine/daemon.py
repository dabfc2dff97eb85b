"""dockerd's configuration file: where it is, and what is in it."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

from gpubook import files
from gpubook.machine.endpoint import UnexpectedAnswer, daemon_pid, resolve

SYSTEM_CONFIG = Path("/etc/docker/daemon.json")
ROOTLESS_CONFIG = files.home() / ".config/docker/daemon.json"


def parse_daemon_config(text: str, path: str = str(SYSTEM_CONFIG)) -> dict:
    """daemon.json's text as ``{"path", "exists": True, "text", "config": dict, "why": ""}``.

    Raises UnexpectedAnswer with the line when dockerd would not start with it.
    """
    try:
        config = json.loads(text) if text.strip() else {}
        files.json_of(text if text.strip() else "{}", path)
    except json.JSONDecodeError as error:
        raise UnexpectedAnswer(
            f"{path} is not JSON, line {error.lineno}: {error.msg}; dockerd will not start with "
            f"it: mend it and check with `sudo dockerd --validate --config-file {path}`"
        ) from None
    except (ValueError, RecursionError) as error:
        raise UnexpectedAnswer(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(config, dict):
        raise UnexpectedAnswer(f"{path} holds no JSON object ({{…}}), which is what dockerd wants")
    return {"path": path, "exists": True, "text": text.rstrip(), "config": config, "why": ""}


def daemon_config(path: Path | None = None) -> dict:
    """The configuration file of the dockerd that runs here, in `parse_daemon_config`'s shape.

    Without a path: the one on dockerd's command line, else /etc/docker/daemon.json, or for
    a rootless engine the one in the user's ~/.config/docker. A file that is not there is no
    error (dockerd then runs on its defaults): ``exists`` is False and ``why`` says so.
    """
    path = path or Path(config_path())
    absent = {"path": str(path), "exists": False, "text": "", "config": {}}
    try:
        text = files.read_text(path)
    except FileNotFoundError:
        return absent | {"why": "no such file: dockerd runs on its defaults"}
    except OSError as error:
        return absent | {"why": f"cannot be read: {error.strerror}"}
    except files.Malformed as error:
        raise UnexpectedAnswer(str(error)) from None
    return parse_daemon_config(text, str(path))


def config_path() -> str:
    """The configuration file of the dockerd that runs here, whether there is one or not."""
    arguments = _dockerd()
    for argument, following in itertools.pairwise([*arguments, ""]):
        if argument == "--config-file" and following:
            return following
        if argument.startswith("--config-file="):
            return argument.partition("=")[2]
    return str(ROOTLESS_CONFIG if resolve().rootless else SYSTEM_CONFIG)


def _dockerd() -> list[str]:
    """The command line of the dockerd at our socket, else of the first: a machine can run two."""
    import psutil

    processes = psutil.process_iter(["pid", "name", "cmdline"])
    daemons = {p.pid: p.info["cmdline"] or [] for p in processes if p.info["name"] == "dockerd"}
    return daemons.get(daemon_pid()) or next(iter(daemons.values()), [])
