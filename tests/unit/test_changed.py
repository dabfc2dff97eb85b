"""What `make check` runs: a small repository whose tests import, name, or have nothing to do."""

import subprocess

import pytest

from tests import changed

FILES = {
    "gpubook/__init__.py": "",
    "gpubook/errors.py": "",
    "gpubook/machine.py": "from gpubook import errors\n",
    "gpubook/cli.py": "def run():\n    import gpubook.machine\n",
    "gpubook/doctor/__init__.py": "from gpubook.doctor.log import read\n",
    "gpubook/doctor/log.py": "RULES = 'rules.toml'\n",
    "gpubook/doctor/rules.toml": "",
    "book/intro.md": "",
    "docker/start": "",
    "odd": "",
    "pyproject.toml": "",
    "requirements/image.txt": "",
    "tests/unit/helper.py": "from gpubook import machine\n",
    "tests/unit/test_machine.py": "from .helper import machine\n",
    "tests/unit/test_doctor.py": "from gpubook import doctor\n",
    "tests/unit/test_command.py": "def test():\n    run(['-m', 'gpubook.cli'])\n",
    "tests/unit/test_typed.py": "def test():\n    gpubook('run')\n",
    "tests/unit/test_files.py": "PROSE, SCRIPTS = 'book', ROOT / 'docker'\n",
}


@pytest.fixture
def affected(tmp_path):
    """A function from changed files to the tests that they affect, nearest first."""
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    tests = sorted((tmp_path / "tests" / "unit").glob("test_*.py"))

    def near(*names: str) -> list[str]:
        files = {tmp_path / name for name in names}
        order = changed.nearest(changed.affected(tmp_path, tests, files), files)
        return [path.stem.removeprefix("test_") for path in order]

    return near


def test_a_module_affects_the_tests_that_import_it_the_nearest_first(affected):
    assert affected("gpubook/doctor/log.py") == ["doctor"]
    assert affected("gpubook/machine.py") == ["machine", "command", "typed"]
    assert affected("gpubook/cli.py") == ["command", "typed"]
    assert affected("tests/unit/helper.py") == ["machine"]


def test_a_change_two_imports_away_comes_after_one_beside_it(affected):
    assert affected("gpubook/errors.py", "gpubook/doctor/log.py")[0] == "doctor"
    assert set(affected("gpubook/errors.py")) == {"machine", "command", "typed"}


def test_data_beside_a_module_and_folders_that_a_test_names_count(affected):
    assert affected("gpubook/doctor/rules.toml") == ["doctor"]
    assert affected("book/intro.md") == ["files"]
    assert affected("docker/start") == ["files"]


@pytest.mark.parametrize("name", ["odd", "pyproject.toml", "requirements/image.txt"])
def test_what_leads_nowhere_or_steers_all_affects_every_test(affected, name):
    assert set(affected(name)) == {"machine", "doctor", "command", "typed", "files"}


def test_a_changed_test_affects_itself_alone(affected):
    assert affected("tests/unit/test_files.py") == ["files"]


def git(folder, *arguments):
    subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e", *arguments],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip


def test_changed_is_what_came_since_the_main_branch_and_what_is_not_committed(tmp_path):
    for name in ("kept", "edited", "committed", ".gitignore"):
        (tmp_path / name).write_text("ignored\n", encoding="utf-8")
    git(tmp_path, "init", "--initial-branch", "main")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--message", "first")
    git(tmp_path, "switch", "--create", "work")
    (tmp_path / "committed").write_text("2", encoding="utf-8")
    git(tmp_path, "commit", "--all", "--message", "second")
    (tmp_path / "edited").write_text("2", encoding="utf-8")
    (tmp_path / "new").write_text("2", encoding="utf-8")
    (tmp_path / "ignored").write_text("2", encoding="utf-8")
    names = {path.name for path in changed.changed_files(tmp_path)}
    assert names == {"committed", "edited", "new"}
