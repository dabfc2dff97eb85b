"""What a container shows of itself, read from text: mounts, device nodes, environment, links.

An :class:`Observation` is the same whether it comes from a folder of captured files
(:func:`from_capture`) or from a running container (:mod:`gpubook.injection.collect`): plain text
from inside, plus, where they can be had, the engine's ``docker inspect`` and the OCI spec that
runc was given. Everything after this module works on observations only.

Format of ``mountinfo``: proc_pid_mountinfo(5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.errors import BookError


class MalformedInput(BookError):
    """Text that should describe a container does not have the documented form."""


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo. ``root`` is the path inside the mounted file system."""

    device: str  # major:minor of the file system
    root: str
    target: str
    options: tuple[str, ...]
    fstype: str
    source: str
    super_options: tuple[str, ...] = ()

    def as_mount_prints(self) -> str:
        """The line as the ``mount`` command prints it: options of the mount and of its file
        system together, and no ``root``."""
        rest = [o for o in self.super_options if o not in ("rw", "ro") and o not in self.options]
        options = ",".join([*self.options, *rest])
        return f"{self.source} on {self.target} type {self.fstype} ({options})"


@dataclass(frozen=True)
class DeviceNode:
    """A character (``c``) or block (``b``) device node under /dev."""

    path: str
    type: str
    major: int
    minor: int


@dataclass(frozen=True)
class Link:
    """A symbolic link and the text it points to."""

    path: str
    target: str


@dataclass(frozen=True)
class CacheEntry:
    """One line of ``ldconfig -p``: the name a program asks for, and the file it gets."""

    soname: str
    path: str


@dataclass(frozen=True)
class OciHook:
    """A hook of the OCI spec: ``stage`` is prestart, createContainer, ..."""

    stage: str
    path: str
    args: tuple[str, ...] = ()


@dataclass(frozen=True)
class OciMount:
    """A mount of the OCI spec."""

    source: str
    target: str
    type: str = ""


@dataclass(frozen=True)
class DeviceRule:
    """A device rule of the OCI spec's cgroup; -1 stands for "any number"."""

    allow: bool
    type: str
    major: int
    minor: int
    access: str


@dataclass(frozen=True)
class Oci:
    """The part of the OCI spec (``config.json`` of the bundle) that injection can touch."""

    env: tuple[str, ...]
    mounts: tuple[OciMount, ...]
    devices: tuple[DeviceNode, ...]
    hooks: tuple[OciHook, ...]
    rules: tuple[DeviceRule, ...]


@dataclass(frozen=True)
class Request:
    """What the engine was asked for, from ``docker inspect``."""

    runtime: str
    device_requests: tuple[dict[str, Any], ...]
    devices: tuple[str, ...]  # --device /dev/...: paths on the host
    env: tuple[str, ...]  # of the image and the command line together
    mounts: tuple[str, ...]  # targets of -v, --mount and volumes
    privileged: bool = False


@dataclass(frozen=True)
class Observation:
    """One container, seen from inside and, where possible, from the engine."""

    mounts: tuple[Mount, ...]
    devices: tuple[DeviceNode, ...]
    env: dict[str, str]
    links: tuple[Link, ...] = ()
    cache: tuple[CacheEntry, ...] = ()
    ld_conf: dict[str, tuple[str, ...]] = field(default_factory=dict)
    driver_params: dict[str, str] = field(default_factory=dict)
    driver_version: str | None = None  # of the kernel module, from /proc/driver/nvidia/version
    smi_path: str | None = None  # what `which nvidia-smi` answered
    request: Request | None = None
    oci: Oci | None = None


_OCTAL = re.compile(r"\\([0-7]{3})")


def _unescape(text: str) -> str:
    # mountinfo writes blanks, tabs, newlines and backslashes as octal escapes
    return _OCTAL.sub(lambda m: chr(int(m[1], 8)), text)


def _bad(what: str, number: int, line: str) -> MalformedInput:
    return MalformedInput(
        f"{what}, line {number}: cannot read {line[:120]!r}; is it the whole file?"
    )


def parse_mountinfo(text: str) -> tuple[Mount, ...]:
    """Mounts in mount order. Raises MalformedInput naming the first line that cannot be read."""
    mounts = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        fields = line.split(" ")
        try:
            dash = fields.index("-", 6)
            fstype, source = fields[dash + 1], fields[dash + 2]
        except (ValueError, IndexError):
            raise _bad("mountinfo", number, line) from None
        device, root, target, options = fields[2:6]
        if not re.fullmatch(r"\d+:\d+", device) or not target.startswith("/"):
            raise _bad("mountinfo", number, line)
        mounts.append(
            Mount(
                device,
                _unescape(root),
                _unescape(target),
                tuple(options.split(",")),
                fstype,
                _unescape(source),
                tuple(fields[dash + 3].split(",")) if len(fields) > dash + 3 else (),
            )
        )
    return tuple(mounts)


_LS_NODE = re.compile(
    r"(?P<type>[cb])[rwxsStT-]{9}[.+@]?\s+\d+\s+\S+\s+\S+\s+(?P<major>\d+),\s*(?P<minor>\d+)\s+"
    r".*?(?P<path>/\S+)$"
)
_LS_LINK = re.compile(r"l[rwxsStT-]{9}[.+@]?\s+\d+\s+.*?(?P<path>/\S+) -> (?P<target>\S+)$")


def parse_devices(text: str) -> tuple[DeviceNode, ...]:
    """Device nodes from ``ls -l`` lines with absolute paths; links are left out."""
    nodes = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.startswith("l"):
            continue
        match = _LS_NODE.match(line)
        if match is None:
            raise _bad("device list", number, line)
        nodes.append(
            DeviceNode(match["path"], match["type"], int(match["major"]), int(match["minor"]))
        )
    return tuple(nodes)


def parse_links(text: str) -> tuple[Link, ...]:
    """Symbolic links from ``ls -l`` lines with absolute paths."""
    links = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        match = _LS_LINK.match(line)
        if match is None:
            raise _bad("link list", number, line)
        links.append(Link(match["path"], match["target"]))
    return tuple(links)


def parse_env(text: str) -> dict[str, str]:
    """``NAME=value`` lines. A line without ``=`` continues the value of the one before."""
    env: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", key):
            name, env[key] = key, value
        elif name and line:
            env[name] += "\n" + line
    return env


def parse_cache(text: str) -> tuple[CacheEntry, ...]:
    """Entries of ``ldconfig -p``; its heading line is passed over."""
    found = re.findall(r"^\s+(\S+) \([^)]*\) => (\S+)$", text, re.MULTILINE)
    return tuple(CacheEntry(soname, path) for soname, path in found)


def parse_ld_conf(text: str) -> dict[str, tuple[str, ...]]:
    """Folders by file, from ``head /etc/ld.so.conf.d/*`` (sections ``==> FILE <==``)."""
    conf: dict[str, tuple[str, ...]] = {}
    name = ""
    for line in text.split("\n"):
        heading = re.fullmatch(r"==> (\S+) <==", line.strip())
        if heading:
            name = heading[1]
            conf[name] = ()
        elif name and line.strip() and not line.lstrip().startswith("#"):
            conf[name] += (line.strip(),)
    return conf


def parse_driver(text: str) -> tuple[dict[str, str], str | None]:
    """(parameters, version) of the kernel module, from /proc/driver/nvidia as text."""
    params = dict(re.findall(r"^([A-Z]\w+): (.*)$", text, re.MULTILINE))
    version = re.search(r"^NVRM version: .*?\s(\d+\.\d+(?:\.\d+)?)\s", text, re.MULTILINE)
    return params, version[1] if version else None


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}


def parse_inspect(data: Any) -> Request:
    """The request, from ``docker inspect`` (the list or its one object)."""
    if isinstance(data, list) and len(data) == 1:
        data = data[0]
    if not isinstance(data, dict) or not isinstance(data.get("HostConfig"), dict):
        raise MalformedInput("docker inspect: no HostConfig; pass the answer for one container")
    host, config = data["HostConfig"], _dict(data.get("Config"))
    return Request(
        runtime=str(host.get("Runtime") or ""),
        device_requests=tuple(
            {
                "driver": str(item.get("Driver") or ""),
                "count": item.get("Count") or 0,
                "ids": [str(x) for x in _list(item.get("DeviceIDs"))],
                "capabilities": [
                    [str(c) for c in _list(x)] for x in _list(item.get("Capabilities"))
                ],
            }
            for item in map(_dict, _list(host.get("DeviceRequests")))
        ),
        devices=tuple(
            str(_dict(item).get("PathOnHost") or "") for item in _list(host.get("Devices"))
        ),
        env=tuple(str(item) for item in _list(config.get("Env"))),
        mounts=tuple(
            str(_dict(item).get("Destination") or "") for item in _list(data.get("Mounts"))
        ),
        privileged=bool(host.get("Privileged")),
    )


def _number(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else -1


def parse_oci(data: Any) -> Oci:
    """The part of an OCI spec that injection can touch. A hook's environment is left out: it is
    the engine's own, and says nothing about the container."""
    if not isinstance(data, dict) or "ociVersion" not in data:
        raise MalformedInput("OCI spec: no ociVersion; pass the config.json of the bundle")
    linux = _dict(data.get("linux"))
    hooks = _dict(data.get("hooks"))
    return Oci(
        env=tuple(str(item) for item in _list(_dict(data.get("process")).get("env"))),
        mounts=tuple(
            OciMount(
                str(item.get("source") or ""),
                str(item.get("destination") or ""),
                str(item.get("type") or ""),
            )
            for item in map(_dict, _list(data.get("mounts")))
        ),
        devices=tuple(
            DeviceNode(
                str(item.get("path") or ""),
                str(item.get("type") or ""),
                _number(item.get("major")),
                _number(item.get("minor")),
            )
            for item in map(_dict, _list(linux.get("devices")))
        ),
        hooks=tuple(
            OciHook(
                str(stage),
                str(item.get("path") or ""),
                tuple(str(arg) for arg in _list(item.get("args"))),
            )
            for stage, entries in hooks.items()
            for item in map(_dict, _list(entries))
        ),
        rules=tuple(
            DeviceRule(
                bool(item.get("allow")),
                str(item.get("type") or "a"),
                _number(item.get("major")),
                _number(item.get("minor")),
                str(item.get("access") or ""),
            )
            for item in map(_dict, _list(_dict(linux.get("resources")).get("devices")))
        ),
    )


def _smi_path(text: str) -> str | None:
    first = text.split("\n", 1)[0].strip()
    return first if first.startswith("/") else None


def from_sections(sections: dict[str, str], *, inspect: Any = None, oci: Any = None) -> Observation:
    """Build an observation from named texts: mountinfo, dev, env, links, ldcache, ldconf, proc,
    smi. Missing ones count as empty, but mountinfo must be there."""
    if not sections.get("mountinfo", "").strip():
        raise MalformedInput("no mountinfo: the container has no /proc, or the capture is cut")
    params, version = parse_driver(sections.get("proc", ""))
    return Observation(
        mounts=parse_mountinfo(sections["mountinfo"]),
        devices=parse_devices(sections.get("dev", "")),
        env=parse_env(sections.get("env", "")),
        links=parse_links(sections.get("links", "")),
        cache=parse_cache(sections.get("ldcache", "")),
        ld_conf=parse_ld_conf(sections.get("ldconf", "")),
        driver_params=params,
        driver_version=version,
        smi_path=_smi_path(sections.get("smi", "")),
        request=None if inspect is None else parse_inspect(inspect),
        oci=None if oci is None else parse_oci(oci),
    )


def from_outputs(mountinfo: str, nodes: str, env: str, spec: dict | None = None) -> Observation:
    """One container of page 06, from what its three commands printed. ``spec`` is the page's
    excerpt of ``docker inspect`` and the OCI spec: runtime, asked, hooks, devices, rules."""
    sections = {"mountinfo": mountinfo, "dev": nodes, "env": env}
    if spec is None:
        return from_sections(sections)
    hooks: dict[str, list] = {}
    for stage, *args in spec["hooks"]:
        hooks.setdefault(stage, []).append({"path": args[0], "args": args})
    linux = {"devices": [{"path": path} for path in spec["devices"]]}
    linux["resources"] = {"devices": spec["rules"]}
    host = {"Runtime": spec["runtime"], "DeviceRequests": spec["asked"]}
    oci = {"ociVersion": "", "hooks": hooks, "linux": linux}
    return from_sections(sections, inspect={"HostConfig": host}, oci=oci)


CAPTURE_FILES = {
    "mountinfo": "mountinfo",
    "dev": "dev.txt",
    "env": "env.txt",
    "links": "links.txt",
    "ldcache": "ldcache.txt",
    "ldconf": "ld.so.conf.d.txt",
    "proc": "proc-driver-nvidia.txt",
    "smi": "nvidia-smi.txt",
}


def from_capture(folder: Path) -> Observation:
    """Read one captured container, e.g. ``recordings/h100/captures/legacy``."""

    def text(name: str) -> str:
        path = folder / name
        return files.read_text(path) if path.is_file() else ""

    def parsed(name: str) -> Any:
        return files.json_of(text(name), f"{folder.name}/{name}") if text(name) else None

    return from_sections(
        {key: text(name) for key, name in CAPTURE_FILES.items()},
        inspect=parsed("inspect.json"),
        oci=parsed("oci-config.json"),
    )
