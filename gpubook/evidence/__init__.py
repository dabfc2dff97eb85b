"""Evidence: data with its provenance, live or recorded, and never the one passed off as the other.

A notebook opens a :class:`Page`; its cells measure with the magics ``%%terminal`` and
``%%measure``. Live results, recordings and tests share one schema (``evidence.schema.json``).

`records` the files and their checksums; `obtain` measures or replays; `ledger` keeps what a page
has; `magics` and `terminal` run cells; `display`, `tabs`, `opening` show; `checks` asks the
reader; `page` is the object that binds them to one notebook.
"""

from gpubook.evidence.display import figure, table
from gpubook.evidence.obtain import Evidence
from gpubook.evidence.page import Page
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
