"""Text from containers is read or refused in one line, whatever it holds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook import injection
from gpubook.errors import BookError
from gpubook.injection import observation
from tests.captured import CAPTURES
from tests.captured import observation as captured

# Others use this machine, too: an example may take its time.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

MOUNTINFO = (CAPTURES / "legacy/mountinfo").read_text()
KEYS = (
    "HostConfig", "Config", "Env", "Devices", "DeviceRequests", "Runtime", "ociVersion", "linux",
    "devices", "hooks", "process", "env", "mounts", "path", "args", "resources", "major",
    "prestart",
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(KEYS) | st.text(max_size=6),
            inner,
            max_size=6,
        )
    ),
    max_leaves=25,
)


def refuses_or_reads(function, value):
    """Anything but a BookError is a failure of ours."""
    try:
        return function(value)
    except BookError as problem:
        assert str(problem)
        assert "\n" not in str(problem)
        return None


@settings(max_examples=200)
@given(st.integers(0, len(MOUNTINFO) - 1), st.characters(codec="utf-8"))
def test_a_damaged_mountinfo_is_read_or_refused_and_still_classified(place, letter):
    damaged = MOUNTINFO[:place] + letter + MOUNTINFO[place + 1 :]
    mounts = refuses_or_reads(injection.parse_mountinfo, damaged)
    if mounts is not None:
        seen = observation.Observation(mounts=mounts, devices=(), env={})
        items = injection.classify(seen)
        assert len([i for i in items if i.kind == "mount"]) == len(mounts), "nothing is dropped"
        injection.decide(seen, items)


@given(st.integers(1, len(MOUNTINFO) - 1))
def test_a_mountinfo_that_is_cut_short_keeps_its_whole_lines(end):
    mounts = refuses_or_reads(injection.parse_mountinfo, MOUNTINFO[:end])
    whole = MOUNTINFO[:end].count("\n")
    assert mounts is None or len(mounts) in (whole, whole + 1)


@pytest.mark.parametrize("function", [observation.parse_inspect, observation.parse_oci])
@given(value=JSON)
def test_any_json_is_read_or_refused(function, value):
    refuses_or_reads(function, value)


@given(
    st.dictionaries(st.sampled_from(["ociVersion", "hooks", "linux", "mounts", "process"]), JSON)
)
def test_an_odd_oci_spec_is_still_classified(value):
    oci = refuses_or_reads(observation.parse_oci, value)
    seen = replace(captured("legacy"), oci=oci)
    injection.decide(seen, injection.classify(seen))


@pytest.mark.parametrize(
    "function", [observation.parse_mountinfo, observation.parse_devices, observation.parse_env]
)
@given(text=st.text())
def test_any_text_as_a_listing_is_read_or_refused(function, text):
    refuses_or_reads(function, text)


def test_a_refusal_names_the_line():
    with pytest.raises(observation.MalformedInput, match="mountinfo, line 2: cannot read"):
        injection.parse_mountinfo(MOUNTINFO.split("\n")[0] + "\n57 42 no mount\n")


def test_blanks_in_a_path_are_written_in_octal():
    line = r"1 2 0:1 / /mnt/my\040files rw - ext4 /dev/sda rw"
    (mount,) = injection.parse_mountinfo(line)
    assert mount.target == "/mnt/my files"


def test_optional_fields_before_the_dash_are_passed_over():
    line = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue"
    (mount,) = injection.parse_mountinfo(line)
    assert (mount.target, mount.fstype, mount.source) == ("/mnt2", "ext3", "/dev/root")
    assert mount.options == ("rw", "noatime")


def test_a_container_without_mountinfo_is_refused():
    with pytest.raises(observation.MalformedInput, match="no mountinfo"):
        injection.observe("\n", "", "")


def test_what_the_user_mounted_is_asked_for_and_not_injected():
    seen = captured("legacy")
    own = replace(seen.mounts[-1], target="/usr/bin/nvidia-smi", root="/home/me/x")
    request = replace(seen.request, mounts=("/usr/bin/nvidia-smi",))
    others = tuple(m for m in seen.mounts if m.target != own.target)
    changed = replace(seen, mounts=(*others, own), request=request)
    (item,) = [i for i in injection.classify(changed) if i.target == own.target]
    assert item.origin == "asked"
