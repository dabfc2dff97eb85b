"""The checklist: what each item asks, why, and how to get there."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Item:
    """One item of the checklist. ``how`` is what to type or write."""

    id: str
    what: str
    why: str
    how: str


_ALL = (
    Item(
        "dockerfile",
        "a Dockerfile that can be read",
        "it is the recipe of the image, kept beside the code",
        "write a file named `Dockerfile` that starts with `FROM`",
    ),
    Item(
        "pinned-base",
        "every base image is pinned",
        "a short tag moves: the same Dockerfile would build something else next month",
        "`FROM name:1.2.3` with all three numbers, or by digest, `FROM name:tag@sha256:…`",
    ),
    Item(
        "non-root",
        "the last stage ends as a user that is not root",
        "root in a container writes root's files into mounted folders, and is root if it escapes",
        "`RUN useradd --uid 1000 runner`, and `USER 1000` after the last step that needs root",
    ),
    Item(
        "command",
        "the image has a command that runs the script",
        "`docker run IMAGE` should do what the image is for",
        '`CMD ["python", "bench.py"]`, as a list, so that no shell stands between',
    ),
    Item(
        "dockerignore",
        "a .dockerignore keeps .git and secrets out of the build",
        "what is sent to the engine is slow to send, spoils the cache, and can end in a layer",
        "list `.git`, `.env` and `__pycache__`, or `*` and then the exceptions (`!bench.py`)",
    ),
    Item(
        "warm-up",
        "the script warms up before it times",
        "the first run loads libraries and chooses kernels: it is another measurement",
        "call the model a few times first, in a function or a loop with `warm` in a name",
    ),
    Item(
        "synchronise",
        "the script waits for the GPU around what it times",
        "a GPU works after the call has returned: without waiting you time the queue",
        "`torch.cuda.synchronize()` where there is a GPU, or `torch.utils.benchmark.Timer`",
    ),
    Item(
        "clock",
        "the script takes a monotonic clock and repeats",
        "`time.time()` jumps when the clock is set, and one run is an anecdote",
        "`time.perf_counter()` (or CUDA events) around each of many runs; report the median",
    ),
    Item(
        "result",
        "result.json follows the schema and its figures agree with its samples",
        "a figure without device, unit, spread and number of runs cannot be compared",
        "print one JSON object and keep it: `docker run --rm IMAGE > result.json`",
    ),
    Item(
        "container",
        "result.json says that it was measured in a container, not as root",
        "the project is the container: outside of it, another Python was timed",
        'add `"container": {"root_filesystem": …, "uid": os.getuid()}`, from `/proc/mounts`',
    ),
    Item(
        "builds",
        "the image builds",
        "a recipe that was never cooked is a guess",
        "`docker build FOLDER`, and read its last lines",
    ),
    Item(
        "runs",
        "the image runs without a network, not as root, and prints a valid result",
        "a benchmark that downloads is not repeatable, and times the line",
        "`docker run --rm --network none IMAGE`; fetch data and weights while building",
    ),
)
ITEMS: dict[str, Item] = {item.id: item for item in _ALL}

ENGINE_ITEMS = ("builds", "runs")
"""The items that take a Docker Engine."""

MET, MISSING, NOT_CHECKED = "met", "missing", "not checked"


@dataclass(frozen=True)
class Finding:
    """What was found for one item. ``found`` is one line: the evidence, or what is wrong."""

    id: str
    state: str
    found: str

    @property
    def item(self) -> Item:
        """The item of the checklist."""
        return ITEMS[self.id]

    def as_json(self) -> dict[str, str]:
        """The finding with its item's words."""
        return asdict(self.item) | {"state": self.state, "found": self.found}


def met(id_: str, found: str) -> Finding:
    """The item is met, as ``found`` shows."""
    return Finding(id_, MET, found)


def missing(id_: str, found: str) -> Finding:
    """The item is not met, because of ``found``."""
    return Finding(id_, MISSING, found)


def not_checked(id_: str, why: str) -> Finding:
    """The item could not be checked here."""
    return Finding(id_, NOT_CHECKED, why)
