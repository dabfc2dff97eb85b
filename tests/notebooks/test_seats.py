"""A Hub's seat is as large by default as the notebooks of this run need it."""

import re

from gpubook.book.sphinx_status import seat_bytes
from tests.conftest import NOTEBOOKS, ROOT


def test_a_seat_has_room_for_the_two_largest_notebooks(results):
    needed = seat_bytes([results(name).result for name in NOTEBOOKS])
    text = (ROOT / "docker" / "jupyterhub" / "hub").read_text(encoding="utf-8")
    default = int(re.search(r"a seat's memory \((\d+)G\)", text)[1]) * 2**30
    config = (ROOT / "docker" / "jupyterhub" / "jupyterhub_config.py").read_text(encoding="utf-8")
    assert f'"SEAT_MEMORY", "{default // 2**30}G"' in config, "the comment tells the truth"
    assert needed <= default, f"a seat needs {needed / 2**30:.0f} GiB"
