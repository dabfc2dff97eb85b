"""Each command ends in one line and a code that a script can act on."""

import subprocess
import sys

import pytest

from gpubook.errors import BookError, MissingCapability, UsageError, exit_code

COMMANDS = {
    "gpubook": "gpubook.cli:main",
    "mat_mul": "gpubook.matmul.cli:main",
    "spam_classify": "gpubook.spam.cli:classify",
    "spam_predict": "gpubook.spam.cli:predict",
}


def raising(error: BaseException):
    def command() -> int:
        raise error

    return command


def test_a_command_that_ends_well_keeps_its_own_code(capsys):
    assert exit_code("x", lambda: 0) == 0
    assert exit_code("x", lambda: 1) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UsageError("no such thing"), 2, "x: no such thing\n"),
        (BookError("disk full"), 1, "x: disk full\n"),
        (MissingCapability("no GPU"), 1, "x: no GPU\n"),
        (KeyboardInterrupt(), 130, "x: stopped\n"),
    ],
)
def test_what_stops_a_command_is_one_line_and_a_code(capsys, error, code, said):
    assert exit_code("x", raising(error)) == code
    assert capsys.readouterr() == ("", said)


def test_our_own_mistakes_are_not_hidden():
    with pytest.raises(ZeroDivisionError):
        exit_code("x", raising(ZeroDivisionError()))


def run(entry: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    module, function = entry.split(":")
    code = f"import sys; from {module} import {function} as main; sys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_misuse_in_every_command(name):
    done = run(COMMANDS[name], "--no-such-option")
    assert done.returncode == 2
    assert done.stderr.startswith(f"{name}: ")
    assert "Traceback" not in done.stderr


def test_a_reader_that_has_enough_ends_a_command_quietly():
    code = (
        "import sys; from gpubook.errors import exit_code\n"
        "def command():\n"
        "    for _ in range(100_000):\n"
        "        print('a line that nobody reads any more', flush=True)\n"
        "    return 0\n"
        "sys.exit(exit_code('x', command))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
    assert process.returncode == 141
    assert said == b""
