"""What the doctor knows, and that it knows it in any form: the rules, their examples, mutations."""

import json
import re
import textwrap
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpubook.doctor import diagnose, load
from gpubook.doctor.plain import plain, squeeze
from gpubook.doctor.prefilter import Prefilter
from gpubook.doctor.rules import RuleError, parse
from tests.conftest import ROOT

RULES = load()
EXAMPLES = [
    pytest.param(rule.id, text, id=f"{rule.id}-{n}")
    for rule in RULES
    for n, text in enumerate(rule.examples, 1)
]
HEALTHY = sorted((ROOT / "tests/fixtures/doctor/healthy").glob("*.log"))
ERRORS = ROOT / "recordings/h100/captures/errors"


def ids(text):
    return [problem.rule.id for problem in diagnose(text).problems]


def causes(text):
    """Without the problems that follow from another one."""
    return [problem.rule.id for problem in diagnose(text).problems if not problem.explained_by]


@pytest.mark.parametrize(("rule", "text"), EXAMPLES)
def test_an_example_is_diagnosed_by_its_own_rule_and_no_other(rule, text):
    assert causes(text) == [rule]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_each_symptom_alone_gives_its_rule_away(rule):
    for symptom in rule.symptoms:
        assert causes(symptom.text.replace(" ... ", " something ")) == [rule.id], symptom.text


def test_no_rule_explains_itself_by_way_of_others():
    explains = {rule.id: set(rule.explains) for rule in RULES}
    for rule in explains:
        reached, new = set(), set(explains[rule])
        while new:
            reached |= new
            new = set().union(*(explains[other] for other in new)) - reached
        assert rule not in reached


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (
            "socket-denied",
            "PermissionError: [Errno 13] Permission denied\n"
            "docker.errors.DockerException: Error while fetching server API version: "
            "('Connection aborted.', PermissionError(13, 'Permission denied'))",
        ),
        (
            "nvml-lost",
            "$ nvidia-smi\nFailed to initialize NVML: Unknown Error\n"
            "UserWarning: CUDA initialization: CUDA unknown error - this may be due to an "
            "incorrectly set up environment",
        ),
        (
            "cdi-too-new",
            "Error: setting up CDI devices: unresolvable CDI devices nvidia.com/gpu=all\n"
            'json: unknown field "additionalGids"',
        ),
        (
            "package-key",
            "NO_PUBKEY DDCAE044F796ECB0\nE: Unable to locate package nvidia-container-toolkit\n"
            'could not select device driver "" with capabilities: [[gpu]]',
        ),
        (
            "open-module",
            "NVRM: installed in this system requires use of the NVIDIA open kernel modules.\n"
            "nvidia-smi\nNo devices were found",
        ),
        (
            "driver-mismatch",
            "Failed to initialize NVML: Driver/library version mismatch\n"
            "failed to generate CDI spec: failed to create device CDI specs\n"
            "failed to discover GPU vendor from CDI: no known GPU vendor found",
        ),
    ],
)
def test_the_cause_that_explains_the_others_comes_first(cause, text):
    assert causes(text) == [cause]
    assert ids(text)[0] == cause
    assert len(ids(text)) > 1


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        (13, "xid-program"), (31, "xid-program"), (43, "xid-program"), (48, "xid-memory"),
        (63, "xid-memory"), (64, "xid-memory"), (94, "xid-memory"), (95, "xid-memory"),
        (45, ""),  # only cleans up
        (62, "gpu-lost"), (74, "gpu-lost"), (79, "gpu-lost"), (119, "xid-gsp"), (120, "xid-gsp"),
    ],
)  # fmt: skip
def test_an_xid_is_read_by_its_number(number, rule):
    line = f"NVRM: Xid (PCI:0000:65:00): {number}, pid=4411, name=python, Ch 00000008"
    assert ids(line) == [rule] * bool(rule)


def test_every_rule_has_two_messages_as_they_were_printed():
    assert [rule.id for rule in RULES if len(set(rule.examples)) < 2] == []


def test_every_rule_is_attested_by_two_threads_of_people_who_met_it():
    threads = re.compile(r"/(issues|pull|discussions|questions|t|bugs?)/|\+bug/|//forums?\.")
    few = {
        rule.id: rule.sources
        for rule in RULES
        if len({source for source in rule.sources if threads.search(source)}) < 2
    }
    assert few == {}


DELETES = re.compile(r"(?<![-\w])(rm|purge|prune|remove)\b")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_tells_what_to_type_where_it_is_from_and_what_is_deleted(rule):
    assert rule.sources
    assert rule.title[0].isupper() or rule.title[0] == "`"
    assert all(text.strip().endswith((".", ")")) for text in (rule.cause, rule.matters))
    for fix in rule.fix:
        assert all(line.strip() == line for line in fix.run)
        if any(DELETES.search(line) for line in fix.run):
            assert re.search("delete|remove", fix.note), fix.run


def test_every_row_of_the_table_of_frequent_problems_has_its_rule():
    rows = {
        'could not select device driver "" with capabilities: [[gpu]]': "no-toolkit",
        'could not select device driver "nvidia" with capabilities: [[gpu]]': "no-toolkit",
        'could not select device driver "cdi" with capabilities: []': "cdi-off",
        "unresolvable CDI devices nvidia.com/gpu=0": "cdi-unresolvable",
        "unknown or invalid runtime name: nvidia": "runtime-unknown",
        "Failed to initialize NVML: Unknown Error": "nvml-lost",
        "libnvidia-ml.so.1: cannot open shared object file": "driver-library-missing",
        "load library failed: libnvidia-ml.so.1": "driver-library-missing",
        "Driver/library version mismatch": "driver-mismatch",
        "unsatisfied condition: cuda>=12.4": "cuda-newer-than-driver",
        "nvidia-container-cli: requirement error: unsatisfied condition: cuda>=12.4": (
            "cuda-newer-than-driver"
        ),
        "CUDA driver version is insufficient for CUDA runtime version": "driver-too-old",
        "no kernel image is available for execution on the device": "no-kernel-image",
        'exec: "nvidia-smi": executable file not found in $PATH': "no-gpu-asked",
        "unsupported capabilities found in 'compute,all'": "capabilities-mixed",
        "DataLoader worker (pid 4) is killed by signal: Bus error.": "shm",
        "might be caused by insufficient shared memory (shm).": "shm",
        "rm: cannot remove 'model.bin': Permission denied": "owner",
        "write /x: no space left on device": "disk-full",
        "accept4: too many open files": "nofile",
        "dial unix /var/run/docker.sock: connect: permission denied": "socket-denied",
        "Cannot connect to the Docker daemon at tcp://10.0.0.2:2375.": "no-engine",
        "Failed to initialize NVML: Insufficient Permissions": "nvml-permissions",
    }
    for text, rule in rows.items():
        assert ids(text) == [rule], text


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        ("bad-device", "gpu-not-there"),
        ("too-many-gpus", "gpu-not-there"),
        ("no-daemon", "no-engine"),
        ("no-gpus-flag", "no-gpu-asked"),
        ("no-image", "registry-unreachable"),
        ("unknown-runtime", "runtime-unknown"),
        ("unresolvable-cdi", "cdi-unresolvable"),
    ],
)
def test_errors_recorded_on_a_gpu_host_are_diagnosed(file, rule):
    assert ids((ERRORS / f"{file}.txt").read_text(encoding="utf-8")) == [rule]


@pytest.mark.parametrize("path", HEALTHY, ids=lambda path: path.stem)
def test_a_healthy_log_has_no_diagnosis(path):
    assert ids(path.read_bytes()) == []


def test_forty_healthy_logs_together_have_no_diagnosis():
    assert len(HEALTHY) >= 40
    assert ids(b"".join(path.read_bytes() for path in HEALTHY)) == []


# ------------------------------------------------------------------------------- mutations


def _upper(text, pick):
    return text.upper() if pick % 2 else text.lower()


def _stamped(text, pick):
    stamp = [
        "2026-11-23T10:46:39.123Z ",
        "Nov 23 10:46:39 seat07 dockerd[41140]: ",
        "trainer-1  | ",
        "[ 1748.999277] ",
    ][pick % 4]
    return "\n".join(stamp + line for line in text.split("\n"))


def _coloured(text, pick):
    words = text.split(" ")
    at = pick % len(words)
    words[at] = f"\x1b[1;31m{words[at]}\x1b[0m"
    return "\x1b[33m" + " ".join(words) + "\x1b[m"


def _wrapped(text, pick):
    return "\n".join(textwrap.wrap(text, 30 + pick % 60, break_on_hyphens=False))


def _cut(text, pick):
    """As a terminal of that width shows it: in the middle of words."""
    width = 20 + pick % 90
    return "\r\n".join(text[i : i + width] for i in range(0, len(text), width))


def _json(text, pick):
    return json.dumps({"log": text + "\n", "stream": "stderr", "time": "2026-11-23T10:46:39Z"})


def _logfmt(text, pick):
    return f'time="2026-11-23T10:46:39Z" level=error msg={json.dumps(text)} module=api'


def _typographic(text, pick):
    return re.sub(r'"([^"]*)"', "“\\1”", text).replace("'", "’")


def _markdown(text, pick):
    return "\n".join("> " + line for line in text.split("\n"))


def _noisy(text, pick):
    lines = [line for path in HEALTHY for line in path.read_text(encoding="utf-8").split("\n")]
    before = lines[pick % 100 : pick % 100 + 20]
    return "\n".join([*before, text, *lines[pick % 70 : pick % 70 + 20]])


def _utf16(text, pick):
    return text.encode("utf-16")


MUTATIONS = [
    _upper, _stamped, _coloured, _wrapped, _cut, _json, _logfmt, _typographic, _markdown, _noisy,
]  # fmt: skip


@pytest.mark.parametrize("mutation", [*MUTATIONS, _utf16], ids=lambda m: m.__name__[1:])
def test_each_example_is_diagnosed_in_this_form_too(mutation):
    for n, parameter in enumerate(EXAMPLES):
        rule, text = parameter.values
        assert ids(mutation(text, n))[:1] == [rule], mutation(text, n)


@pytest.mark.parametrize("form", [_wrapped, _cut, _coloured], ids=lambda m: m.__name__[1:])
def test_each_example_is_diagnosed_in_this_form_within_json(form):
    for n, parameter in enumerate(EXAMPLES):
        rule, text = parameter.values
        once = _json(form(text, n), n)
        assert ids(once)[:1] == [rule], once
        assert ids(_json(once, n))[:1] == [rule], "JSON in JSON"


@pytest.mark.parametrize("width", [7, 33, 80])
def test_a_raw_log_folded_in_the_middle_of_its_escapes_is_diagnosed(width):
    for n, parameter in enumerate(EXAMPLES):
        rule, text = parameter.values
        raw = _json(_coloured(text, n), n)
        folded = "\n".join(raw[i : i + width] for i in range(0, len(raw), width))
        assert ids(folded)[:1] == [rule], folded


def test_an_escaped_character_other_than_ascii_does_not_hide_the_cause():
    text = "CUDA\u00a0driver version is \u201cinsufficient\u201d for CUDA runtime version"
    assert ids(json.dumps(text)) == ["driver-too-old"]


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    example=st.sampled_from([parameter.values for parameter in EXAMPLES]),
    steps=st.lists(st.tuples(st.sampled_from(MUTATIONS), st.integers(0, 999)), max_size=3),
)
def test_mutations_on_top_of_one_another_do_not_hide_the_cause(example, steps):
    rule, text = example
    kinds = [step for step, _ in steps]
    # A stamp put into the middle of an already cut message is text that nobody wrote.
    for step, pick in sorted(steps, key=lambda s: s[0] in (_wrapped, _cut)):
        if step in (_stamped, _markdown, _noisy) and kinds.count(step) > 1:
            continue
        text = step(text, pick)
    assert ids(text)[:1] == [rule]


# ------------------------------------------------------------------------------- no blow-up


def test_patterns_have_no_repeat_but_bounded_gaps():
    for rule in RULES:
        for symptom in rule.symptoms:
            source = symptom.pattern.pattern
            rest = source.replace(b"[^\\x00]{0,160}?", b"")
            assert not re.search(rb"(?<!\\)[*+?{(|]", rest), source


ROWS = st.sampled_from([p for rule in RULES for s in rule.symptoms for p in s.parts])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    piece=st.one_of(
        ROWS,
        st.binary(min_size=1, max_size=6),
        st.sampled_from([b"\\", b"\x1b[", b"\x1b[1;", b"\x1b]8;;", b"\\u001b[", b'"', b"\n", b" "]),
    ),
    other=st.one_of(ROWS, st.binary(max_size=4)),
)
def test_no_text_takes_more_time_than_its_length_explains(piece, other):
    """Eight times the text takes some eight times as long (a margin for a busy machine)."""

    def seconds(times):
        text = (piece * 7 + other) * times
        start = time.process_time()
        diagnose(text)
        return time.process_time() - start

    small = 20_000 // (7 * len(piece) + len(other)) + 1
    one = min(seconds(small) for _ in range(3))
    eight = min(seconds(small * 8) for _ in range(2))
    assert eight < 30 * one + 0.05


@given(st.binary(max_size=3000))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_read_without_an_error(data):
    diagnose(data)


@given(st.text(max_size=400))
@settings(max_examples=100, deadline=None)
def test_squeezing_lines_one_by_one_is_squeezing_them_together(text):
    data = text.encode("utf-8", "replace").replace(b"\x1b]", b"")
    parts = b"".join(squeeze(plain(line)) for line in data.split(b"\n"))
    assert parts == squeeze(plain(data))


@given(st.binary(max_size=200), st.integers(0, 30))
@settings(max_examples=60, deadline=None)
def test_the_prefilter_finds_exactly_what_is_there(noise, shift):
    anchors = {s.anchor for rule in RULES for s in rule.symptoms}
    some = sorted(anchors)[shift % len(anchors)]
    block = noise + b"x" * shift + some + noise
    assert Prefilter(anchors).present(block) == {a for a in anchors if a in block}


# ------------------------------------------------------------------------------- the file


GOOD = """
[[rule]]
id = "one"
title = "One"
symptoms = ["this is a symptom"]
cause = "It."
matters = "It does."
versions = "all"
fix = [{ run = ["true"] }]
sources = ["https://example.com/1"]
examples = ["this is a symptom"]
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cause = ", "because = ", "rule one: it must contain ['cause']"),
        ("cause = ", 'because = "x"\ncause = ', "rule one: it must not contain {'because'}"),
        ('title = "One"', 'title = ""', "title must match"),
        ('id = "one"', 'id = "One!"', "rule One!: id must match"),
        ("this is a symptom", "short", "too short"),
        ("https://example.com/1", "http://example.com/1", "sources[0] must match"),
        ('run = ["true"]', 'note = "x"', "fix[0] must contain ['run']"),
        ('run = ["true"]', 'run = ["true"], when = "docker>5"', "when must match"),
        ('versions = "all"', 'versions = "all"\nexplains = ["two"]', "explains 'two'"),
        ("[[rule]]", "[[rule]", "not TOML"),
    ],
)
def test_a_wrong_entry_is_named(old, new, said):
    parse(GOOD)
    with pytest.raises(RuleError, match=re.escape(said)):
        parse(GOOD.replace(old, new))


def test_two_entries_of_one_id_are_refused():
    with pytest.raises(RuleError, match="two of this id"):
        parse(GOOD + GOOD)


def test_a_new_entry_is_all_that_a_new_rule_needs():
    rules = parse(GOOD)
    found = diagnose("12:00 THIS is a\n  symptom!", rules).problems
    assert [problem.rule.id for problem in found] == ["one"]
