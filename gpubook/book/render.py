"""Renders the executed notebooks and the prose as static pages, with Jupyter Book.

The pages are made in a folder of their own beside their place and take that place only when
Sphinx gave no warning: a failing or killed rendering leaves the former pages as they were.
Pages are kept when nothing that they are made from has changed, and nobody changed them.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from gpubook import files
from gpubook.book import cache, markdown
from gpubook.errors import BookError, UsageError
from gpubook.evidence.records import EvidenceError, read_json

_SHOWN_PROBLEMS = 5
_LOST_AFTER_SECONDS = 3600
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_PROBLEM = re.compile(r"(^|: )(WARNING|ERROR|CRITICAL): |^\w+ (error|occurred):|^\w*Error: ")
# The command jupyter-book without a package that it can do without: see worker.py.
_JUPYTER_BOOK = """
import sys
sys.modules["rfc3987_syntax"] = None
from jupyter_book.cli.main import main
sys.exit(main())
"""
_INDEX = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>GPU + Container</title>
<meta http-equiv="refresh" content="0; url=book/intro.html">
</head><body><p><a href="book/intro.html">GPU + Container</a></p></body></html>
"""


class RenderError(BookError):
    """The pages could not be made, or made only with warnings."""


def render(
    root: Path, *, executed: Path, out: Path, settings: Mapping[str, str] | None = None
) -> Path:
    """Render the book at ``root`` into ``out``, if need be; return the path of its first page.

    ``executed`` is the folder of the executed notebooks, ``NAME.ipynb`` each; their results are
    expected in the folder ``results`` beside it. ``settings`` replace those of ``_config.yml``,
    such as ``html.baseurl``. Any Sphinx warning is an error. Raises RenderError with the first
    problems; ``out`` is then unchanged. Sphinx's whole account is in ``render.log`` beside ``out``.
    """
    root, executed, out = root.resolve(), executed.resolve(), out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    config = configuration(root, settings or {})
    made_from = {"files": cache.pages_inputs(root, executed), "config": config}
    if _kept(out) == {"made_from": made_from, "pages": cache.listing(out)}:
        return out / "index.html"
    _sweep(out.parent)
    stage = Path(tempfile.mkdtemp(prefix=".render-", dir=out.parent))
    try:
        (stage / "_config.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        pages = _sphinx(root, executed, stage, log=out.with_name("render.log"))
        (pages / "index.html").write_text(_INDEX, encoding="utf-8")
        address = config.get("html", {}).get("baseurl") or ""
        markdown.write(root, pages, address=address and address.rstrip("/") + "/")
        with (out.parent / ".render.lock").open("w") as lock:  # two renderings take turns here
            fcntl.flock(lock, fcntl.LOCK_EX)
            if out.exists():
                out.rename(stage / "former")
            pages.rename(out)
            files.write_json(_account(out), {"made_from": made_from, "pages": cache.listing(out)})
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return out / "index.html"


def configuration(root: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    """``_config.yml`` with settings replaced, each named by its path: ``html.baseurl``.

    Raises UsageError for a setting that the file has not, or that is no single text there.
    """
    config = yaml.safe_load((root / "_config.yml").read_text(encoding="utf-8"))
    for path, value in settings.items():
        *above, name = path.split(".")
        place = config
        for step in above:
            place = place.get(step) if isinstance(place, dict) else None
        if not isinstance(place, dict) or not isinstance(place.get(name), str):
            raise UsageError(f"_config.yml has no setting {path}: see the comments there")
        place[name] = value
    return config


def _account(out: Path) -> Path:
    """The file that says what the pages in ``out`` were made from."""
    return out.with_name("rendered.json")


def _kept(out: Path) -> dict | None:
    """The account of the pages that are there; None where there is none to trust."""
    try:
        return read_json(_account(out))
    except EvidenceError:
        return None


def _sphinx(root: Path, executed: Path, stage: Path, *, log: Path) -> Path:
    """Have Jupyter Book make the pages below ``stage``; the folder that they are in."""
    command = [sys.executable, "-P", "-c", _JUPYTER_BOOK, "build", root]
    command += ["--config", stage / "_config.yml", "--path-output", stage]
    done = subprocess.run(
        [*command, "-W", "-n", "--keep-going"],
        env=os.environ | {"GPUBOOK_EXECUTED": str(executed), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    account = _ANSI.sub("", done.stdout.decode("utf-8", errors="replace"))
    log.write_text(account, encoding="utf-8")
    if done.returncode == 0:
        return stage / "_build" / "html"
    # After Sphinx has said what is wrong, Jupyter Book adds a traceback of its own.
    sphinx = re.split(r"^Traceback", account.replace(f"{root}/", ""), flags=re.MULTILINE)[0]
    raise RenderError(
        f"the book was not rendered: {first_problems(sphinx)} (the whole account: {log})"
    )


def first_problems(account: str) -> str:
    """The first lines of Sphinx's account that name a problem, as one text."""
    account = re.sub(r"(\w+ error):\n", r"\1: ", account)  # Sphinx puts these on two lines
    lines = [line.strip() for line in account.split("\n") if line.strip()]
    named = [line for line in lines if _PROBLEM.search(line)] or lines[-1:]
    named = list(dict.fromkeys(named))
    more = len(named) - _SHOWN_PROBLEMS
    shown = named[:_SHOWN_PROBLEMS] + ([f"and {more} more"] if more > 0 else [])
    return "\n  ".join(["", *shown]) if len(shown) > 1 else "".join(shown) or "Sphinx said nothing"


def _sweep(folder: Path) -> None:
    """Remove what killed renderings left."""
    for left in folder.glob(".render-*"):
        if time.time() - left.stat().st_mtime > _LOST_AFTER_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
