"""One container, started and looked at: its namespaces, cgroup, layers and OCI specification."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gpubook import machine
from gpubook.engine.endpoint import (
    EngineRefused,
    ImageMissing,
    UnexpectedAnswer,
    answering,
    using,
)
from gpubook.engine.processes import PROC, process_chain

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

DEMO_IMAGES = ("ubuntu:24.04", "gpubook-base:local", "gpu-plus-container:latest")
"""Images that are enough for the demonstrations (a shell and coreutils), best first."""

LABEL = "gpubook.demo"
"""Every container that the book starts carries this label, so that it can be found and removed."""

NAMESPACES = ("cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts")


def choose_image(image: str = "", client: DockerClient | None = None) -> str:
    """The image to run: ``image``, or the first of DEMO_IMAGES that is here; pulled if need be.

    Raises ImageMissing, naming what is here instead, when it can be neither found nor pulled.
    """
    from docker.errors import APIError, ImageNotFound

    wanted = (image,) if image else DEMO_IMAGES
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


def image_here(image: str = "") -> str:
    """The image for a page's containers: `choose_image`, or where no engine answers, its name."""
    if machine.probe().capabilities["docker"].available:
        return choose_image(image)
    return image or DEMO_IMAGES[0]


def image_facts(image: str, client: DockerClient | None = None) -> dict:
    """``{"name", "size_bytes", "layers", "user", "command"}`` of an image that is here."""
    with answering("looking at an image"), using(client) as docker:
        attrs = docker.images.get(image).attrs
    config = attrs.get("Config") or {}
    return {
        "name": image,
        "size_bytes": attrs["Size"],
        "layers": len((attrs.get("RootFS") or {}).get("Layers") or []),
        "user": config.get("User") or "root",
        "command": " ".join((config.get("Entrypoint") or []) + (config.get("Cmd") or [])),
    }


def _with_tag(image: str) -> str:
    """Without a tag the SDK would pull every tag that the repository has."""
    return image if ":" in image.rsplit("/", 1)[-1] or "@" in image else f"{image}:latest"


@contextmanager
def created(
    image: str, command: str | Sequence[str], *, client: DockerClient | None = None, **options
) -> Iterator[Container]:
    """A container that is created, not started, and removed at the end whatever happens.

    The command replaces the image's entry point, so that it is process 1 itself. ``options`` are
    those of the SDK's ``containers.create``. Errors of the SDK in the body come out as
    EngineStopped or EngineRefused.
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
                yield container
        finally:
            # An engine that has gone cannot remove it; its error was or will be told elsewhere.
            with suppress(DockerException, RequestException):
                container.remove(force=True)


@contextmanager
def running(
    image: str, command: str | Sequence[str] = ("sleep", "60"), **options
) -> Iterator[Container]:
    """`created`, and started. Its command should end by itself: we may be killed before it is."""
    with created(image, command, **options) as container:
        container.start()
        container.reload()
        yield container


def _say(container: Container, *command: str) -> str:
    """What a command in the container prints. Raises EngineRefused when it fails."""
    exit_code, output = container.exec_run(list(command), demux=False)
    text = output.decode("utf-8", "replace")
    if exit_code != 0:
        raise EngineRefused(f"`{' '.join(command)}` failed in the container: {text.strip()[:200]}")
    return text


def parse_namespaces(text: str) -> dict[str, int]:
    """Lines like ``pid:[4026531836]`` (what /proc/PID/ns/* link to) → ``{"pid": 4026531836}``."""
    found = re.findall(r"^([a-z_]+):\[([0-9]{1,20})\]$", text, re.MULTILINE)
    if not found:
        raise UnexpectedAnswer(
            f"no namespaces in {text[:60]!r}: expected lines like pid:[4026531836]"
        )
    return {kind: int(inode) for kind, inode in found}


def own_namespaces(proc: Path = PROC) -> dict[str, int]:
    """The namespaces that this Python itself is in."""
    names = "\n".join(str(link.readlink()) for link in sorted((proc / "self" / "ns").iterdir()))
    return parse_namespaces(names)


def parse_overlay(mountinfo: str) -> dict:
    """The root file system of a /proc/PID/mountinfo (proc_pid_mountinfo(5)):

    ``{"filesystem", "lower": [folders, top first], "upper", "work"}``; for a root that is not an
    overlay the folders are empty. Raises UnexpectedAnswer where no root is mounted.
    """
    for line in mountinfo.splitlines():
        head, separator, tail = line.partition(" - ")
        fields, filesystem = head.split(), tail.split()
        if not separator or len(fields) < 5 or fields[4] != "/" or len(filesystem) < 3:
            continue
        pairs = [option.partition("=")[::2] for option in filesystem[2].split(",")]
        options = {key: _unescape(value) for key, value in pairs}
        # Newer kernels list each lower folder by itself, as a repeated "lowerdir+".
        lower = options.get("lowerdir", "").split(":")
        lower += [_unescape(value) for key, value in pairs if key == "lowerdir+"]
        return {
            "filesystem": filesystem[0],
            "lower": [folder for folder in lower if folder],
            "upper": options.get("upperdir", ""),
            "work": options.get("workdir", ""),
        }
    raise UnexpectedAnswer("mountinfo: nothing is mounted at /")


def _unescape(text: str) -> str:
    r"""mountinfo writes blanks and backslashes in octal: ``\040``."""
    return re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), text)


def parse_cgroup_limits(files: dict[str, str]) -> dict:
    """Limits from a cgroup's files → ``{"memory_bytes", "cpus", "pids"}``, ``None`` = no limit.

    ``files`` maps file names to their text, of cgroup v2 (memory.max, cpu.max, pids.max) or v1
    (memory.limit_in_bytes, cpu.cfs_quota_us with cpu.cfs_period_us, pids.max).
    """
    memory = _limit(files.get("memory.max") or files.get("memory.limit_in_bytes"))
    if "cpu.max" in files:
        quota_text, _, period_text = files["cpu.max"].strip().partition(" ")
    else:
        quota_text = files.get("cpu.cfs_quota_us", "")
        period_text = files.get("cpu.cfs_period_us", "")
    quota, period = _limit(quota_text), _limit(period_text)
    return {
        # cgroup v1 says "no limit" with the largest page-aligned 63-bit number.
        "memory_bytes": memory if memory is not None and memory < 1 << 62 else None,
        "cpus": quota / period if quota is not None and period else None,
        "pids": _limit(files.get("pids.max")),
    }


def _limit(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if re.fullmatch(r"[0-9]{1,20}", text) else None


_CGROUP_FILES = {
    "2": ("memory.max", "cpu.max", "pids.max"),
    "1": (
        "memory/memory.limit_in_bytes",
        "cpu/cpu.cfs_quota_us",
        "cpu/cpu.cfs_period_us",
        "pids/pids.max",
    ),
}


def _read_limits(container: Container) -> dict:
    """The container's limits, read by the container itself from its own /sys/fs/cgroup."""
    files = {}
    for names in _CGROUP_FILES.values():
        for name in names:
            exit_code, output = container.exec_run(["cat", f"/sys/fs/cgroup/{name}"])
            if exit_code == 0:
                files[name.rsplit("/", 1)[-1]] = output.decode("utf-8", "replace")
        if files:
            break
    return parse_cgroup_limits(files)


def container_view(container: Container, proc: Path = PROC) -> dict:
    """What a running container is made of, seen from inside and from outside.

    ``namespaces``: ``[{"kind", "ours", "theirs", "shared"}]`` (inode numbers); ``pid_inside``
    and ``pid_outside`` of its first process; ``cgroup_inside`` and ``cgroup_outside`` (paths;
    "" outside where its /proc is not visible); ``limits``; ``overlay`` (`parse_overlay`) and
    ``image_layers``; ``changes``: ``[{"path", "change"}]`` since it was created.
    """
    with answering("looking into a container"):
        container.reload()
        theirs = parse_namespaces(
            _say(container, "sh", "-c", "for n in /proc/self/ns/*; do readlink $n; done")
        )
        ours = own_namespaces(proc)
        pid = container.attrs["State"]["Pid"]
        kinds = [kind for kind in NAMESPACES if kind in theirs and kind in ours]
        return {
            "namespaces": [
                {
                    "kind": kind,
                    "ours": ours[kind],
                    "theirs": theirs[kind],
                    "shared": ours[kind] == theirs[kind],
                }
                for kind in kinds
            ],
            "command": _say(container, "cat", "/proc/1/cmdline").replace("\0", " ").strip(),
            "pid_inside": 1,
            "pid_outside": pid,
            "cgroup_inside": _cgroup_path(_say(container, "cat", "/proc/self/cgroup")),
            "cgroup_outside": _outside_cgroup(proc, pid, container.id),
            "limits": _read_limits(container),
            "overlay": parse_overlay(_say(container, "cat", "/proc/self/mountinfo")),
            "image_layers": len(container.image.attrs.get("RootFS", {}).get("Layers") or []),
            "changes": [
                {"path": c["Path"], "change": ("changed", "added", "deleted")[c["Kind"]]}
                for c in container.diff() or []
            ],
        }


def _cgroup_path(text: str) -> str:
    """The path in a /proc/PID/cgroup: of v2 (``0::/…``) unless only v1 says anything."""
    paths = [line.split(":", 2)[2] for line in text.splitlines() if line.count(":") >= 2]
    return next((p for p in paths if p != "/"), "/" if paths else "")


def _outside_cgroup(proc: Path, pid: int, container_id: str) -> str:
    try:
        path = _cgroup_path((proc / str(pid) / "cgroup").read_text(encoding="utf-8"))
    except OSError:
        return ""
    return path if container_id in path else ""  # else the pid is another machine's


def parse_oci_spec(document: object) -> dict:
    """An OCI runtime specification (config.json) → what runc is told to do, in short:

    ``{"args", "user", "rootfs", "hostname", "namespaces": [types], "cgroup_path",
    "capabilities": [names], "mounts": int, "masked_paths": int, "seccomp_default", "hooks":
    {stage: count}}``. Raises UnexpectedAnswer when it is not a specification.
    Form: https://github.com/opencontainers/runtime-spec/blob/main/config.md
    """
    if not isinstance(document, dict) or not isinstance(document.get("ociVersion"), str):
        raise UnexpectedAnswer("not an OCI specification: it has no ociVersion")
    process, linux = _dict(document, "process"), _dict(document, "linux")
    user = _dict(process, "user")
    return {
        "oci_version": document["ociVersion"],
        "args": [a for a in _list(process, "args") if isinstance(a, str)],
        "user": f"{user.get('uid', 0)}:{user.get('gid', 0)}",
        "rootfs": _string(_dict(document, "root"), "path"),
        "hostname": _string(document, "hostname"),
        "namespaces": [
            n["type"]
            for n in _list(linux, "namespaces")
            if isinstance(n, dict) and isinstance(n.get("type"), str)
        ],
        "cgroup_path": _string(linux, "cgroupsPath"),
        "capabilities": [
            c for c in _list(_dict(process, "capabilities"), "bounding") if isinstance(c, str)
        ],
        "mounts": len(_list(document, "mounts")),
        "masked_paths": len(_list(linux, "maskedPaths")),
        "seccomp_default": _string(_dict(linux, "seccomp"), "defaultAction"),
        "hooks": {
            stage: len(hooks)
            for stage, hooks in _dict(document, "hooks").items()
            if isinstance(hooks, list)
        },
    }


def _dict(document: dict, key: str) -> dict:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _list(document: dict, key: str) -> list:
    value = document.get(key)
    return value if isinstance(value, list) else []


def _string(document: dict, key: str) -> str:
    value = document.get(key)
    return value if isinstance(value, str) else ""


def oci_spec(container: Container, proc: Path = PROC) -> dict:
    """The running container's specification: ``{"readable", "why", "bundle", "spec"}``.

    The shim's working folder is the bundle, which only root may read: for everybody else
    ``readable`` is False and ``why`` says what to type.
    """
    chain = process_chain(container, proc)
    unread = {"readable": False, "bundle": "", "spec": None}
    if not chain["visible"]:
        return unread | {"why": chain["why"]}
    shim = next(link["pid"] for link in chain["links"] if link["role"] == "shim")
    try:
        bundle = (proc / str(shim) / "cwd").readlink()
        document = json.loads((bundle / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        why = (
            f"{error.strerror}: the bundle is for root's eyes; look at it with "
            f"`sudo cat /proc/{shim}/cwd/config.json`"
        )
        return unread | {"why": why}
    return {"readable": True, "why": "", "bundle": str(bundle), "spec": parse_oci_spec(document)}
