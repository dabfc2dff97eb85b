"""Every fault is one line and a code: no traceback, no hang, no wrong success."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpubook import cli
from gpubook.matmul import cli as matmul
from gpubook.spam import cli as spam
from tests import faults
from tests.unit import tiny_book

COMMANDS = {
    "gpubook": cli.main,
    "mat_mul": matmul.main,
    "spam_classify": spam.classify,
    "spam_predict": spam.predict,
}
BIN = Path(sys.executable).parent


def shell(command: str, folder: Path, **environment: str | None) -> subprocess.CompletedProcess:
    """A command as typed, in a folder; it has a minute."""
    changed = os.environ | {"PATH": f"{BIN}:{os.environ['PATH']}", "GPUBOOK_ROOT": None}
    changed |= {"REQUIRE": None, "DOCKER_HOST": "unix:///nowhere.sock"} | environment
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=folder,
        env={name: value for name, value in changed.items() if value is not None},
        capture_output=True,
        timeout=120,
    )


@pytest.mark.parametrize("fault", faults.FAULTS, ids=lambda f: f"{f.what}: {f.command[:40]}")
def test_a_fault_is_one_line_and_a_code(fault, tmp_path, monkeypatch, capsys):
    fault.make(tmp_path)
    before = {path for path in tmp_path.rglob("*") if "_build" not in path.parts}
    if re.search(r"[<>|]", fault.command):
        done = shell(fault.command, tmp_path)
        code, out, err = done.returncode, done.stdout.decode(), done.stderr.decode()
    else:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("GPUBOOK_ROOT", raising=False)
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        name, *words = shlex.split(fault.command)
        code = COMMANDS[name](words)
        out, err = capsys.readouterr()
    line = re.compile(".*".join(re.escape(part) for part in fault.says.split("…")) + "\n")
    if fault.says.startswith("missing "):
        assert err == ""
        assert any(line.fullmatch(one) for one in out.splitlines(keepends=True)), out
    else:
        assert (out, bool(line.fullmatch(err))) == ("", True), out + err
        assert err.count("\n") == 1
    assert code == fault.code
    assert {path for path in tmp_path.rglob("*") if "_build" not in path.parts} == before


def test_the_page_of_faults_is_made_from_the_tests():
    assert faults.PAGE.read_text(encoding="utf-8") == faults.page(), "run python -m tests.faults"


# ------------------------------------------------------- each command, each odd environment


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a book that is executed, a log, a project, and data that is none."""
    root = tiny_book.make(tmp_path_factory.mktemp("place"))
    tiny_book.add(root, "01-a", "%%measure word\n'Grüße'")
    (root / "log").write_text("gpubook: – grüße\n", encoding="utf-8")
    (root / "sms").write_text("ham\tok\n", encoding="utf-8")
    (root / "grüße").mkdir()
    (root / "grüße" / "Dockerfile").write_text("FROM scratch\n", encoding="utf-8")
    assert shell("gpubook run", root).returncode == 0
    return root


TYPED = {
    "doctor log": "gpubook doctor log",
    "doctor": "gpubook doctor",
    "project": "gpubook project grüße",
    "run": "gpubook run",
    "record": "gpubook record --machine box",
    "pdf": "gpubook pdf",
    "bench": "gpubook bench matmul --device cuda --record Not-A-Name",
    "mat_mul": "mat_mul --n 32 --device cpu --dtype fp32",
    "spam_classify": "spam_classify --data sms --device cpu --output new",
    "spam_predict": "spam_predict --model grüße hello",
}
ASCII = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C"}
HARMLESS = "no standard input, no HOME, ASCII"
GOOD = {"doctor log", "run", "record", "mat_mul"}
"""What succeeds here, and so has to where nothing that it needs is missing."""
ODD = {
    "output full": ("{} >/dev/full", {}),
    "a pipe that ends": ("{} | true", {}),
    HARMLESS: ("{} <&-", {"HOME": None} | ASCII),
}


def one_line_at_most(done: subprocess.CompletedProcess, name: str) -> str:
    said = done.stderr.decode("utf-8", "replace")
    assert said.count("\n") <= 1, said
    assert said == "" or said.startswith(f"{name}: "), said
    assert done.returncode in {0, 1, 2, 141}, (done.returncode, said)
    assert said or done.stdout or done.returncode == 141
    return said


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("typed", TYPED)
def test_every_command_ends_in_a_line_wherever_it_runs(place, typed, odd):
    pattern, environment = ODD[odd]
    command = TYPED[typed]
    done = shell(pattern.format(command), place, **environment)
    said = one_line_at_most(done, command.split()[0])
    if odd == "output full":
        assert done.returncode in {1, 2}, "what was not printed is no success"
        assert said
    if odd == HARMLESS:
        assert (done.returncode == 0) == (typed in GOOD), said
        assert "a text cannot be" not in said
        assert done.stdout.isascii()
        assert done.stderr.isascii()


@pytest.mark.parametrize("typed", TYPED)
def test_every_command_ends_in_a_line_in_a_folder_that_cannot_be_written(place, typed, tmp_path):
    locked = tmp_path / "locked"
    shutil.copytree(place, locked)
    shutil.rmtree(locked / "_build" / "work")
    if os.geteuid() == 0:  # whom no mode stops
        bind = f"mount --bind {locked} {locked} && mount -o remount,bind,ro {locked} && cd {locked}"
        done = shell(f"unshare -m bash -c '{bind} && {TYPED[typed]}'", tmp_path)
        if "unshare" in done.stderr.decode() or "mount:" in done.stderr.decode():
            pytest.skip("this machine mounts nothing")
    else:
        for path in (locked, *locked.rglob("*")):
            path.chmod(path.stat().st_mode & ~0o222)
        done = shell(TYPED[typed], locked)
    one_line_at_most(done, TYPED[typed].split()[0])
    if typed in {"run", "record"}:
        assert done.returncode == 1
        assert "Read-only file system" in done.stderr.decode() or os.geteuid() != 0


def test_a_full_disk_before_the_start_is_one_line_and_leaves_nothing(place, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    steps = [
        f"mount -t tmpfs -o size=64k tmpfs {disk}",
        f"cp -r {place}/notebooks {place}/_toc.yml {disk}",
        f"cd {disk}",
        "(head -c 1M /dev/zero >fill || true) 2>/dev/null",
        "(gpubook run; code=$?; find . -path ./_build/results -type f; exit $code)",
    ]
    done = shell(f"unshare -m bash -c '{' && '.join(steps)}'", tmp_path)
    if "unshare" in done.stderr.decode() or "mount:" in done.stderr.decode():
        pytest.skip("this machine mounts nothing")
    assert done.returncode == 1
    assert "No space left on device" in done.stderr.decode() + done.stdout.decode()
    assert "Traceback" not in done.stderr.decode()
    assert b"results" not in done.stdout
