"""Shell lines on a page: run for real, shown as typed, loud when they fail."""

import time

import pytest

from gpubook import programs
from gpubook.evidence import terminal


def test_a_cell_is_its_commands_with_continuations_joined():
    cell = "# a comment\ndocker run \\\n  --rm x\n\nls\n"
    assert terminal.commands(cell) == ["docker run \\\n  --rm x", "ls"]


def test_a_command_keeps_what_a_terminal_would_show():
    step = terminal.run("echo out; echo err >&2; printf '\\033[31mred\\033[0m\\n'", timeout=10)
    assert step["stdout"] == "out\nerr\nred\n"
    assert step["exit_code"] == 0


def test_bash_decides_where_a_command_ends():
    cell = "for i in 1 2; do\n  echo $i\ndone\ncat <<EOF\na # b\n\nEOF\necho 'one\ntwo'\nls"
    assert terminal.commands(cell) == [
        "for i in 1 2; do\n  echo $i\ndone",
        "cat <<EOF\na # b\n\nEOF",
        "echo 'one\ntwo'",
        "ls",
    ]


def test_a_failure_in_a_pipe_is_a_failure():
    assert terminal.run("false | cat", timeout=10)["exit_code"] == 1


def test_a_command_over_its_time_is_ended_with_its_children():
    start = time.monotonic()
    with pytest.raises(terminal.CommandFailed, match=r"still running after 0\.3 s"):
        terminal.run("sleep 60 & sleep 60", timeout=0.3)
    assert time.monotonic() - start < 30


def test_a_program_that_left_the_session_does_not_hold_the_page():
    start = time.monotonic()
    with pytest.raises(terminal.CommandFailed, match="still running"):
        terminal.run("setsid sleep 20 & echo left", timeout=0.5)
    assert time.monotonic() - start < 15


def test_fifty_megabytes_of_output_are_two_ends_and_a_line_between():
    step = terminal.run(
        "echo first; head -c 50000000 /dev/zero | tr '\\0' x; echo last", timeout=60
    )
    lines = step["stdout"].splitlines()
    assert len(step["stdout"]) < 1.1 * programs.LIMIT
    assert (lines[0], lines[-1][-4:]) == ("first", "last")
    assert [line for line in lines if "left out" in line] == ["[49.0 MB are left out here]"]


def test_an_unexpected_failure_names_command_code_and_last_line():
    with pytest.raises(terminal.CommandFailed, match=r"`.*exit 4` ended with exit code 4: sorry"):
        terminal.run_all(["echo sorry; exit 4"], 10)


def test_an_expected_failure_that_succeeds_is_an_error():
    assert terminal.run_all(["exit 4"], 10, expect_failure=True)[0]["exit_code"] == 4
    with pytest.raises(terminal.CommandFailed, match="expected to fail"):
        terminal.run_all(["true"], 10, expect_failure=True)
