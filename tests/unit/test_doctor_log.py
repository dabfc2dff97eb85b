"""A log from end to end: size, memory, lines, versions, ranking, and the command's interface."""

import io
import json
import subprocess
import sys
import time

import pytest

from gpubook.doctor import diagnose, load
from gpubook.doctor import report as said
from gpubook.doctor.diagnose import BLOCK
from gpubook.doctor.rules import Fix
from tests.conftest import ROOT, gpubook

RULES = {rule.id: rule for rule in load()}
TOOLKIT = RULES["no-toolkit"].examples[0]
LINE = (
    b"2026-11-23T10:46:39Z \x1b[32mINFO\x1b[0m step 17 loss 0.34, cuda memory 3.1 GiB, docker ok\n"
)


class Generated(io.RawIOBase):
    """A log of ``size`` bytes that is never in memory as a whole."""

    def __init__(self, size, line=LINE, last=b""):
        self.left, self.block, self.last = size, line * (BLOCK // len(line)), last

    def read(self, size=-1):
        if self.left <= 0:
            last, self.last = self.last, b""
            return last
        self.left -= len(self.block)
        return self.block


def ids(text):
    return [problem.rule.id for problem in diagnose(text).problems]


def test_the_line_that_gave_it_away_is_quoted_with_its_number():
    problem = diagnose("one\ntwo\n" + TOOLKIT + "\nfour\n").problems[0]
    assert problem.quote.line == 3
    assert problem.quote.text == TOOLKIT


def test_a_wrapped_message_is_quoted_whole():
    text = "noise\n" + TOOLKIT.replace("device driver", "device\ndriver") + "\n"
    quote = diagnose(text).problems[0].quote
    assert quote.line == 2
    assert quote.text == TOOLKIT


def test_a_quote_out_of_a_line_without_end_is_short_and_has_the_words():
    quote = diagnose("x " * 40_000 + TOOLKIT + " y" * 40_000).problems[0].quote
    assert len(quote.text) <= 600
    assert "could not select device driver" in quote.text


def test_terminal_control_does_not_get_from_a_log_into_the_report():
    text = "\x1b]0;evil\x07\x1b[2J\u202e" + TOOLKIT + "\x1b[31m\x07"
    shown = said.log_text(diagnose(text), "log")
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize("shift", [0, 1, 7, 40, 60, len(TOOLKIT)])
def test_a_message_across_two_blocks_is_found_once_and_on_its_line(shift):
    filler = b"x" * 99 + b"\n"
    before = (filler * (BLOCK // 100 + 1))[: BLOCK - shift - 1] + b"\n"
    found = diagnose(io.BytesIO(before + TOOLKIT.encode() + b"\n" + filler * 20_000)).problems
    assert [(p.rule.id, p.count) for p in found] == [("no-toolkit", 1)]
    assert found[0].quote.line == before.count(b"\n") + 1


def test_occurrences_are_counted_over_all_blocks():
    text = (TOOLKIT.encode() + b"\n" + LINE * 4000) * 12
    (problem,) = diagnose(io.BytesIO(text)).problems
    assert problem.count == 12


def test_lines_and_bytes_are_those_of_the_log():
    text = b"a\nb\nc"
    found = diagnose(io.BytesIO(text))
    assert (found.lines, found.size) == (3, 5)
    assert diagnose(b"").lines == 0
    large = diagnose(Generated(3 * BLOCK))
    assert large.lines == large.size // len(LINE)


def test_memory_does_not_grow_with_the_log():
    """Ten times the log takes no more memory, in processes of their own."""
    code = (
        "import sys, resource; from tests.unit.test_doctor_log import Generated, TOOLKIT;"
        "from gpubook.doctor import diagnose;"
        "d = diagnose(Generated(int(sys.argv[1]), last=TOOLKIT.encode()));"
        "assert [p.rule.id for p in d.problems] == ['no-toolkit'];"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )

    def peak(size):
        done = subprocess.run(
            [sys.executable, "-c", code, str(size)],
            cwd=ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stdout)

    assert peak(30_000_000) < 1.2 * peak(3_000_000)


def test_a_log_is_read_much_faster_than_line_by_line_matching():
    """The search costs a few passes over the bytes: within a few times of counting the words."""
    text = LINE * (8_000_000 // len(LINE))
    start = time.process_time()
    words = sum(len(line.lower().split()) for line in text.split(b"\n"))
    naive = time.process_time() - start
    start = time.process_time()
    diagnose(io.BytesIO(text))
    assert words
    assert time.process_time() - start < 3 * naive + 0.5


def test_what_explains_another_problem_comes_before_it():
    text = "\n".join(
        [
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker "
            "daemon running?",
            "docker.service: Failed with result 'exit-code'.",
            RULES["daemon-json"].examples[0],
        ]
    )
    found = diagnose(text).problems
    assert found[0].rule.id == "daemon-json"
    assert {p.rule.id for p in found[1:]} == {"no-engine", "engine-not-started"}
    assert found[0].explained_by == ""
    assert {p.explained_by for p in found[1:]} <= {"daemon-json", "engine-not-started"}
    assert "follows from daemon-json" in said.log_text(diagnose(text), "log")


def test_the_versions_named_in_a_text_choose_the_fix():
    lost = RULES["nvml-lost"].examples[0]
    new = "Server: Docker Engine - Community\n Engine:\n  Version:          29.1.3\n" + lost
    old = (
        "Docker version 24.0.7, build afdd53b\nNVIDIA Container Toolkit CLI version 1.13.5\n" + lost
    )

    def commands(text):
        data = said.log_json(diagnose(text), "log")
        assert data["problems"][0]["id"] == "nvml-lost"
        return data["versions"], [line for f in data["problems"][0]["fix"] for line in f["run"]]

    versions, run = commands(new)
    assert versions == {"engine": "29.1.3"}
    assert run[0] == "docker run --rm --device nvidia.com/gpu=all IMAGE"
    assert not any("/dev/nvidia0" in line for line in run)
    versions, run = commands(old)
    assert versions == {"engine": "24.0.7", "toolkit": "1.13.5"}
    assert any("/dev/nvidia0" in line for line in run)
    assert not any("nvidia.com/gpu" in line for line in run)
    assert len(commands(lost)[1]) > len(run)  # unknown versions: all of them, each with its own


@pytest.mark.parametrize(
    ("when", "version", "applies"),
    [
        ("engine>=28.2", "28.2.0", True),
        ("engine>=28.2", "28.2", True),
        ("engine>=28.2", "28.1.9", False),
        ("engine<25", "25.0.0", False),
        ("engine>=25 engine<28.2", "26.1.5+dfsg1", True),
        ("toolkit>=1.18", "28.2.0", None),
        ("podman", "28.2.0", None),
    ],
)
def test_a_fix_applies_from_the_version_it_names(when, version, applies):
    assert Fix(("true",), when).applies({"engine": version}) is applies


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ("engine>=25 engine<28.2", "Docker 25 or later, before 28.2"),
        ("toolkit<1.18", "toolkit before 1.18"),
        ("rootless", "a rootless engine"),
        ("", ""),
    ],
)
def test_conditions_are_said_in_words(when, words):
    assert said.in_words(when) == words


# ------------------------------------------------------------------------------- the command


def test_a_log_with_a_problem_exits_1_and_says_cause_and_command(tmp_path):
    log = tmp_path / "error.log"
    log.write_text(TOOLKIT, encoding="utf-8")
    done = gpubook("doctor", str(log))
    assert done.returncode == 1
    assert "[no-toolkit]" in done.stdout
    assert "$ sudo apt-get install -y nvidia-container-toolkit" in done.stdout
    assert done.stderr == ""


def test_a_log_with_nothing_known_exits_0_and_says_that_it_knows_nothing(tmp_path):
    log = tmp_path / "fine.log"
    log.write_text("frobnication failed: 42\n", encoding="utf-8")
    done = gpubook("doctor", str(log))
    assert done.returncode == 0
    assert "no problem that is known here" in done.stdout


def test_the_pipe_is_read_and_json_is_for_tools():
    done = subprocess.run(
        [sys.executable, "-m", "gpubook.cli", "doctor", "--json", "-"],
        input=TOOLKIT, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    data = json.loads(done.stdout)
    assert done.returncode == 1
    assert data["schema"] == "gpubook.doctor/1"
    assert [p["id"] for p in data["problems"]] == ["no-toolkit"]
    assert data["problems"][0]["quote"] == TOOLKIT
    assert data["problems"][0]["sources"]


def test_a_file_name_cannot_control_the_terminal(tmp_path):
    log = tmp_path / "\x1b[2Jfine.log"
    log.write_text("all is well\n", encoding="utf-8")
    done = gpubook("doctor", str(log))
    assert done.returncode == 0
    assert "\x1b" not in done.stdout
