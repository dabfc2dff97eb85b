"""Evidence: data with its provenance, live or recorded, and never the one passed off as the other.

A notebook opens a :class:`Page`, asks it for evidence, and shows what it gets with
:func:`table` and :func:`figure`. Live results, recordings and tests share one schema
(``evidence.schema.json``).
"""

from gpubook.evidence.display import figure, table
from gpubook.evidence.page import Evidence, Page
from gpubook.evidence.records import (
    EvidenceError,
    load_recording,
    new_record,
    recordings_of,
    write_recording,
)

__all__ = [
    "Evidence",
    "EvidenceError",
    "Page",
    "figure",
    "load_recording",
    "new_record",
    "recordings_of",
    "table",
    "write_recording",
]
