"""Renew the lock: exact versions and hashes of every package, for every install of this project.

    python tools/lock.py                      # keep the versions, add what pyproject.toml now asks
    python tools/lock.py --upgrade            # the newest version of everything
    python tools/lock.py --upgrade numpy ruff # the newest of these
    python tools/lock.py --torch-index URL    # torch's CPU builds as that index lists them

Writes requirements/*.txt and prints what changed. The lock holds for each Python and machine of
``PYTHONS`` and ``MACHINES``: the hashes are those of all files of a version, and each pair is
resolved with wheels alone before anything is written. uv does the resolving, because pip resolves
for one Python at a time; tools/install.py installs with pip.
"""

from __future__ import annotations

import argparse
import itertools
import re
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from gpubook.errors import BookError, exit_code

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "requirements"
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
MACHINES = ("x86_64", "aarch64")
HEADS = {
    "setup": "What set-up installs besides torch: the book, JupyterLab and the tests",
    "image": "What the image installs besides torch: the library, JupyterLab, a Hub's seat",
    "torch-cuda": "torch as the package index has it, and what its CUDA build needs besides",
    "hub": "What the Hub installs on the host",
    "lock": "What renews these files",
}
CPU = "torch-cpu"
# What only a CUDA build of torch asks for. nvidia-ml-py is ours, and in every install.
_CUDA = re.compile(r"(?!nvidia-ml-py)(cuda-|nvidia-|triton).*")
Lock = dict[str, str]
"""Each package's block of a lock file, its requirement and its hashes, by the package's name."""


class LockError(BookError):
    """Why the lock was not renewed; the files are as they were."""


@dataclass(frozen=True)
class Pin:
    """One package of a lock: its version (or versions) and the SHA-256 of each of its files."""

    version: str
    hashes: frozenset[str]


# ---------------------------------------------------------------------------------- lock files


def blocks(text: str) -> Lock:
    """The packages of a lock file. A block goes on while its lines are indented.

    A package has more than one where its versions differ by Python.
    """
    lock: Lock = {}
    for block in re.findall(r"^[a-z0-9].*\n(?:[ \t].*\n)*", text, re.MULTILINE):
        name = re.split(r"[=\s]", block, maxsplit=1)[0]
        lock[name] = lock.get(name, "") + block
    return lock


def read(name: str) -> Lock:
    """The packages of one of our lock files; none where it is not there yet."""
    path = LOCKS / f"{name}.txt"
    return blocks(path.read_text(encoding="utf-8")) if path.exists() else {}


def pin(block: str) -> Pin:
    """Version and hashes of a block."""
    versions = re.findall(r"^[^\s=]+==([^\s;\\]+)", block, re.MULTILINE)
    return Pin(" and ".join(versions), frozenset(re.findall(r"sha256:([0-9a-f]+)", block)))


def lock_text(name: str, lock: Lock) -> str:
    """A lock file's content."""
    head = f"# {HEADS[name]}. Made by `make lock`: not to be edited.\n"
    return head + "".join(lock[package] for package in sorted(lock))


# ------------------------------------------------------------------------------------ resolving


def uv(inputs: Iterable[str], output: Path, *options: str) -> Lock:
    """Resolve requirements with uv, which reads preferred versions from ``output``."""
    source = output.with_suffix(".in")
    source.write_text("\n".join(inputs) + "\n", encoding="utf-8")
    command = ["uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate"]
    command += ["--no-config", "--output-file", str(output), *options, str(source)]
    done = subprocess.run(
        [Path(sys.executable).with_name(command[0]), *command[1:]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        reason = " ".join(done.stderr.split()) or "uv said nothing"
        raise LockError(f"the requirements could not be resolved: {reason}")
    return blocks(output.read_text(encoding="utf-8"))


def universal(inputs: Iterable[str], output: Path, *options: str) -> Lock:
    """One resolution for every Python and machine, with the hashes of every file."""
    options = ("--universal", f"--python-version={PYTHONS[0]}", "--generate-hashes", *options)
    return uv(inputs, output, *options)


def requirements() -> dict[str, list[str]]:
    """What each lock must hold, as pyproject.toml and hub.in ask for it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = project["project"]["optional-dependencies"]
    always = project["project"]["dependencies"] + project["build-system"]["requires"]
    return {
        "torch-cuda": ["torch"],
        "setup": [*always, *extras["book"], *extras["lab"], *extras["test"]],
        "image": [*always, *extras["lab"], *extras["hub"]],
        "hub": (LOCKS / "hub.in").read_text(encoding="utf-8").splitlines(),
        "lock": ["uv"],
    }


def resolve(folder: Path, upgrade: Sequence[str] | None) -> dict[str, Lock]:
    """Every lock. All are parts of one resolution, so what two of them have is of one version."""
    asked = requirements()
    everything = folder / "all.txt"
    current = {package: block for name in HEADS for package, block in read(name).items()}
    # Versions alone: a file that the index has added or replaced must show.
    preferred = re.sub(r" \\\n|[ \t]+--hash=\S+", "", "".join(current.values()))
    everything.write_text(preferred, encoding="utf-8")
    named = [f"--upgrade-package={package}" for package in upgrade or ()]
    options = ["--upgrade"] if upgrade == [] else named
    together = universal(itertools.chain(*asked.values()), everything, *options)
    whole = {
        name: universal(inputs, folder / f"{name}.txt", f"--constraints={everything}")
        for name, inputs in asked.items()
    }
    cuda = {p: block for p, block in together.items() if p == "torch" or _CUDA.fullmatch(p)}
    beside = {
        name: {p: block for p, block in whole[name].items() if p not in cuda}
        for name in ("setup", "image")
    }
    return whole | beside | {"torch-cuda": cuda}


def check_wheels(folder: Path, locks: dict[str, Lock]) -> None:
    """Each Python and machine can install each lock from wheels alone. LockError otherwise."""
    every = {package: block for lock in locks.values() for package, block in lock.items()}
    pinned = folder / "pinned.txt"
    pinned.write_text("".join(every.values()), encoding="utf-8")

    def check(machine: str, python: str, name: str) -> None:
        where = [f"--python-version={python}", f"--python-platform={machine}-manylinux_2_28"]
        options = [*where, "--only-binary=:all:", f"--constraints={pinned}"]
        needed = uv(requirements()[name], folder / f"{python}-{machine}-{name}.txt", *options)
        has = locks[name] | locks["torch-cuda"]
        for package, block in needed.items():
            if pin(block).version not in pin(has.get(package, "")).version.split(" and "):
                raise LockError(f"{name}.txt has no {block.strip()} for Python {python}, {machine}")

    # A CUDA torch is a part of the first two, and is checked with them.
    cases = itertools.product(MACHINES, PYTHONS, ("setup", "image", "hub", "lock"))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda case: check(*case), cases))


# --------------------------------------------------------------------------- torch's CPU builds


def page_of(index: str) -> str:
    """PyTorch's index of torch's builds, as HTML. LockError when it does not answer."""
    page = f"{index.rstrip('/')}/torch/"
    try:
        with urllib.request.urlopen(page, timeout=60) as answer:
            return answer.read().decode()
    except (OSError, ValueError) as error:
        raise LockError(f"{page} cannot be read: {getattr(error, 'reason', error)}") from error


def cpu_hashes(html: str, version: str) -> list[str]:
    """SHA-256 of each CPU build of a torch version for our Pythons and machines, in order."""
    links = re.findall(r'(torch-[^/"#]+\.whl)#sha256=([0-9a-f]{64})', html)
    tags = "|".join("cp" + python.replace(".", "") for python in PYTHONS)
    build = rf"torch-{re.escape(version)}\+cpu-({tags})-\1-.*linux.*_({'|'.join(MACHINES)})\.whl"
    return sorted(digest for name, digest in links if re.fullmatch(build, unquote(name)))


def cpu_text(version: str, index: str) -> str:
    """The lock of torch's CPU builds: as the index lists them, else as it is.

    LockError when it has none of this version: set-up would quietly take gigabytes of CUDA.
    """
    path = LOCKS / f"{CPU}.txt"
    if not index:
        text = path.read_text(encoding="utf-8")
        if f"torch=={version}+cpu " not in text:
            raise LockError(
                f"no hash of a CPU build of torch {version} is at hand: name PyTorch's index of "
                "them with `make lock TORCH_INDEX=…` (see README)"
            )
        return text
    hashes = cpu_hashes(page_of(index), version)
    if not hashes:
        raise LockError(f"{index} lists no CPU build of torch {version}")
    head = f"# torch's CPU builds, as {index} lists them. Made by `make lock`: not to be edited.\n"
    lines = [f"torch=={version}+cpu", *(f"    --hash=sha256:{digest}" for digest in hashes)]
    return head + " \\\n".join(lines) + "\n"


# ------------------------------------------------------------------------------- the difference


def difference(before: Lock, after: Lock) -> list[str]:
    """One line for each package that came, went or changed."""
    lines = []
    for package in sorted(before.keys() | after.keys()):
        old, new = (pin(lock[package]) if package in lock else None for lock in (before, after))
        if old is None or new is None:
            lines.append(f"+ {package} {new.version}" if new else f"- {package} {old.version}")
        elif old.version != new.version:
            lines.append(f"  {package} {old.version} -> {new.version}")
        elif gone := old.hashes - new.hashes:
            lines.append(f"! {package} {old.version}: {len(gone)} file(s) are no longer the same")
        elif came := new.hashes - old.hashes:
            lines.append(f"  {package} {old.version}: {len(came)} more file(s)")
    return lines


def renew(upgrade: Sequence[str] | None, index: str) -> list[str]:
    """Write the lock, whole or not at all. Returns the lines that say what changed."""
    with tempfile.TemporaryDirectory() as scratch:
        locks = resolve(Path(scratch), upgrade)
        texts = {name: lock_text(name, lock) for name, lock in locks.items()}
        texts[CPU] = cpu_text(pin(locks["torch-cuda"]["torch"]).version, index)
        check_wheels(Path(scratch), locks)
    lines = []
    for name, text in texts.items():
        lines += [f"requirements/{name}.txt: {len(blocks(text))} packages"]
        lines += difference(read(name), blocks(text))
    for name, text in texts.items():
        (LOCKS / f"{name}.txt").write_text(text, encoding="utf-8")
    pairs = f"Python {PYTHONS[0]} to {PYTHONS[-1]}, {' and '.join(MACHINES)}"
    return [*lines, f"each has wheels for {pairs}"]


def main() -> int:
    """Renew the lock as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--upgrade", nargs="*", metavar="PACKAGE", help="(all without a name)")
    parser.add_argument("--torch-index", default="", metavar="URL")
    args = parser.parse_args()
    print("\n".join(f"lock: {line}" for line in renew(args.upgrade, args.torch_index)))
    return 0


if __name__ == "__main__":
    sys.exit(exit_code("lock", main))
