"""Evidence: data with its provenance, live or recorded, and never the one passed off as the other.

A notebook opens a :class:`Page`; its cells measure with the magics ``%%terminal`` and
``%%measure``. Live results, recordings and tests share one schema (``evidence.schema.json``).

`records` the files and their checksums; `evidence` one record, live or replayed; `ledger` measures
or replays, and keeps what a page has; `magics` and `terminal` run cells; `display`, `tabs`,
`opening` show; `checks` asks the reader; `page` binds them to one notebook; `bench` is what every
bench returns.

Imports `errors`, `files` and `machine`. Every room after it may import it; notebooks do.
"""

from gpubook.evidence.display import figure, table
from gpubook.evidence.evidence import Evidence
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
