"""The timing script, read without running it: does it warm up, wait, repeat?

The tree of the code is searched for calls, so a comment or a text that mentions them counts for
nothing. What is called through other modules of the learner's is not followed.
"""

from __future__ import annotations

import ast
import re
from contextlib import suppress
from pathlib import Path

from gpubook import files
from gpubook.project.items import Finding, met, missing

_DO_IT_ALL = {"Timer", "do_bench", "blocked_autorange"}
"""torch.utils.benchmark's and Triton's own timers warm up, wait and repeat by themselves."""

_NOT_OURS = {"venv", "site-packages"}


def scripts(folder: Path) -> dict[str, ast.Module]:
    """The folder's Python files (tests, hidden and virtual environments left out), parsed.

    A file that is not Python 3, or nested too deep to be judged, is left out.
    """
    trees = {}
    for path in sorted(folder.rglob("*.py")):
        inside = path.relative_to(folder)
        if any(p.startswith((".", "test")) or p in _NOT_OURS for p in inside.parts):
            continue
        with suppress(OSError, files.Malformed):
            trees[inside.as_posix()] = files.python_of(files.read_text(path), path)
    return trees


def check(folder: Path) -> list[Finding]:
    """The findings on the script that takes times: warm-up, synchronise, clock."""
    timing = {name: tree for name, tree in scripts(folder).items() if _takes_times(tree)}
    if not timing:
        return [missing(name, "no Python file here reads a clock") for name in _JUDGES]
    # The first that does everything, or else the first: its gaps are reported.
    judged = {name: [judge(tree) for judge in _JUDGES.values()] for name, tree in timing.items()}
    script = min(judged, key=lambda name: [good for good, _ in judged[name]].count(False))
    return [
        (met if good else missing)(id_, f"{script}: {evidence}")
        for id_, (good, evidence) in zip(_JUDGES, judged[script], strict=True)
    ]


_CLOCKS = {"perf_counter", "perf_counter_ns", "monotonic", "monotonic_ns", "elapsed_time"}
_WAITS = {"synchronize", "block_until_ready"}
# A word of a name, so that a swarm is none: warm_up, WARMUPS, do_warm.
_WARM = re.compile(r"(?:^|[^a-z])warm(?:_?ups?)?(?:$|[^a-z])", re.IGNORECASE)


def _calls(tree: ast.AST) -> list[str]:
    """What is called in a tree, as it is written: ``torch.cuda.synchronize``."""
    return [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]


def _named(tree: ast.AST, names: set[str]) -> str | None:
    """The first call whose last part is one of ``names``."""
    return next((call for call in _calls(tree) if call.split(".")[-1] in names), None)


def _takes_times(tree: ast.AST) -> bool:
    return bool(_named(tree, _DO_IT_ALL | _CLOCKS) or {"time.time", "time"} & set(_calls(tree)))


def _warm(tree: ast.AST) -> tuple[bool, str]:
    if own := _named(tree, _DO_IT_ALL):
        return True, f"{own} warms up by itself"
    if call := next(filter(_WARM.search, _calls(tree)), None):
        return True, f"calls {call}"
    for node in ast.walk(tree):
        if isinstance(node, ast.For) and any(_calls(part) for part in node.body):
            over = ast.unparse(node.iter)
            if _WARM.search(over) or _WARM.search(ast.unparse(node.target)):
                return True, f"a loop over {over}"
    return False, "nothing that is called or looped over has warm in its name"


def _waits(tree: ast.AST) -> tuple[bool, str]:
    if own := _named(tree, _DO_IT_ALL):
        return True, f"{own} waits by itself"
    call = _named(tree, _WAITS)
    return bool(call), f"calls {call}" if call else "no call of torch.cuda.synchronize()"


def _clock(tree: ast.AST) -> tuple[bool, str]:
    if own := _named(tree, _DO_IT_ALL):
        return True, f"{own} repeats and takes a monotonic clock"
    if "time.time" in _calls(tree):
        return False, "time.time() is no clock to measure with"
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    reads = _CLOCKS | {function.name for function in functions if _named(function, _CLOCKS)}
    loops = (ast.For, ast.While, ast.ListComp, ast.GeneratorExp)
    if any(isinstance(node, loops) and _named(node, reads) for node in ast.walk(tree)):
        return True, "reads the clock in a loop"
    return False, "the clock is not read in a loop: one run is timed"


_JUDGES = {"warm-up": _warm, "synchronise": _waits, "clock": _clock}
