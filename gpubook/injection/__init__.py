"""What a container got so that it can use a GPU: read, classified, and the path decided.

`observation` reads text, `classes` holds the tables, `classify` applies them, `path` decides who
injected, `toolkit` says what versions do, `cdi` reads specifications. Pages 05 to 07 do the same in
a few lines each; the tests hold the two against each other. The doctor and all later rooms may
import this one.
"""

from gpubook.injection.cdi import parse as parse_spec
from gpubook.injection.cdi import review
from gpubook.injection.classify import classify
from gpubook.injection.observation import from_outputs, observe, parse_mountinfo
from gpubook.injection.path import decide
from gpubook.injection.toolkit import expected_path

__all__ = [
    "classify",
    "decide",
    "expected_path",
    "from_outputs",
    "observe",
    "parse_mountinfo",
    "parse_spec",
    "review",
]
