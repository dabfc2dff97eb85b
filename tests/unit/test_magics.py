"""Cell magics: plain code runs where it can, is replayed where it cannot, and leaves its value."""

import pytest
from IPython.core.interactiveshell import InteractiveShell

from gpubook.errors import UsageError
from gpubook.evidence import EvidenceError, Page, magics
from gpubook.evidence.magics import PARSERS

CHECKS = """
[[question]]
text = "?"
option = [{text="a", right=true, feedback="b"}, {text="c", right=false, feedback="d"}]
[[solution]]
exercise = 1
why = "Because."
"""


@pytest.fixture
def shell(root, monkeypatch):
    """A notebook's session with a page open."""
    (root / "book" / "checks").mkdir(parents=True)
    (root / "book" / "checks" / "01-x.toml").write_text(CHECKS, encoding="utf-8")
    shell = InteractiveShell()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    shell.user_ns["page"] = Page("01-x")
    return shell


@pytest.fixture
def nothing_here(can):
    can()


def test_the_last_lines_value_is_the_evidence_and_stays_in_a_variable(shell):
    shell.run_cell_magic("measure", "two-things", "x = 1\n(x, {'y': x + 1})")
    assert shell.user_ns["two_things"] == [1, {"y": 2}], "as JSON gives it back, live or not"
    assert shell.user_ns["page"].evidence("two-things").live


def test_what_a_measured_body_defines_does_not_stay(shell):
    shell.user_ns["total"] = 5
    shell.run_cell_magic("measure", "value", "total = 7\nleft = 1\ntotal")
    assert shell.user_ns["value"] == 7
    assert shell.user_ns["total"] == 5
    assert "left" not in shell.user_ns


def test_where_the_machine_cannot_the_body_does_not_run_and_the_recording_takes_its_place(
    shell, nothing_here, recorded, capsys
):
    recorded("value", {"pid": 7})
    shell.run_cell_magic("measure", "value --needs docker", "raise SystemExit\n0")
    assert shell.user_ns["value"] == {"pid": 7}
    assert "[RECORDED] value · h100" in capsys.readouterr().out


def test_a_body_without_a_value_is_misuse(shell):
    for body in ("x = 1", "# nothing", "for i in []: i"):
        with pytest.raises(UsageError, match="the last line must be an expression"):
            shell.run_cell_magic("measure", "value", body)


def test_an_error_in_the_body_is_the_cells_error(shell):
    with pytest.raises(ZeroDivisionError):
        shell.run_cell_magic("measure", "value", "x = 0\n1 / x")
    assert "value" not in shell.user_ns


def test_a_value_is_drawn_by_the_notebooks_function_or_not_at_all(shell, capsys):
    shell.user_ns["doubled"] = lambda data: [{"twice": 2 * data}]
    shell.run_cell_magic("measure", "value --show doubled", "21")
    assert "42" in capsys.readouterr().out
    shell.run_cell_magic("measure", "value --quiet", "21")
    assert "21" not in capsys.readouterr().out.replace("2021", "").split("\n", 1)[-1]


def test_a_terminals_outputs_stay_in_a_list(shell):
    shell.run_cell_magic("terminal", "two-lines", "echo a\necho b\n")
    assert shell.user_ns["two_lines"] == ["a\n", "b\n"]


def test_a_recording_of_other_commands_is_refused(shell, nothing_here, recorded):
    step = {"command": "echo b", "stdout": "b\n", "exit_code": 0, "seconds": 0.1}
    recorded("lines", {"steps": [step]})
    shell.run_cell_magic("terminal", "lines --needs docker", "echo b")
    assert shell.user_ns["lines"] == ["b\n"]
    with pytest.raises(EvidenceError, match="of other commands"):
        shell.run_cell_magic("terminal", "lines --needs docker", "echo c")


def test_a_solution_says_why_and_what_it_rests_on(shell, capsys):
    shell.run_cell_magic("measure", "value", "3")
    shell.run_cell_magic("solution", "1 --of value", "value + 1")
    shown = capsys.readouterr().out
    assert "Because.\nComputed from value (live: this machine)." in shown
    with pytest.raises(EvidenceError, match="no other yet"):
        shell.run_cell_magic("solution", "1 --of other", "0")


def test_a_solution_that_needs_something_is_an_evidence_too(shell, nothing_here, recorded, capsys):
    recorded("exercise-1", 5)
    shell.run_cell_magic("solution", "1 --needs docker", "raise SystemExit\n0")
    assert "exercise-1 (recorded: h100)" in capsys.readouterr().out


@pytest.mark.parametrize("magic", PARSERS)
def test_a_wrong_option_is_misuse_and_names_the_magic(shell, magic):
    with pytest.raises(UsageError, match=f"%%{magic}: "):
        shell.run_cell_magic(magic, "1 --nope", "0")


def test_a_name_is_a_variable_with_underscores():
    assert magics.variable("process-chain") == "process_chain"
