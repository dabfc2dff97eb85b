"""Page 04: an image is built, changed, run, stopped, and what it writes is kept."""

import re
import runpy
import sys

import numpy as np
import pytest

from tests.notebooks.pages import names, outputs, source

NOTEBOOK = "04-your-first-image"
PRINTED = re.compile(r"(torch|plain Python): N = (\d+), ([\d.]+) s, ([\d.]+) GFLOP/s\n")


@pytest.fixture(scope="module")
def steps():
    return names(NOTEBOOK, "steps")["steps"]


def test_the_first_build_runs_every_step(page, steps):
    first = steps(outputs(page.evidence("build"))[0])
    assert [name.split()[0] for name in first] == ["RUN", "WORKDIR", "COPY"]
    assert all(end.startswith("DONE ") for end in first.values())


def test_the_second_build_runs_only_the_step_whose_file_changed(page, steps):
    second = steps(outputs(page.evidence("rebuild"))[1])
    ran = [name.split()[0] for name, end in second.items() if end != "CACHED"]
    assert ran == ["COPY"]


def test_the_image_runs_the_script_and_its_figures_agree(page):
    how, n, seconds, gflops = PRINTED.fullmatch(outputs(page.evidence("first-run"))[0]).groups()
    assert how in ("torch", "plain Python")
    assert float(gflops) == pytest.approx(2 * int(n) ** 3 / float(seconds) / 1e9, abs=0.01, rel=0.1)


def test_the_history_has_a_row_for_each_instruction_and_says_what_weighs(page):
    text, size = outputs(page.evidence("history"))
    rows = text.splitlines()[1:]
    (copy,) = [row for row in rows if "COPY mat_mul.py" in row]
    assert not copy.startswith("0B")
    assert sum('CMD ["python3" "mat_mul.py"]' in row for row in rows) == 1
    answer = page.solution(1)
    assert answer["rows"] == len(rows)
    assert answer["with_files"] == len([r for r in rows if r.split()[0] != "0B"])
    assert page.solution(2) == pytest.approx(int(size) / 1e6 + 10)


def test_a_container_in_the_background_is_listed_entered_and_has_a_log(page):
    started, listed, inside, log = outputs(page.evidence("background"))
    assert re.fullmatch(r"[0-9a-f]{64}\n", started)
    assert re.search(r"^gpubook-04 +gpubook-04 +Up ", listed, re.MULTILINE)
    assert PRINTED.fullmatch(inside)
    assert all(PRINTED.fullmatch(f"{line}\n") for line in log.splitlines())


def test_process_1_ignores_the_request_to_end_and_is_killed(page):
    assert outputs(page.evidence("ended"))[0].startswith("gpubook-04: Exited (137)")
    assert page.evidence("stop").data > 2.9, "it waits for the three seconds that it was given"


def test_a_file_belongs_to_the_user_in_the_container(page):
    listing = outputs(page.evidence("mount"))[3]
    owners = {line.split()[-1]: line.split()[2] for line in listing.splitlines()[1:]}
    assert owners["user.txt"] == "1000"
    assert owners["root.txt"] == "0"  # with a rootless engine it would be the engine's user


def test_a_volume_outlives_the_container_that_wrote_into_it(page):
    created, written, read, removed = outputs(page.evidence("volume"))
    assert created == removed == "gpubook-04\n"
    assert written == ""
    assert PRINTED.fullmatch(read)


# ---------------------------------------------------------------------------- the page's own code


def test_the_script_multiplies_as_torch_does_and_says_which_it_used(tmp_path, capsys, monkeypatch):
    """Once with torch, once where importing it fails; the plain product must be the right one."""
    script = tmp_path / "mat_mul.py"
    script.write_text(source(NOTEBOOK, "script").replace("N = 128", "N = 16"))
    runpy.run_path(str(script))
    assert capsys.readouterr().out.startswith("torch: N = 16, ")
    monkeypatch.setitem(sys.modules, "torch", None)
    scope = runpy.run_path(str(script))
    assert capsys.readouterr().out.startswith("plain Python: N = 16, ")
    product = scope["multiply"](scope["a"], scope["b"])
    assert np.allclose(product, np.array(scope["a"]) @ np.array(scope["b"]))


def test_steps_of_a_build_log_are_read_whatever_their_order(steps):
    log = (
        "#4 [1/3] FROM docker.io/library/x\n#4 CACHED\n\n#6 [2/3] RUN slow\n#5 [3/3] COPY a .\n"
        "#6 0.3 some output\n#5 CACHED\n#6 DONE 12.3s\n#7 exporting to image\n#7 DONE 0.1s\n"
    )
    assert steps(log) == {"RUN slow": "DONE 12.3s", "COPY a .": "CACHED"}


def test_the_slow_line_stands_above_the_one_that_changes():
    lines = source(NOTEBOOK, "dockerfile").splitlines()
    order = [line.split()[0] for line in lines]
    assert order.index("RUN") < order.index("COPY")
