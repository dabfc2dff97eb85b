"""``pytest --changed``: the unit tests of what changed, nearest first, for a short loop.

Changed is what git tells apart from the merge base with the main branch: commits, edits and new
files. A test file is affected by a file that it imports or names, directly or through others:

- Python files name modules in imports and in texts (``-m gpubook.cli`` starts one).
- Any other file belongs to the modules that lie beside it, and to whoever names it or one of its
  folders.
- A file that no test leads to, or that steers all tests, affects every test.

Nothing here decides what ``make test`` runs: that is everything.
"""

import ast
import functools
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "tests" / "unit"
ALWAYS = UNIT / "test_tiny_notebook.py"
"""Executes a notebook and judges its results."""
STEERING = ("pyproject.toml", "requirements/", "tests/conftest.py", "tools/bootstrap.py")
_MODULE = re.compile(r"\b(?:gpubook|tests)(?:\.\w+)+")


def _git(root: Path, *arguments: str) -> list[str]:
    done = subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False
    )
    return done.stdout.split("\n")[:-1] if done.returncode == 0 else []


def changed_files(root: Path) -> set[Path]:
    """What differs from the merge base with the main branch, committed or not."""
    base = "HEAD"
    for branch in ("origin/main", "main"):
        if found := _git(root, "merge-base", "HEAD", branch):
            base = found[0]
            break
    names = _git(root, "diff", "--name-only", "--no-renames", base)
    names += _git(root, "ls-files", "--others", "--exclude-standard")
    return {root / name for name in names}


def _module_file(root: Path, name: str) -> list[Path]:
    """The files that importing ``name`` runs: its packages' and its own."""
    path, files = root, []
    for part in name.split("."):
        path = path / part
        files += [f for f in (path / "__init__.py", path.with_suffix(".py")) if f.is_file()]
    return files


@functools.cache
def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@functools.cache
def _named(root: Path, path: Path) -> frozenset[Path]:
    """The files of the repository that a Python file imports or names."""
    names = set(_MODULE.findall(_text(path)))
    for node in ast.walk(ast.parse(_text(path))):
        if isinstance(node, ast.ImportFrom):
            here = path.relative_to(root).parts[: -node.level] if node.level else ()
            module = ".".join([*here, *([node.module] if node.module else ())])
            names |= {f"{module}.{alias.name}" for alias in node.names}
    if re.search(r"\bgpubook\(", _text(path)):  # the helper that types the command
        names.add("gpubook.cli")
    return frozenset(file for name in names for file in _module_file(root, name)) - {path}


@functools.cache
def distances(root: Path, test: Path) -> dict[Path, int]:
    """How many imports away each file is that a test file leads to."""
    found, edge = {test: 0}, [test]
    while edge:
        path = edge.pop(0)
        for file in sorted(_named(root, path)):
            if file not in found:
                found[file] = found[path] + 1
                edge.append(file)
    return found


def distance(root: Path, test: Path, changed: Path) -> int | None:
    """How near ``changed`` is to a test file; None when the test does not lead to it."""
    reached = distances(root, test)
    if changed in reached:
        return reached[changed]
    folder, *inner = changed.relative_to(root).parts
    if changed.suffix == ".py" and folder in {"gpubook", "tests"}:
        return None
    beside = [n for path, n in reached.items() if path.parent == changed.parent != root]
    # Its name, or the folders that it is in: the wider the name, the farther.
    names = [changed.name, changed.stem] if folder in {"gpubook", "tests"} else (
        [changed.name, *reversed(inner[:-1]), folder]
    )  # fmt: skip
    for step, name in enumerate(names):
        quoted = re.compile(rf"[\"'/`]{re.escape(name)}[\"'/`]")
        beside += [n + step for path, n in reached.items() if quoted.search(_text(path))]
    return min(beside, default=None)


def affected(root: Path, tests: list[Path], changed: set[Path]) -> dict[Path, int]:
    """The test files that the changed files can break, each with the nearest one's distance."""
    near: dict[Path, int] = {}
    for file in changed:
        if file.relative_to(root).as_posix().startswith(STEERING):
            near |= {test: near.get(test, 99) for test in tests}
            continue
        own = {t: n for t in tests if (n := distance(root, t, file)) is not None}
        if not own and not file.is_relative_to(root / "tests"):
            own = dict.fromkeys(tests, 99)
        for test, n in own.items():
            near[test] = min(n, near.get(test, n))
    return near


def nearest(near: dict[Path, int], changed: set[Path]) -> list[Path]:
    """The affected test files, the nearest first; of two as near, the one named like a file."""
    stems = {path.stem for path in changed}

    def key(test: Path) -> tuple:
        named = any(stem in test.stem for stem in stems)
        return near[test], not named, test.name

    return sorted(near, key=key)


# ------------------------------------------------------------------------------ pytest's hooks


def pytest_addoption(parser):
    group = parser.getgroup("what changed")
    group.addoption(
        "--changed", type=int, metavar="FILES",
        help="only the unit tests of what changed, this many files of them, nearest first",
    )  # fmt: skip
    group.addoption("--budget", type=float, metavar="S", help="start no test S s after the first")


def pytest_configure(config):
    config.gpubook_first_test = None
    config.gpubook_order = config.gpubook_left = None
    if most := config.getoption("--changed"):
        changed = changed_files(ROOT)
        order = nearest(affected(ROOT, sorted(UNIT.glob("test_*.py")), changed), changed)
        config.gpubook_order = [ALWAYS, *(path for path in order[:most] if path != ALWAYS)]
        config.gpubook_left = order[most:]


def pytest_ignore_collect(collection_path, config):
    """Not even import what is not affected."""
    order = config.gpubook_order
    if order is not None and collection_path.is_file() and collection_path not in order:
        return True
    return None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items, config):
    if config.gpubook_order is not None:
        items.sort(key=lambda item: config.gpubook_order.index(item.path))


def pytest_runtest_setup(item):
    budget, now = item.config.getoption("--budget"), time.monotonic()
    begun = item.config.gpubook_first_test = item.config.gpubook_first_test or now
    if budget and now - begun > budget and item.path != ALWAYS:
        pytest.skip(f"the {budget:.0f} s of this short loop are over; `make test` runs it")


def pytest_terminal_summary(terminalreporter, config):
    if config.gpubook_left:
        names = ", ".join(path.name for path in config.gpubook_left)
        terminalreporter.section("affected, too, and left to `make test`")
        terminalreporter.write_line(names)
