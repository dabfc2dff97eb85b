"""The timing script, read without running it: does it warm up, wait, repeat?

The tree of the code is searched for calls, so a comment or a text that mentions them counts for
nothing. What is called through other modules of the learner's is not followed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from gpubook import files
from gpubook.project.items import Finding, met, missing

_DO_IT_ALL = ("Timer", "do_bench", "blocked_autorange")
"""torch.utils.benchmark's and Triton's own timers warm up, wait and repeat by themselves."""


def scripts(folder: Path) -> dict[str, ast.Module]:
    """The folder's Python files (tests, hidden and virtual environments left out), parsed.

    A file that is not Python 3, or nested too deep to be judged, is left out.
    """
    found = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        parts = inside.parts
        if any(p.startswith((".", "test")) or p in {"venv", "site-packages"} for p in parts):
            continue
        try:
            found[inside.as_posix()] = files.python_of(files.read_text(path), path)
        except (OSError, files.Malformed):
            continue
    return found


def check(folder: Path) -> list[Finding]:
    """The findings on the script that takes times: warm-up, synchronise, clock."""
    names = ("warm-up", "synchronise", "clock")
    timing = {name: tree for name, tree in scripts(folder).items() if _takes_times(tree)}
    if not timing:
        return [missing(name, "no Python file here reads a clock") for name in names]
    # The first that does everything, or else the first: its gaps are what is told.
    judged = [(name, [_warm(tree), _waits(tree), _clock(tree)]) for name, tree in timing.items()]
    judged.sort(key=lambda one: [good for good, _ in one[1]].count(False))
    script, answers = judged[0]
    return [
        (met if good else missing)(id_, f"{script}: {found}")
        for id_, (good, found) in zip(names, answers, strict=True)
    ]


def _calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def _own(tree: ast.AST) -> str | None:
    return next((c for c, _ in _calls(tree) if c.split(".")[-1] in _DO_IT_ALL), None)


_CLOCKS = ("perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "elapsed_time")


def _takes_times(tree: ast.AST) -> bool:
    wall = ("time.time", "time")
    return bool(_own(tree)) or any(
        c.split(".")[-1] in _CLOCKS or c in wall for c, _ in _calls(tree)
    )


def _warm(tree: ast.AST) -> tuple[bool, str]:
    if own := _own(tree):
        return True, f"{own} warms up by itself"
    for name, _ in _calls(tree):
        if "warm" in name.lower():
            return True, f"calls {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            over = ast.unparse(node.iter).lower() + ast.unparse(node.target).lower()
            if "warm" in over and any(True for _ in _calls(ast.Module(node.body, []))):
                return True, f"a loop over {ast.unparse(node.iter)}"
    return False, "nothing that is called or looped over has warm in its name"


def _waits(tree: ast.AST) -> tuple[bool, str]:
    if own := _own(tree):
        return True, f"{own} waits by itself"
    for name, _ in _calls(tree):
        if name.split(".")[-1] in {"synchronize", "block_until_ready"}:
            return True, f"calls {name}"
    return False, "no call of torch.cuda.synchronize()"


def _clock(tree: ast.AST) -> tuple[bool, str]:
    if own := _own(tree):
        return True, f"{own} repeats and takes a monotonic clock"
    calls = [name for name, _ in _calls(tree)]
    if "time.time" in calls:
        return False, "time.time() is no clock to measure with"
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp)
    for node in ast.walk(tree):
        if isinstance(node, loops) and any(
            name.split(".")[-1] in _CLOCKS or name in _functions_with_clock(tree)
            for name, _ in _calls(node)
        ):
            return True, "reads the clock in a loop"
    return False, "the clock is not read in a loop: one run is timed"


def _functions_with_clock(tree: ast.AST) -> set[str]:
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(name.split(".")[-1] in _CLOCKS for name, _ in _calls(node))
    }
