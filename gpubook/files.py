"""Every file that a command reads comes through here: a regular one, not too large, not too deep.

A refusal is an OSError with its reason (a FIFO, a device, too large) or :class:`Malformed`, which
is a ValueError, too: whoever names the file for people catches these two. The library's own data
files and templates are read here as well, and JSON is written here, whole or not at all.
Imports `errors`; every room after it may import it.
"""

from __future__ import annotations

import ast
import errno
import functools
import json
import math
import os
import re
import stat
import sys
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterable
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from gpubook.errors import BookError, UsageError

MEBIBYTE = 2**20
LIMIT = 64 * MEBIBYTE
"""The largest file that is read whole."""
DEPTH = 100
"""The deepest nesting that is read."""
_SLOW = MEBIBYTE  # of TOML and YAML: their parsers take seconds for this
_PARTS = 4_000_000  # of one document; aliases in YAML make many out of few


class Malformed(BookError, ValueError):
    """A text that is not what it should be: no UTF-8, no JSON, too deep, not finite."""


def opened(path: str | Path) -> BinaryIO:
    """A regular file, open to read. OSError for a folder, a pipe or a device, without a wait."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(handle).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(handle, "rb")
    os.close(handle)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "It is a pipe or a device, not a file", str(path))


def read_bytes(path: str | Path, limit: int = LIMIT) -> bytes:
    """A whole file. OSError when it is no regular file or larger than ``limit`` bytes."""
    with opened(path) as file:
        return read_stream(file, str(path), limit)


def read_stream(stream: BinaryIO, name: str, limit: int = LIMIT) -> bytes:
    """All of a stream. OSError when it is more than ``limit`` bytes."""
    raw = stream.read(limit + 1)
    if len(raw) > limit:
        raise OSError(errno.EFBIG, f"It is larger than {limit // MEBIBYTE} MiB", name)
    return raw


def home() -> Path:
    """The user's home folder; where there is neither $HOME nor such a user, the root."""
    try:
        return Path.home()
    except RuntimeError:
        return Path("/")


def standard_input() -> BinaryIO:
    """Standard input's bytes. Raises UsageError where it is closed."""
    if sys.stdin is None:
        raise UsageError("standard input is closed: pipe a text in, or name a file")
    return sys.stdin.buffer


def text_of(raw: bytes, name: str | Path) -> str:
    """Bytes as UTF-8 text; Malformed when they are not."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Malformed(f"{name} is not UTF-8 (byte {error.start})") from None


def read_text(path: str | Path, limit: int = LIMIT) -> str:
    """A whole file as UTF-8 text. OSError or Malformed."""
    return text_of(read_bytes(path, limit), path)


def json_of(text: str, name: str | Path) -> Any:
    """Parsed JSON: finite numbers, real characters, not too deep. Malformed otherwise."""
    return _document(lambda: json.loads(text, parse_constant=_refuse), f"{name} is not JSON")


def read_json(path: str | Path) -> Any:
    """A JSON file, parsed and checked. OSError or Malformed."""
    return json_of(read_text(path), path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically: a reader sees the old file or the new one, never half of one."""
    text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)  # noqa: PTH101 - mkstemp makes it private
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def toml_of(text: str, name: str | Path) -> dict[str, Any]:
    """Parsed and checked TOML. Malformed otherwise."""
    import tomllib

    return _document(lambda: tomllib.loads(_short(text)), f"{name} is not TOML")


def yaml_of(text: str, name: str | Path) -> Any:
    """Parsed and checked YAML. Malformed otherwise."""
    import yaml

    def load() -> Any:
        try:
            return yaml.safe_load(_short(text))
        except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
            raise ValueError(error) from None  # a tag (!!bool) on a text that is none

    return _document(load, f"{name} is not YAML")


def python_of(text: str, name: str | Path) -> ast.Module:
    """Parsed Python. Malformed when it is none, or nested too deep to be looked at."""
    why = f"{name} is not Python"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the text's own style
        tree = _guarded(lambda: ast.parse(text), why)
    _shallow(tree, ast.iter_child_nodes, why)
    return tree


def member_of(path: str | Path, name: str, limit: int = LIMIT) -> bytes:
    """One file out of a zip archive. OSError or Malformed: damaged, encrypted, too large."""
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive, archive.open(name) as member:
            return read_stream(member, f"{path}: {name}", limit)
    except KeyError:
        raise Malformed(f"it holds no file {name}") from None
    # A RuntimeError is zipfile's for a member that takes a password or an unknown compression.
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise Malformed(f"it is a damaged or an encrypted archive ({error})") from None


def _short(text: str) -> str:
    if len(text) > _SLOW:
        raise ValueError("it is larger than 1 MiB")
    return text


def _guarded(parse: Callable[[], Any], why: str) -> Any:
    try:
        return parse()
    except (ValueError, SyntaxError) as error:
        raise Malformed(f"{why}: {str(error).splitlines()[0]}") from None
    except (RecursionError, MemoryError):
        raise Malformed(f"{why}: it is nested too deep") from None


def _document(parse: Callable[[], Any], why: str) -> Any:
    value = _guarded(parse, why)
    for part in _shallow(value, _inner, why):
        if isinstance(part, float) and not math.isfinite(part):
            raise Malformed(f"{why}: {part} is not a finite number")
        if isinstance(part, str) and not part.isascii():
            _guarded(lambda part=part: part.encode(), why)
    return value


def _inner(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return (*value.keys(), *value.values())
    return value if isinstance(value, list | tuple) else ()


def _shallow(value: Any, inner: Callable[[Any], Iterable[Any]], why: str) -> list[Any]:
    """All parts of a tree, found level by level. Malformed below DEPTH levels."""
    parts, level = [], [value]
    for _ in range(DEPTH):
        parts += level
        level = list(islice((below for part in level for below in inner(part)), _PARTS))
        if not level:
            return parts
        if len(parts) + len(level) > _PARTS:
            raise Malformed(f"{why}: it has more than {_PARTS:,} parts")
    raise Malformed(f"{why}: it is nested deeper than {DEPTH} levels")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a finite number")


def list_of(value: Any) -> list:
    """``value`` if it is a list, else an empty one: a document's part may be missing or odd."""
    return value if isinstance(value, list) else []


def dict_of(value: Any) -> dict:
    """``value`` if it is a dictionary, else an empty one."""
    return value if isinstance(value, dict) else {}


def packaged(package: str, name: str) -> str:
    """The text of a data file of this library: ``packaged("gpubook.doctor", "rules.toml")``."""
    return resources.files(package).joinpath(name).read_text("utf-8")


def filled(package: str, macro: str, /, **values: Any) -> str:
    """HTML from a macro of a package's ``markup.html`` (Jinja). What is filled in is escaped."""
    return str(getattr(_markup(package), macro)(**values))


@functools.cache
def _markup(package: str) -> Any:
    import jinja2

    jinja = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    jinja.filters["code"] = lambda text: re.split(r"`([^`]+)`", text)
    # Arrow keys and Enter stay with what has the focus; JupyterLab would move between cells.
    jinja.globals["keys"] = jinja2.filters.Markup('data-lm-suppress-shortcuts="true"')
    text = re.sub(r"\s*\n\s*", "", packaged(package, "markup.html"))
    return jinja.from_string(text).module


def broken_rule(value: Any, package: str, name: str) -> str:
    """In a line, which rule of a package's JSON schema ``value`` breaks first; empty for none."""
    import fastjsonschema

    try:
        _schema(package, name)(value)
    except fastjsonschema.JsonSchemaValueException as error:
        return error.message.replace("data.", "", 1).replace("data ", "it ", 1)
    return ""


@functools.cache
def _schema(package: str, name: str) -> Callable[[Any], Any]:
    import fastjsonschema

    # fastjsonschema (nbformat's own choice) imports in milliseconds where jsonschema, with the
    # format checkers that Jupyter installs, takes a second in every kernel.
    return fastjsonschema.compile(json.loads(packaged(package, name)))
