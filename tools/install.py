"""Install or download what lock files name, and nothing whose SHA-256 is not in them.

    python tools/install.py LOCK…                       # into this Python's environment
    python tools/install.py --download FOLDER LOCK…     # the wheels alone
    python tools/install.py --torch                     # the lock of torch's build that pip knows

Every install of this project is made by this command: set-up, the image, the Hub and the bundle.
pip does it, with the settings of the machine (index, find-links, certificates), so a wheel may
come from anywhere. It must have a hash of the lock, and no package's own code runs on the way.
Only the standard library is needed. Wheels come several at a time: that is what takes longest.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
AT_ONCE = 6
HASHED = ["--require-hashes", "--no-deps", "--only-binary", ":all:"]


class InstallError(Exception):
    """Why the packages are not installed, in one line."""


def reason(output: str) -> str:
    """What stopped pip, in one line of its output. A wrong hash is said in words of our own."""
    hashes = r"^ +(\S+) from .*\n.*Expected sha256 .*\n(?:.*\n)*? +Got +(\w+)"
    if wrong := re.search(hashes, output, re.M):
        name, digest = wrong.groups()
        return f"{name} is not the file that the lock names (its SHA-256 is {digest})"
    errors = re.findall(r"^ERROR: (.+)$", output, re.M)
    return errors[-1] if errors else "it gave no reason"


def pip(*arguments: str | Path) -> None:
    """Run this environment's pip, one line for each download. InstallError when it fails."""
    command = [sys.executable, "-m", "pip", *arguments]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    lines = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        for line in process.stdout:
            lines.append(line)
            if re.match(r"\s*Downloading \S+\.whl \(", line):
                print(f"  {line.strip()}", flush=True)
    if process.returncode:
        raise InstallError(f"pip stopped: {reason(''.join(lines))}")


def packages(locks: Iterable[Path]) -> list[str]:
    """Each package of the lock files with its hashes, as pip reads it."""
    text = "".join(path.read_text(encoding="utf-8") for path in locks)
    return re.findall(r"^[a-z0-9].*\n(?:[ \t].*\n)*", text, re.MULTILINE)


def is_installed(package: str) -> bool:
    """Whether this environment has a package in the lock's version."""
    name, _, version = re.split(r"[\s;\\]", package, maxsplit=1)[0].partition("==")
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False


def download(wanted: list[str], folder: Path) -> None:
    """Put the wheels of packages into a folder, several at a time."""
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(AT_ONCE) as pool:
        parts = [wanted[i::AT_ONCE] for i in range(min(AT_ONCE, len(wanted)))]
        lists = [Path(scratch, f"{i}.txt") for i in range(len(parts))]
        for path, part in zip(lists, parts, strict=True):
            path.write_text("".join(part), encoding="utf-8")
        jobs = [
            pool.submit(pip, "download", *HASHED, "--dest", folder, "--requirement", path)
            for path in lists
        ]
        for job in jobs:
            job.result()


def install(locks: list[Path]) -> None:
    """Install what the environment does not have yet, byte-compiled unless PIP_COMPILE is 0."""
    wanted = [package for package in packages(locks) if not is_installed(package)]
    if not wanted:
        return
    with tempfile.TemporaryDirectory() as scratch:
        lock = Path(scratch, "lock.txt")
        lock.write_text("".join(wanted), encoding="utf-8")
        command = ["install", *HASHED, "--no-compile", "--requirement", lock]
        if not os.environ.get("PIP_NO_INDEX"):  # else the wheels are on this disk already
            download(wanted, Path(scratch))
            command += ["--no-index", "--find-links", scratch]
        pip(*command)
    if os.environ.get("PIP_COMPILE") != "0":
        compile_packages()


def compile_packages() -> None:
    """Byte-compile on all cores, where pip takes one.

    Left to the first import it would never be done where PYTHONDONTWRITEBYTECODE is set, and each
    process that loads torch and transformers would spend seconds on it. A file that cannot be
    compiled, such as a template, is nobody's fault here.
    """
    command = [sys.executable, "-m", "compileall", "-qq", "-j", "0", sysconfig.get_path("purelib")]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def torch_lock() -> Path:
    """The lock of the CPU build where pip can have it from somewhere, else the index's build.

    A machine without a GPU may know the CPU build from a folder or from an index of PyTorch's.
    """
    (version,) = re.findall(r"^torch==(\S+)", (LOCKS / "torch-cpu.txt").read_text("utf-8"), re.M)
    command = [sys.executable, "-m", "pip", "index", "versions", "torch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    known = re.findall(r"[\w.+]+", done.stdout)
    return LOCKS / ("torch-cpu.txt" if version in known else "torch-cuda.txt")


def main() -> int:
    """Do what the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--download", type=Path, metavar="FOLDER")
    parser.add_argument("--torch", action="store_true", help="and torch, in the build for here")
    parser.add_argument("locks", type=Path, nargs="*", metavar="LOCK")
    args = parser.parse_args()
    locks = [*args.locks, torch_lock()] if args.torch else args.locks
    try:
        if args.download:
            download(packages(locks), args.download)
        else:
            install(locks)
    except (InstallError, OSError) as error:
        print(f"install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
