"""Every install takes only what the lock names, and the lock is whole and of one piece."""

import hashlib
import os
import re
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tools import lock

INSTALL = ROOT / "tools" / "install.py"
LOCKS = ROOT / "requirements"


def wheel(folder: Path, name: str = "tiny", version: str = "1.0", text: str = "") -> str:
    """Make a wheel of one module that asks for a package nobody has. Returns its SHA-256."""
    about = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": text,
        f"{about}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        "Requires-Dist: not-in-the-lock\n",
        f"{about}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{about}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in files.items():
            archive.writestr(member, content)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def line(digest: str, name: str = "tiny", version: str = "1.0", marker: str = "") -> str:
    return f"{name}=={version}{marker} \\\n    --hash=sha256:{digest}\n"


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Path:
    """A virtual environment with pip alone; its Python."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder / "bin" / "python"


def install(python: Path, folder: Path, lock: str, *options: str | Path):
    """The project's install command, from the wheels of a folder and no index."""
    (folder / "lock.txt").write_text(lock, encoding="utf-8")
    settings = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(folder), "PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        [python, INSTALL, *options, folder / "lock.txt"],
        env=os.environ | settings, capture_output=True, text=True, check=False,
    )  # fmt: skip


def imported(python: Path) -> bool:
    done = subprocess.run([python, "-c", "import tiny"], capture_output=True, check=False)
    return done.returncode == 0


def test_a_file_with_another_hash_is_refused_in_one_line_and_nothing_is_installed(
    environment, tmp_path
):
    published = wheel(tmp_path, text="published = True\n")
    planted = wheel(tmp_path, text="planted = True\n")
    assert published != planted
    done = install(environment, tmp_path, line(published))
    assert (done.returncode, imported(environment)) == (1, False)
    (said,) = done.stderr.splitlines()
    assert said == (
        f"install: pip stopped: tiny==1.0 is not the file that the lock names "
        f"(its SHA-256 is {planted})"
    )
    refused = install(environment, tmp_path, line(published), "--download", tmp_path / "wheels")
    assert refused.returncode == 1
    assert not list((tmp_path / "wheels").glob("*.whl"))


@pytest.mark.parametrize("lock", ["tiny\n", "tiny==1.0\n"], ids=["no version", "no hash"])
def test_what_the_lock_does_not_pin_with_a_hash_is_refused(environment, tmp_path, lock):
    wheel(tmp_path)
    done = install(environment, tmp_path, lock)
    assert (done.returncode, imported(environment)) == (1, False)
    assert len(done.stderr.splitlines()) == 1


def test_what_a_package_asks_for_is_not_installed_unless_the_lock_names_it(environment, tmp_path):
    """The locked file is installed, another machine's package is left out, and a second run
    asks for nothing: it works with the wheels gone."""
    other = line("0" * 64, "elsewhere", marker=" ; sys_platform == 'win32'")
    lock = line(wheel(tmp_path)) + other
    assert install(environment, tmp_path, lock).returncode == 0
    assert imported(environment)
    (tmp_path / "tiny-1.0-py3-none-any.whl").unlink()
    again = install(environment, tmp_path, lock)
    assert (again.returncode, again.stderr) == (0, "")


# ------------------------------------------------------------------------------------- the lock


@pytest.fixture(scope="module")
def pins() -> dict[str, dict]:
    """Every lock's packages, with version and hashes."""
    return {
        path.stem: {p: lock.pin(block) for p, block in lock.read(path.stem).items()}
        for path in LOCKS.glob("*.txt")
    }


def test_every_package_of_every_lock_has_a_version_and_hashes(pins):
    assert set(pins) == {*lock.HEADS, lock.CPU}
    for name, packages in pins.items():
        assert packages and all(pin.hashes for pin in packages.values()), name
        assert {len(digest) for pin in packages.values() for digest in pin.hashes} == {64}
        lines = (LOCKS / f"{name}.txt").read_text("utf-8").splitlines()
        assert all(text[0] in "# " or re.match(r"[a-z0-9-]+==\S+", text) for text in lines)


def test_what_two_locks_have_is_of_one_version_and_has_the_same_hashes(pins):
    every = {}
    for name in set(pins) - {"torch-cpu"}:
        for package, pin in pins[name].items():
            assert every.setdefault(package, pin) == pin, f"{package} in {name}"


def test_the_locks_hold_what_pyproject_asks_for(pins):
    """A dependency that is added without `make lock` is noticed."""
    for name, asked in lock.requirements().items():
        names = {
            re.sub(r"[-_.]+", "-", re.match(r"[A-Za-z0-9._-]+", text)[0]).lower()
            for text in asked
            if text and text[0] != "#"
        }
        torch = {"torch"} if name in ("setup", "image") else set()
        assert names - torch <= set(pins[name]), f"run `make lock` ({name})"


def test_torch_has_one_lock_for_each_build_and_they_share_no_file(pins):
    cpu, cuda = pins["torch-cpu"]["torch"], pins["torch-cuda"]["torch"]
    assert cpu.version == f"{cuda.version}+cpu"
    assert not cpu.hashes & cuda.hashes
    assert "torch" not in pins["setup"].keys() | pins["image"].keys()
    assert {"nvidia-cublas", "triton"} <= set(pins["torch-cuda"])
    assert "nvidia-ml-py" in pins["image"], "ours, and not of a CUDA build"


def test_this_environment_is_what_the_lock_says_and_nothing_in_it_is_missing(pins):
    own = {
        re.sub(r"[-_.]+", "-", dist.metadata["Name"]).lower(): dist.version
        for dist in metadata.distributions()
    }
    locked = pins["setup"] | pins["torch-cpu" if "+cpu" in own["torch"] else "torch-cuda"]
    assert {"torch", "numpy", "pytest"} <= own.keys() & locked.keys()
    for package in own.keys() & locked.keys():
        assert own[package] in locked[package].version.split(" and "), package
    check = [sys.executable, "-m", "pip", "check", "--disable-pip-version-check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_difference_says_what_came_went_and_changed_and_shouts_at_a_changed_file():
    a, b, c = "a" * 64, "b" * 64, "c" * 64
    before = {"gone": line(a, "gone"), "new": line(a, "new"), "same": line(a, "same"),
              "swapped": line(a, "swapped"), "more": line(a, "more")}  # fmt: skip
    after = {"new": line(a, "new", "2.0"), "same": line(a, "same"), "here": line(c, "here"),
             "swapped": line(b, "swapped"),
             "more": line(a, "more").rstrip() + f" \\\n    --hash=sha256:{b}\n"}  # fmt: skip
    assert lock.difference(before, after) == [
        "- gone 1.0",
        "+ here 1.0",
        "  more 1.0: 1 more file(s)",
        "  new 1.0 -> 2.0",
        "! swapped 1.0: 1 file(s) are no longer the same",
    ]


def test_torchs_cpu_builds_are_read_from_an_index_or_the_lock_stays(tmp_path):
    """The index of the test has builds for Windows, without the GIL and of another version, too."""
    names = [
        "2.0.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64", "2.0.0%2Bcpu-cp313-cp313-win_amd64",
        "2.0.0%2Bcpu-cp314-cp314t-manylinux_2_28_x86_64", "2.0.0-cp313-cp313-macosx_14_0_arm64",
        "1.0.0%2Bcpu-cp313-cp313-manylinux_2_28_x86_64",
        "2.0.0%2Bcpu-cp314-cp314-manylinux_2_28_aarch64",
    ]  # fmt: skip
    html = "\n".join(
        f'<a href="/whl/cpu/torch-{name}.whl#sha256={i:064x}">' for i, name in enumerate(names)
    )
    assert lock.cpu_hashes(html, "2.0.0") == [f"{0:064x}", f"{5:064x}"]
    with pytest.raises(lock.LockError, match="no hash of a CPU build of torch 9"):
        lock.cpu_text("9", "")
    with pytest.raises(lock.LockError, match="cannot be read"):
        lock.cpu_text("9", (tmp_path / "nowhere").as_uri())
