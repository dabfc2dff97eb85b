"""Look into a running container: the live source of observations.

One short script runs inside and prints sections; the engine adds ``docker inspect``; and where
this machine lets us (root, the engine's processes in view) the shim's bundle gives the OCI spec.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpubook import engine
from gpubook.errors import BookError
from gpubook.injection.observation import Observation, from_sections

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

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "device": {"device_requests": [{"Driver": "cdi", "DeviceIDs": ["nvidia.com/gpu=all"]}]},
    "runtime": {"runtime": "nvidia", "environment": {"NVIDIA_VISIBLE_DEVICES": "all"}},
    "gpus": {"device_requests": [{"Count": -1, "Capabilities": [["gpu"]]}]},
}
"""How a container can ask for the GPU: options for the Docker SDK."""


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


def look(image: str, way: str) -> tuple[Observation, str]:
    """Start a container that asks for the GPU in one of WAYS, read it, remove it.

    Returns the observation and what ``nvidia-smi`` printed there, empty without that program.
    Raises the engine's errors as they are: a refused GPU is refused.
    """
    if way not in WAYS:
        raise RequestUnknown(f"no way {way!r} of asking for the GPU: choose {', '.join(WAYS)}")
    with engine.running(image, "sleep 60", **WAYS[way]) as container:
        seen = observe(container)
        smi = b"" if seen.smi_path is None else container.exec_run([seen.smi_path])[1]
    return seen, smi.decode("utf-8", "replace")
