"""What `.ci/engine` and `.ci/slurm` share: Debian's packages in a folder, daemons ended by pid.

Only the standard library is used, because both run before anything is installed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

KEYRING = pathlib.Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class ServiceError(Exception):
    """What went wrong, why, and what to do: one line for a person."""


def say(text: str) -> None:
    print(f"{pathlib.Path(sys.argv[0]).name}: {text}", file=sys.stderr, flush=True)


def cache_folder(name: str) -> pathlib.Path:
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
    return pathlib.Path(base) / "gpubook" / name


def output_of(command: list[str], **more) -> str:
    """Run a command and return its output; a ServiceError with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise ServiceError(f"`{shlex.join(command)}` failed with {done.returncode}: {last}")
    return done.stdout


# ---------------------------------------------------------------------------- Debian's packages


def debian_suite(otherwise: str) -> str:
    """The codename of this Debian; a ServiceError that ends in ``otherwise`` on other systems."""
    release = {}
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/etc/os-release").read_text().splitlines():
            key, _, value = line.partition("=")
            release[key] = value.strip('"')
    if release.get("ID") != "debian" or shutil.which("apt-get") is None:
        raise ServiceError(otherwise)
    return release.get("VERSION_CODENAME", "")


def mirror(suite: str) -> str:
    """The Debian mirror that this machine's own apt sources name."""
    lines = output_of(["apt-get", "indextargets", "--format", "$(RELEASE) $(REPO_URI)"])
    for line in lines.splitlines():
        release, _, uri = line.partition(" ")
        if release in (suite, "stable"):
            return uri
    raise ServiceError(f"apt's sources have no entry for {suite}; add one, then run this again")


@dataclasses.dataclass(frozen=True)
class Apt:
    """An apt with sources, lists and archives of its own; the machine's stay as they are."""

    work: pathlib.Path
    environment: dict[str, str]

    def get(self, *arguments: str, **more) -> None:
        output_of(["apt-get", *arguments, "-q"], env=self.environment, **more)


@contextlib.contextmanager
def private_apt(cache: pathlib.Path, *suites: str) -> Iterator[Apt]:
    """An updated Apt with these suites, the machine's own one first; removed at the end."""
    work = cache / f"fetch-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    for folder in ("sources", "lists/partial", "cache/archives/partial", "debs", "root"):
        (work / folder).mkdir(parents=True)
    try:
        (work / "sources" / "debian.sources").write_text(
            f"Types: deb\nURIs: {mirror(suites[0])}\n"
            f"Suites: {' '.join(dict.fromkeys(suites))}\n"
            f"Components: main\nSigned-By: {KEYRING}\n"
        )
        (work / "apt.conf").write_text(
            'Dir::Etc::sourcelist "/dev/null";\n'
            f'Dir::Etc::sourceparts "{work}/sources";\n'
            f'Dir::State::lists "{work}/lists";\n'
            f'Dir::Cache "{work}/cache";\n'
            'APT::Sandbox::User "root";\n'  # _apt may not read below a home folder
        )
        variables = {"APT_CONFIG": str(work / "apt.conf"), "DEBIAN_FRONTEND": "noninteractive"}
        apt = Apt(work, os.environ | variables)
        apt.get("update")
        yield apt
    finally:
        shutil.rmtree(work, ignore_errors=True)


def unpack(apt: Apt, debs: pathlib.Path, target: pathlib.Path) -> None:
    """Unpack the packages of a folder, without installing one, and rename the result to target."""
    versions = []
    for deb in sorted(debs.glob("*.deb")):
        output_of(["dpkg", "-x", str(deb), str(apt.work / "root")])
        versions.append(deb.name.removesuffix(".deb"))
    (apt.work / "root" / "versions.txt").write_text("\n".join(versions) + "\n")
    shutil.rmtree(target, ignore_errors=True)
    (apt.work / "root").rename(target)


# -------------------------------------------------------------------------------------- daemons


def launch(command: list[str], log: pathlib.Path, environment: dict[str, str]) -> int:
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            env=environment,
            cwd="/",
            start_new_session=True,  # so that Ctrl-C in a test run doesn't end the daemon
        ).pid


def wait_for(ready, pid: int, what: str, log: pathlib.Path, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        ended = os.waitpid(pid, os.WNOHANG)[0] == pid
        if ended or time.monotonic() > deadline:
            lines = log.read_text(errors="replace").strip().splitlines() or ["(no output)"]
            why = "ended" if ended else f"did not answer in {seconds:.0f} s"
            raise ServiceError(f"{what} {why}: {lines[-1]} (all of it: {log})")
        time.sleep(0.1)


@dataclasses.dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    command: str


def processes() -> list[Process]:
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            after_name = (entry / "stat").read_text().rpartition(")")[2].split()
            if after_name[0] == "Z":
                continue
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            found.append(Process(int(entry.name), int(after_name[1]), command.strip()))
    return found


def end(pids: list[int], *, seconds: float) -> None:
    """Ask processes to end, and kill those that have not after some seconds."""
    for signal_number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 10)):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal_number)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            alive = {p.pid for p in processes()} & set(pids)
            if not alive:
                return
            time.sleep(0.05)


def mounts_below(*folders: pathlib.Path) -> list[str]:
    lines = pathlib.Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    return [p for p in points if any(p.startswith(f"{folder}/") for folder in folders)]
