"""Files around the code that a forge, a bot or a reader uses: they agree with one another."""

import json
import re
import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.conftest import ROOT
from tools import release
from tools.release import notes

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def _workflow(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _steps(path):
    for job in _workflow(path)["jobs"].values():
        yield from job.get("steps", ())


# The same tools by hand, before a commit and in CI


def _tools(text: str) -> set[str]:
    """What a text starts from .venv: programs, ruff's two commands, our scripts, schemas."""
    calls = re.findall(r"\.venv/bin/([\w-]+)(?: (check|format|tools/\w+\.py))?", text)
    schemas = re.findall(r"vendor\.([\w-]+)", text)
    return {" ".join(filter(None, call)) for call in calls} | set(schemas)


def test_pre_commit_runs_the_tools_of_make_lint():
    listed = subprocess.run(
        ["make", "--dry-run", "lint"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    entries = "\n".join(hook["entry"] for repo in hooks["repos"] for hook in repo["hooks"])
    lint = _tools(listed)
    assert {"ruff check", "ruff format", "zizmor", "shellcheck", "renovate"} <= lint
    assert _tools(entries) == lint


# Workflows


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_grants_nothing_by_default_and_each_job_ends(path):
    workflow = _workflow(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert "permissions" in job, name
        assert "uses" in job or 0 < job["timeout-minutes"] <= 90, name


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_commit_with_its_version_beside_it(path):
    used = re.findall(r"uses: (\S+)(.*)", path.read_text(encoding="utf-8"))
    for action, comment in used:
        if not action.startswith("./"):
            assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_what_runs_for_a_pull_request_has_no_secret_and_may_only_read():
    for path in WORKFLOWS:
        workflow = _workflow(path)
        assert "pull_request_target" not in workflow[True]  # YAML 1.1 reads `on` as a boolean
        if "pull_request" not in workflow[True]:
            continue
        assert "secrets." not in path.read_text(encoding="utf-8")
        for job in workflow["jobs"].values():
            assert set(job["permissions"].values()) <= {"read"}


def test_a_called_workflow_gets_the_permissions_that_its_jobs_ask_for():
    for path in WORKFLOWS:
        for name, job in _workflow(path)["jobs"].items():
            if "uses" not in job:
                continue
            called = _workflow(ROOT / job["uses"])
            assert "workflow_call" in called[True]
            for inner in called["jobs"].values():
                for scope, right in inner["permissions"].items():
                    assert job["permissions"].get(scope) in {right, "write"}, (name, scope)


def test_workflows_call_what_people_type_and_all_of_it_exists():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    runs = [step["run"] for path in WORKFLOWS for step in _steps(path) if "run" in step]
    text = "\n".join(runs)
    assert ".ci/run" in text
    assert set(re.findall(r"\bmake ([a-z]+)", text)) <= targets | {"check"}
    for script in re.findall(r"\btools/\w+\.py\b", text):
        assert (ROOT / script).is_file()


def test_what_the_pages_workflow_sets_is_in_the_configuration():
    from gpubook.book.render import configuration

    text = "\n".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)
    names = set(re.findall(r"--set ([\w.]+)=", text))
    assert {"html.baseurl", "repository.url", "repository.branch"} <= names
    configuration(ROOT, dict.fromkeys(names, "x"))


# Version, changelog, release


def test_every_file_names_one_version_and_the_changelog_has_it():
    assert set(release.versions(ROOT).values()) == {VERSION}, "make version VERSION=…"
    assert f"## [{VERSION}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_version_is_set_everywhere_and_a_changelog_keeps_what_was_released(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(release, "ROOT", tmp_path)
    (tmp_path / "docker").mkdir()
    for name in ("pyproject.toml", "docker/Dockerfile"):
        (tmp_path / name).write_text((ROOT / name).read_text("utf-8"), "utf-8")
    (tmp_path / "CITATION.cff").write_text("cff-version: 1.2.0\nversion: 1.0.0\n", "utf-8")
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n## Unreleased\n\n- a\n", "utf-8")
    assert release.main(["version"]) == 2
    assert "they differ" in capsys.readouterr().err
    assert release.main(["version", "7.8.9"]) == 0
    assert set(release.versions(tmp_path).values()) == {"7.8.9"}
    assert "cff-version: 1.2.0" in (tmp_path / "CITATION.cff").read_text("utf-8")
    assert release.main(["version", "7.9.0"]) == 0
    headings = re.findall("^## .*$", (tmp_path / "CHANGELOG.md").read_text("utf-8"), re.M)
    assert headings == ["## 7.9.0", "## 7.8.9"]
    assert release.main(["version", "seven"]) == 2


@pytest.fixture
def released(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "1.2.0"\n')
    log = "# Changelog\n\n## [1.2.0] - 2026-12-01\n\n- New.\n\n## [1.1.0] - 2026-11-01\n\n- Old.\n"
    (tmp_path / "CHANGELOG.md").write_text(log)
    return tmp_path


def test_the_notes_of_a_release_are_its_section_of_the_changelog(released):
    assert notes(released, "v1.2.0") == "- New."


def test_a_tag_of_another_version_an_undated_or_a_missing_section_makes_no_release(released):
    with pytest.raises(ValueError, match=r"tag is v1\.3\.0, but .* version 1\.2\.0"):
        notes(released, "v1.3.0")
    log = (released / "CHANGELOG.md").read_text()
    (released / "CHANGELOG.md").write_text(log.replace("2026-12-01", "Unreleased"))
    with pytest.raises(ValueError, match="no date"):
        notes(released, "v1.2.0")
    (released / "CHANGELOG.md").write_text(log.replace("[1.2.0]", "[1.2]"))
    with pytest.raises(ValueError, match="no section"):
        notes(released, "v1.2.0")


def test_a_wrong_tag_is_one_line_and_no_traceback():
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "release.py", "notes", "v0.0.0"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1


# The published versions' first page


def test_the_first_page_lists_latest_and_releases_by_number(tmp_path):
    for name in ("latest", "v1.9.0", "v1.10.0", "v1.2.0-rc1", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").touch()
    (tmp_path / "v1.11.0").mkdir()  # a download that brought nothing
    command = [sys.executable, ROOT / "tools" / "release.py", "index", tmp_path]
    subprocess.run(command, check=True)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.findall('href="(.*?)"', page) == ["latest/", "v1.10.0/", "v1.9.0/"]
    assert "v1.10.0</a>: the newest release" in page

    (tmp_path / "index.html").unlink()
    (tmp_path / "latest" / "index.html").unlink()
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "no rendered book in latest/" in done.stderr
    assert not (tmp_path / "index.html").exists()


# Renovate


def test_renovate_finds_the_base_image_where_the_dockerfile_names_it():
    (manager,) = json.loads((ROOT / "renovate.json").read_text())["customManagers"]
    pattern = manager["matchStrings"][0].replace("(?<", "(?P<")
    match = re.search(pattern, (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8"))
    assert match and match["depName"] == "python"
    assert re.match(r"3\.11\.\d+-slim", match["currentValue"])
