"""What a container got so that it can use a GPU: read, classified, and the path decided.

`observation` reads text, `classes` holds the tables, `classify` applies them, `path` decides who
injected, `toolkit` says what versions do, `cdi` reads specifications; `collect`, `own` and `stub`
work on a live engine; `captures` turns another machine's files into evidence. Pages 05 to 07 do
the same in a few lines each; the tests hold the two against each other.
"""

from gpubook.injection.cdi import parse as parse_spec
from gpubook.injection.cdi import review
from gpubook.injection.classify import classify, counts, injected, unknown
from gpubook.injection.observation import from_capture, from_outputs, parse_mountinfo
from gpubook.injection.path import decide
from gpubook.injection.toolkit import expected_path

__all__ = [
    "classify",
    "counts",
    "decide",
    "expected_path",
    "from_capture",
    "from_outputs",
    "injected",
    "parse_mountinfo",
    "parse_spec",
    "review",
    "unknown",
]
