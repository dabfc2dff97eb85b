"""What a container got so that it can use a GPU: read, classified, explained, compared.

`observation` reads text, `classes` holds the tables, `classify` applies them, `path` decides who
injected, `difference` compares, `cdi` reads specifications; `collect`, `own`, `stub` and `toolkit`
work on a live engine; `captures` turns another machine's files into the same data; `walkthrough`
and `show` are what notebook 03 displays.
"""

from gpubook.injection.cdi import Spec, SpecError, explain, missing, review
from gpubook.injection.cdi import parse as parse_spec
from gpubook.injection.classes import CLASSES, Class, known_path
from gpubook.injection.classify import (
    Item,
    capabilities,
    classify,
    counts,
    injected,
    unknown,
)
from gpubook.injection.collect import WAYS, look, observe, report
from gpubook.injection.difference import difference, moved, settings_difference, stable_name
from gpubook.injection.observation import (
    MalformedInput,
    Observation,
    from_capture,
    from_json,
    parse_mountinfo,
    to_json,
)
from gpubook.injection.own import CdiUnavailable, try_spec
from gpubook.injection.path import PATHS, Decision, Reason, decide
from gpubook.injection.stub import look_through_stub, stub_driver
from gpubook.injection.stub import wanted as stub_wanted
from gpubook.injection.toolkit import (
    CHANGES,
    configuration,
    engine_view,
    expected_path,
    host_specification,
    run_workload,
)
from gpubook.injection.walkthrough import as_typed, folder_of, landing, lines, side_by_side

__all__ = [
    "CHANGES",
    "CLASSES",
    "PATHS",
    "WAYS",
    "CdiUnavailable",
    "Class",
    "Decision",
    "Item",
    "MalformedInput",
    "Observation",
    "Reason",
    "Spec",
    "SpecError",
    "as_typed",
    "capabilities",
    "classify",
    "configuration",
    "counts",
    "decide",
    "difference",
    "engine_view",
    "expected_path",
    "explain",
    "folder_of",
    "from_capture",
    "from_json",
    "host_specification",
    "injected",
    "known_path",
    "landing",
    "lines",
    "look",
    "look_through_stub",
    "missing",
    "moved",
    "observe",
    "parse_mountinfo",
    "parse_spec",
    "report",
    "review",
    "run_workload",
    "settings_difference",
    "side_by_side",
    "stable_name",
    "stub_driver",
    "stub_wanted",
    "to_json",
    "try_spec",
    "unknown",
]
