"""Look into a running container: the live source of observations.

One short script runs inside and prints sections; the engine adds ``docker inspect``; and where
this machine lets us (root, the engine's processes in view) the shim's bundle gives the OCI spec.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubook import engine
from gpubook.errors import BookError
from gpubook.injection.classify import CdiEdits, capabilities, classify, counts, unknown
from gpubook.injection.observation import Observation, from_sections, to_json
from gpubook.injection.path import decide

if TYPE_CHECKING:
    from docker.models.containers import Container


class RequestUnknown(BookError):
    """A way of asking for the GPU that the book does not have."""


# The environment is that of the first process: `docker exec` starts from the container's settings
# and does not see what was added to the OCI spec. And `ls` on every node, not `find -type c`: a
# node that is bind-mounted shows through find as the plain file that serves as its mount point
# (seen in the legacy capture).
SCRIPT = r"""
say() { printf '\n@@%s\n' "$1"; }
say mountinfo; cat /proc/self/mountinfo
say dev; find /dev ! -type d ! -type l -exec ls -ld {} + 2>/dev/null | grep '^[cb]'
say env; tr '\0' '\n' < /proc/1/environ
say ldcache; (ldconfig -p || /sbin/ldconfig -p) 2>/dev/null | grep -iE 'cuda|nvidia|nvcuvid|nvoptix'
say links
find / -xdev \( -path /proc -o -path /sys \) -prune -o -type l \( -iname '*nvidia*' \
  -o -iname '*cuda*' -o -iname 'libnvcuvid*' -o -iname 'libnvoptix*' \) \
  -exec ls -ld {} + 2>/dev/null
say ldconf; for f in /etc/ld.so.conf.d/*; do printf '==> %s <==\n' "$f"; cat "$f"; done 2>/dev/null
say proc; cat /proc/driver/nvidia/params /proc/driver/nvidia/version 2>/dev/null
say smi; command -v nvidia-smi
say end
"""

# How a container can ask for the GPU: (command, as typed; what the SDK needs for the same).
WAYS: dict[str, tuple[str, dict[str, Any]]] = {
    "plain": ("docker run --rm IMAGE", {}),
    "device": (
        "docker run --rm --device nvidia.com/gpu=all IMAGE",
        {"device_requests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]},
    ),
    "runtime": (
        "docker run --rm --runtime=nvidia -e NVIDIA_VISIBLE_DEVICES=all IMAGE",
        {"runtime": "nvidia", "environment": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    ),
    "gpus": (
        "docker run --rm --gpus all IMAGE",
        {"device_requests": [{"Count": -1, "Capabilities": [["gpu"]]}]},
    ),
}


def sections(text: str) -> dict[str, str]:
    """Split the script's output at its ``@@name`` lines."""
    found: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if line.startswith("@@"):
            name = line[2:].strip()
            found[name] = ""
        elif name:
            found[name] += line + "\n"
    return found


def bundle_spec(container: Container) -> dict | None:
    """The OCI spec that runc was given, or None where it cannot be read from here."""
    shim = engine.shim_of(container)
    if shim is None:
        return None
    try:
        return json.loads(Path(f"/proc/{shim}/cwd/config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def observe(container: Container) -> Observation:
    """Read one running container. It needs a shell, ``cat``, ``find`` and ``ls`` inside."""
    exit_code, output = container.exec_run(["sh", "-c", SCRIPT])
    text = output.decode("utf-8", "replace")
    if "@@end" not in text:
        last = text.strip().split("\n")[-1][:200]
        raise engine.EngineRefused(
            f"cannot look into the container (exit code {exit_code}): {last}; "
            "its image needs a shell: try -p IMAGE ubuntu:24.04"
        )
    container.reload()
    return from_sections(sections(text), inspect=container.attrs, oci=bundle_spec(container))


def report(
    seen: Observation,
    *,
    command: str,
    smi: str = "",
    seconds: float | None = None,
    others: Iterable[CdiEdits] = (),
) -> dict[str, Any]:
    """What a notebook keeps of a container (JSON-able): the observation, and what follows from
    it. ``seconds``: how long reading took, without starting; None where that is not known."""
    items = classify(seen, others=others)
    decision = decide(seen, items)

    def rows(reasons: Iterable) -> list[dict[str, str]]:
        return [{"seen": r.seen, "where": r.where, "speaks_for": r.speaks_for} for r in reasons]

    return {
        "command": command,
        "path": decision.path,
        "meaning": decision.meaning,
        "reasons": rows(decision.reasons),
        "against": rows(decision.against),
        "counts": counts(items),
        "capabilities": capabilities(items),
        "unknown": [f"{i.kind} {i.target}" for i in unknown(items)],
        "smi": smi,
        "seconds": seconds,
        "observation": to_json(seen),
    }


def look(
    image: str,
    way: str,
    *,
    options: dict[str, Any] | None = None,
    commands: Iterable[str] = (),
    others: Iterable[CdiEdits] = (),
) -> dict[str, Any]:
    """Start a container that asks for the GPU in one of WAYS, read it, remove it.

    ``options`` replace those of the way; ``commands`` run inside afterwards, and their output is
    added as ``steps``. Raises the engine's errors as they are: a refused GPU is refused.
    """
    if way not in WAYS:
        raise RequestUnknown(f"no way {way!r} of asking for the GPU: choose {', '.join(WAYS)}")
    command, known = WAYS[way]
    steps = []
    with ExitStack() as stack:
        container = stack.enter_context(
            engine.running(image, "sleep 60", **(known if options is None else options))
        )
        start = time.perf_counter()
        seen = observe(container)
        seconds = round(time.perf_counter() - start, 3)
        smi = ""
        if seen.smi_path:
            smi = container.exec_run([seen.smi_path])[1].decode("utf-8", "replace")
        for line in commands:
            code, said = container.exec_run(["sh", "-c", line])
            text = said.decode("utf-8", "replace")
            steps.append({"command": line, "stdout": text, "exit_code": code, "seconds": None})
    found = report(seen, command=command, smi=smi, seconds=seconds, others=others)
    return found | ({"steps": steps} if steps else {})
