"""The final project's checklist: the example passes, and each way to break it is named."""

import json
import shutil
from pathlib import Path

import pytest

from gpubook import cli
from gpubook.project import build, dockerfile, items, result, script
from gpubook.project.dockerfile import BadDockerfile
from tests.conftest import ROOT, gpubook

GOOD = ROOT / "examples" / "project"
NO_ENGINE = {"DOCKER_HOST": "unix:///nowhere.sock", "REQUIRE": ""}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A copy of the example that a test may break."""
    return shutil.copytree(GOOD, tmp_path / "mine")


@pytest.fixture
def no_engine(without, monkeypatch):
    """This machine, as it would be without a Docker Engine."""
    without("docker", "no Docker Engine")
    monkeypatch.delenv("REQUIRE", raising=False)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{old!r} is not in {path.name}: the test breaks nothing"
    path.write_text(text.replace(old, new), encoding="utf-8")


def rewrite(path: Path, **changes) -> None:
    value = json.loads(path.read_text(encoding="utf-8")) | changes
    path.write_text(json.dumps(value), encoding="utf-8")


def verify(folder: Path) -> tuple[int, dict]:
    """The command's exit code and findings, with no engine at hand."""
    done = gpubook("project", str(folder), "--json", **NO_ENGINE)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def state(report: dict) -> dict[str, str]:
    return {item["id"]: item["state"] for item in report["items"]}


def test_the_example_meets_all_that_can_be_checked_without_an_engine():
    code, report = verify(GOOD)
    assert code == 0
    assert report["missing"] == 0
    assert list(state(report)) == list(items.ITEMS)
    unchecked = [i for i in report["items"] if i["state"] == "not checked"]
    assert [i["id"] for i in unchecked] == list(items.ENGINE_ITEMS)
    assert all("no Docker Engine at unix:///nowhere.sock" in i["found"] for i in unchecked)


def one_run(path: Path) -> None:
    """A script that warms up and waits, but times once."""
    edit(path, "for _warm_up in range(WARM_UPS):\n    one_run()", "warm_up = one_run\nwarm_up()")
    edit(path, "sorted(one_run() for _ in range(RUNS))", "[one_run()]")


D, B, I, R = "Dockerfile", "bench.py", ".dockerignore", "result.json"  # noqa: E741


def put(name: str, old: str, new: str):
    return lambda folder: edit(folder / name, old, new)


def whole(name: str, text: str):
    return lambda folder: (folder / name).write_text(text)


def no(name: str):
    return lambda folder: (folder / name).unlink()


def fields(**values):
    return lambda folder: rewrite(folder / R, **values)


PINNED = "python:3.11.14-slim-bookworm"
WARM_UP = "for _warm_up in range(WARM_UPS):\n    one_run()"
FEW = {"n": 3, "samples": [1.0] * 3, "median": 1.0, "spread": 0.0}
EXT4, ROOT_USER = {"root_filesystem": "ext4", "uid": 1000}, {"root_filesystem": "overlay", "uid": 0}
IN_DOCKERFILE = "dockerfile pinned-base non-root command"
# What is broken: how, which items are missing then, and what is said of each of them.
BREAKS = {
    "no Dockerfile": (no(D), IN_DOCKERFILE, "there is no Dockerfile"),
    "an empty Dockerfile": (whole(D, "# nothing\n"), IN_DOCKERFILE, "it has no FROM"),
    "latest": (put(D, ":3.11.14-slim-bookworm", ""), "pinned-base", "can move"),
    "a short tag": (put(D, "3.11.14-slim", "3-slim"), "pinned-base", "python:3-s"),
    "no default": (put(D, f"={PINNED}", ""), "pinned-base", "FROM ${BASE} can move"),
    "no user": (put(D, "USER 1000\n", ""), "non-root", "no USER"),
    "root by name": (put(D, "USER 1000", "USER root:root"), "non-root", "root"),
    "root by number": (put(D, "USER 1000", "USER 0"), "non-root", "USER is 0"),
    "root at the end": (
        put(D, "USER 1000", "USER 1000\nUSER root"), "non-root", "the last USER is root",
    ),
    "a user in another stage": (
        put(D, "USER 1000\n", f"USER 1000\nFROM {PINNED}\n"), "non-root", "no USER",
    ),
    "no command": (put(D, 'CMD ["python3"', '# ["python3"'), "command", "CMD"),
    "no .dockerignore": (no(I), "dockerignore", "there is no .dockerignore"),
    "secrets are sent": (whole(I, ".git\n__pycache__\n"), "dockerignore", "it lets .env through"),
    "all is let in again": (whole(I, "*\n!*\n"), "dockerignore", "it lets .git and .env through"),
    "no script": (no(B), "warm-up synchronise clock", "no Python file here reads a clock"),
    "no warm-up": (put(B, f"{WARM_UP}\n", "# warm up\n"), "warm-up", "warm"),
    "an empty warm-up": (
        put(B, WARM_UP, WARM_UP.replace("one_run()", "pass")), "warm-up", "warm",
    ),
    "no synchronise": (
        put(B, "torch.cuda.synchronize()", "pass  # torch.cuda.synchronize()"),
        "synchronise", "no call of torch.cuda.synchronize()",
    ),
    "the wall clock": (
        put(B, "time.perf_counter()", "time.time()"), "clock", "time.time() is no clock",
    ),
    "one run": (lambda folder: one_run(folder / B), "clock", "one run is timed"),
    "no result": (no(R), "result container", "there is no result.json"),
    "a result that is no JSON": (whole(R, "took 3 s"), "result container", "is not JSON"),
    "a result that is a list": (whole(R, "[]"), "result container", "result.json: it "),
    "no device": (fields(device=""), "result", "device"),
    "a unit that is none": (fields(unit="seconds"), "result", "unit must be"),
    "a wrong median": (fields(median=1.0), "result", "median is 1"),
    "a wrong spread": (fields(spread=0.0), "result", "spread is 0"),
    "a wrong n": (fields(n=1000), "result", "n is 1000, but there are 30"),
    "few runs": (fields(**FEW), "result", "n must be bigger than or equal to 10"),
    "not a number": (
        put(R, '"spread": ', '"spread": NaN, "was": '),
        "result container", "NaN is not a finite number",
    ),
    "endless": (
        put(R, '"median": ', '"median": Infinity, "was": '),
        "result container", "Infinity is not a finite number",
    ),
    "negative times": (fields(samples=[-1.0] * 30, median=1.0), "result", "bigger than 0"),
    "no container": (fields(container=None), "result container", "contain"),
    "measured outside": (fields(container=EXT4), "container", "ext4: that is a machine's own"),
    "measured as root": (fields(container=ROOT_USER), "container", "it ran as root"),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_missing_and_nothing_else(folder, name, no_engine, capsys):
    spoil, expected, said = BREAKS[name]
    spoil(folder)
    code = cli.main(["project", str(folder), "--json"])
    report = json.loads(capsys.readouterr().out)
    wrong = [item for item in report["items"] if item["state"] == "missing"]
    assert {item["id"] for item in wrong} == set(expected.split())
    assert code == 1
    assert all(said in item["found"] for item in wrong), [item["found"] for item in wrong]


def test_every_item_that_needs_no_engine_can_be_broken():
    broken = set().union(*(expected.split() for _, expected, _ in BREAKS.values()))
    assert broken == set(items.ITEMS) - set(items.ENGINE_ITEMS)


def test_for_people_each_missing_item_is_one_line_with_what_why_and_how(folder):
    edit(folder / D, "USER 1000", "USER 0")
    (folder / I).unlink()
    done = gpubook("project", str(folder), **NO_ENGINE)
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert len(lines) == len(items.ITEMS) + 1
    for id_ in ("non-root", "dockerignore"):
        (line,) = [one for one in lines if one.startswith("missing") and f" {id_} " in one]
        assert f"| why: {items.ITEMS[id_].why} | do: {items.ITEMS[id_].how}" in line
    assert lines[-1] == "8 of 12 met, 2 missing, 2 not checked"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["project"], "the following arguments are required: FOLDER"),
        (["project", "nowhere"], "nowhere is no folder"),
        (["project", str(GOOD / "Dockerfile")], "is no folder"),
        (["project", str(GOOD), "--build-arg", "BASE"], "'BASE' is not NAME=VALUE"),
        (["project", str(GOOD), "--build-arg", "=x"], "'=x' is not NAME=VALUE"),
        (["project", str(GOOD), "--require", "nonsense"], "unknown capability nonsense"),
    ],
)
def test_misuse_is_one_line_and_exit_code_2(arguments, complaint):
    done = gpubook(*arguments, **NO_ENGINE)
    assert done.returncode == 2
    assert done.stdout == ""
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_required_engine_that_is_missing_is_an_error_not_an_unchecked_item():
    done = gpubook("project", str(GOOD), "--require", "docker", **NO_ENGINE)
    assert done.returncode == 1
    assert "docker" in done.stderr
    assert done.stdout == ""


def test_the_help_lists_the_command():
    assert "project" in gpubook("--help").stdout


# Dockerfiles as people write them


@pytest.mark.parametrize(
    ("text", "bases", "user"),
    [
        ("FROM a:1.2.3", ["a:1.2.3"], ""),
        ("from a:1.2.3 as x\nuser 5", ["a:1.2.3"], "5"),
        ("ARG T=1.2.3\nFROM a:$T\nUSER me", ["a:1.2.3"], "me"),
        ("ARG T\nFROM a:${T:-9.9.9}\nUSER me", ["a:9.9.9"], "me"),
        ("FROM --platform=linux/amd64 a:1 AS b\nUSER u\nFROM b\nRUN true", ["a:1"], "u"),
        ("FROM a:1 AS b\nFROM scratch\nCOPY --from=b / /", ["a:1"], ""),
        ("FROM a:1\nRUN x \\\n  # a comment\n  && y\nUSER u", ["a:1"], "u"),
        ("# escape=`\nFROM a:1\nRUN dir `\n  c:\\\nUSER u", ["a:1"], "u"),
        ("FROM a:1\nRUN <<EOF\nUSER root\nEOF\nUSER u", ["a:1"], "u"),
        ("FROM a:1\nRUN <<-'EOF'\n\tUSER root\n\tEOF\nUSER u", ["a:1"], "u"),
        ("FROM a:1\nCMD echo USER root\nUSER u", ["a:1"], "u"),
        ("FROM a:1\n# USER u\n", ["a:1"], ""),
        ("FROM a:1 AS one\nUSER u\nFROM c:2 AS two\nUSER v\nFROM one", ["a:1", "c:2"], "u"),
    ],
)
def test_bases_and_user_are_those_that_the_engine_would_take(text, bases, user):
    found = dockerfile.stages(text)
    assert [stage.base for stage in dockerfile.bases(found)] == bases
    assert dockerfile.user_of(found) == user


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "it has no FROM"),
        ("RUN x\nFROM a", "line 1: RUN comes before FROM"),
        ("FROM a b", "line 1: FROM 'a b' is not"),
        ("FROM", "line 1: 'FROM' says nothing"),
        ("FROM a\nRUN x \\", "line 2: its last line is continued"),
        ("FROM a\nRUN <<EOF\nx", "line 2: no line EOF ends it"),
        ("{}", "says nothing"),
    ],
)
def test_a_dockerfile_that_the_engine_refuses_is_refused_with_its_line(text, complaint):
    with pytest.raises(BadDockerfile, match=complaint.replace("(", r"\(")):
        dockerfile.stages(text)


@pytest.mark.parametrize(
    ("base", "pinned"),
    [
        ("python@sha256:" + "a" * 64, True),
        ("python:3.12@sha256:" + "a" * 64, True),
        ("python@sha256:abc", False),
        ("python:3.12.7-slim", True),
        ("nvidia/cuda:12.4.1-runtime-ubuntu22.04", True),
        ("ubuntu:noble-20251013", True),
        ("ubuntu:24.04", False),
        ("python:3.12", False),
        ("python:latest", False),
        ("python", False),
        ("host:5000/python", False),
        ("1.2.3.4:5000/python", False),
        ("1.2.3.4:5000/python:1.2.3", True),
    ],
)
def test_a_base_is_pinned_by_digest_full_version_or_date(base, pinned):
    assert dockerfile.is_pinned(base) is pinned


@pytest.mark.parametrize(
    ("user", "root"),
    [
        ("root", True),
        ("0", True),
        ("0:1000", True),
        ("00", True),
        ('"root"', True),
        ("1000", False),
        ("1000:0", False),
        ("rooter", False),
    ],
)
def test_root_is_root_by_any_name(user, root):
    assert dockerfile.is_root(user) is root


# Scripts as people write them


LOOP = "import time\nfor _ in range(9):\n    t = time.perf_counter()\n"
EVENTS = (
    "warm_up()\nfor a, b in pairs:\n    a.record(); f(); b.record()\n"
    "torch.cuda.synchronize()\ntimes = [a.elapsed_time(b) for a, b in pairs]"
)


@pytest.mark.parametrize(
    ("text", "does"),
    [
        ("from x import Timer\nt = Timer('f()').blocked_autorange()", "warm-up synchronise clock"),
        ("ms = triton.testing.do_bench(lambda: f())", "warm-up synchronise clock"),
        (EVENTS, "warm-up synchronise clock"),
        (f'# warm_up(); synchronize()\n"""{LOOP}"""\nstart = time.perf_counter()', ""),
        (f"swarm()\nfor x in swarms(y):\n    f()\n{LOOP}", "clock"),
        (f"for _ in range(WARMUP):\n    f()\n{LOOP}", "warm-up clock"),
        (f"for warm_up in range(3):\n    f()\n{LOOP}", "warm-up clock"),
        ("def one():\n    return time.monotonic()\n[one() for _ in x]", "clock"),
        (f"jax.block_until_ready(x)\n{LOOP}time.time()", "synchronise"),
    ],
)
def test_a_script_does_what_it_calls_and_not_what_it_mentions(tmp_path, text, does):
    (tmp_path / "time_it.py").write_text(text, encoding="utf-8")
    found = {finding.id for finding in script.check(tmp_path) if finding.state == "met"}
    assert found == set(does.split())


def test_tests_and_environments_are_not_the_script_and_broken_files_do_no_harm(tmp_path):
    for name in ("tests/x.py", ".venv/x.py", "venv/x.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("import time\ntime.perf_counter()\n")
    (tmp_path / "two.py").write_text("print 'python 2'\n")
    (tmp_path / "null.py").write_bytes(b"\0")
    assert script.scripts(tmp_path) == {}
    assert {f.found for f in script.check(tmp_path)} == {"no Python file here reads a clock"}


# What a container printed


def test_what_a_container_prints_is_judged_like_the_kept_result():
    printed = (GOOD / R).read_text(encoding="utf-8")
    assert build.judge(printed, "1000").state == "met"
    assert build.judge(printed, "").found == "the image runs as root"
    assert build.judge(printed, "root").found == "the image runs as root"
    assert "not one JSON object" in build.judge("hello\n" + printed, "1000").found
    assert "printed 'nothing'" in build.judge("", "1000").found
    outside = json.loads(printed) | {"container": {"root_filesystem": "ext4", "uid": 5}}
    assert "ext4" in build.judge(json.dumps(outside), "1000").found


def test_of_a_failed_build_the_line_with_the_error_is_told():
    said = "#5 RUN x\n\x1b[31mERROR: process did not complete\x1b[0m\n------\nDockerfile:3\n"
    assert build.last_error(said) == "ERROR: process did not complete"
    assert build.last_error("") == "it said nothing"


def test_what_a_build_says_cannot_steer_a_terminal():
    assert build.last_error("ERROR: \x1b]0;mine\x07 \x1b[2Jgone\r\n") == "ERROR:  ]0;mine  gone"


def test_the_spread_is_that_of_numpys_percentiles():
    import numpy

    value = json.loads((GOOD / R).read_text(encoding="utf-8"))
    samples = [2.0**n for n in range(12)]
    low, median, high = numpy.percentile(samples, [20, 50, 80])
    value |= {"samples": samples, "n": 12, "median": median, "spread": (high - low) / median}
    assert result.problem(value) == ""
