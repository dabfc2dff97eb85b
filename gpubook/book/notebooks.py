"""The notebooks as files: which there are, what they take, what they come after."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from gpubook import files
from gpubook.errors import BookError, UsageError

_TYPES = {
    bool: "true or false",
    int: "an integer",
    float: "a number",
    str: "a text",
    list: "a list",
    tuple: "a tuple",
    dict: "a dictionary",
}


@dataclass(frozen=True)
class Notebook:
    """One notebook of the book. ``parameters`` maps names to their defaults."""

    path: Path
    parameters: Mapping[str, Any]
    after: tuple[str, ...]
    exclusive: bool

    @property
    def name(self) -> str:
        """The file's stem, such as ``08-matmul``."""
        return self.path.stem


def load(path: Path) -> Notebook:
    """Read a notebook's parameters cell and its ``gpubook`` metadata.

    The metadata may hold ``after`` (notebooks whose artifacts it uses) and ``exclusive`` (it
    measures, so nothing else may run beside it). Raises BookError when the file is no notebook
    or its parameters cell holds anything but UPPERCASE literals.
    """
    try:
        content = files.read_json(path)
    except OSError as error:
        raise UsageError(f"no notebook {path}: {error.strerror}") from error
    except files.Malformed as error:
        raise BookError(f"{path} is not a notebook: {error}") from error
    if wrong := files.broken_rule(content, "gpubook.book", "notebook.schema.json"):
        raise BookError(f"{path} is not a notebook: {wrong}")
    tagged = [c for c in content["cells"] if "parameters" in c["metadata"].get("tags", ())]
    if len(tagged) > 1:
        raise BookError(f"{path}: {len(tagged)} cells are tagged parameters, one is allowed")
    meta = content["metadata"].get("gpubook", {})
    return Notebook(
        path=path,
        parameters=literals("".join(tagged[0]["source"]), path) if tagged else {},
        after=tuple(meta.get("after", ())),
        exclusive=bool(meta.get("exclusive", False)),
    )


def literals(source: str, where: str | Path) -> dict[str, Any]:
    """The values of a parameters cell. BookError for anything but ``NAME = literal``."""
    values: dict[str, Any] = {}
    for node in files.python_of(source, f"{where}: the parameters cell").body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                try:
                    values[name] = ast.literal_eval(value)
                except (ValueError, TypeError, SyntaxError, MemoryError):
                    raise BookError(f"{where}: parameter {name} is not a literal") from None
            case _:
                raise BookError(
                    f"{where}: line {node.lineno} of the parameters cell is not NAME = literal"
                )
    return values


def find(root: Path, wanted: Iterable[str | Path] = ()) -> list[Notebook]:
    """The notebooks named by ``wanted`` (paths or stems), or all of the book's, in order."""
    folder = root / "notebooks"
    if not (names := list(wanted)):
        paths = sorted(folder.glob("[0-9][0-9]-*.ipynb"))
        if not paths:
            raise BookError(f"no notebooks in {folder}")
        return [load(path) for path in paths]
    paths = []
    for name in map(Path, names):
        path = name if name.suffix == ".ipynb" else folder / f"{name}.ipynb"
        if not path.is_file() and (folder / path.name).is_file():
            path = folder / path.name
        if not path.is_file():
            have = ", ".join(p.stem for p in sorted(folder.glob("*.ipynb")))
            raise UsageError(f"no notebook {name}: there are {have}")
        paths.append(path.resolve())
    return [load(path) for path in dict.fromkeys(paths)]


def with_dependencies(root: Path, notebooks: list[Notebook]) -> list[Notebook]:
    """``notebooks`` and those they come after, by name. BookError when some wait for each other."""
    todo = list(notebooks)
    known: dict[str, Notebook] = {}
    for notebook in todo:
        if notebook.name not in known:
            known[notebook.name] = notebook
            todo += [find(root, [name])[0] for name in notebook.after]
    try:
        TopologicalSorter({name: notebook.after for name, notebook in known.items()}).prepare()
    except CycleError as error:
        raise BookError(f"notebooks wait for each other: {' → '.join(error.args[1])}") from None
    return [known[name] for name in sorted(known)]


def assign(
    notebooks: list[Notebook], given: Iterable[tuple[str, str]]
) -> dict[str, dict[str, Any]]:
    """Each notebook's parameters, from ``-p NAME VALUE`` pairs: checked before anything runs.

    A pair goes to every notebook that has the parameter. Raises UsageError for a name that
    none has and for a value of another type than the default's.
    """
    result: dict[str, dict[str, Any]] = {notebook.name: {} for notebook in notebooks}
    for name, text in given:
        takers = [notebook for notebook in notebooks if name in notebook.parameters]
        if not takers:
            valid = "; ".join(
                f"{n.name} takes {', '.join(n.parameters) or 'none'}" for n in notebooks
            )
            raise UsageError(f"unknown parameter {name}: {valid}")
        for notebook in takers:
            result[notebook.name][name] = convert(name, text, notebook.parameters[name])
    return result


def convert(name: str, text: str, default: Any) -> Any:
    """``text`` as the type of ``default``. Raises UsageError when it is of another type."""
    kind = type(default)
    if kind is str:
        return text
    if kind is bool and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    try:
        value = ast.literal_eval(files.python_of(text, name).body[0].value)
    except (ValueError, TypeError, SyntaxError, MemoryError, IndexError, AttributeError):
        value = text
    if kind is float and type(value) is int:
        with suppress(OverflowError):
            value = float(value)
    if default is None or type(value) is kind:
        return value
    raise UsageError(f"parameter {name} must be {_TYPES[kind]} like {default!r}, not {text!r}")
