"""Text from containers is read or refused in one line, whatever it holds."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpubook import injection
from gpubook.errors import BookError
from gpubook.injection import observation
from tests.conftest import ROOT

# Others use this machine, too: an example may take its time.
settings.register_profile("shared", deadline=None)
settings.load_profile("shared")

LEGACY = ROOT / "recordings/h100/captures/legacy"
MOUNTINFO = (LEGACY / "mountinfo").read_text()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [
                    "HostConfig",
                    "Config",
                    "Env",
                    "Devices",
                    "DeviceRequests",
                    "Runtime",
                    "ociVersion",
                    "linux",
                    "devices",
                    "hooks",
                    "process",
                    "env",
                    "mounts",
                    "path",
                    "args",
                    "resources",
                    "major",
                    "prestart",
                ]
            )
            | st.text(max_size=6),
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


@given(st.text())
def test_any_text_as_mountinfo_is_read_or_refused(text):
    refuses_or_reads(injection.parse_mountinfo, text)


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


@given(JSON)
def test_any_json_as_inspect_is_read_or_refused(value):
    refuses_or_reads(observation.parse_inspect, value)


@given(JSON)
def test_any_json_as_an_oci_spec_is_read_or_refused(value):
    refuses_or_reads(observation.parse_oci, value)


@given(
    st.dictionaries(st.sampled_from(["ociVersion", "hooks", "linux", "mounts", "process"]), JSON)
)
def test_an_odd_oci_spec_is_still_classified(value):
    oci = refuses_or_reads(observation.parse_oci, value)
    seen = dataclasses.replace(injection.from_capture(LEGACY), oci=oci)
    injection.decide(seen, injection.classify(seen))


@pytest.mark.parametrize(
    "function",
    [
        observation.parse_devices,
        observation.parse_links,
        observation.parse_env,
        observation.parse_cache,
        observation.parse_ld_conf,
        observation.parse_driver,
    ],
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
    assert mount.super_options == ("rw",)


def test_optional_fields_before_the_dash_are_passed_over():
    line = "36 35 98:0 /mnt1 /mnt2 rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue"
    (mount,) = injection.parse_mountinfo(line)
    assert (mount.target, mount.fstype, mount.source) == ("/mnt2", "ext3", "/dev/root")
    assert mount.as_mount_prints() == "/dev/root on /mnt2 type ext3 (rw,noatime,errors=continue)"


def test_a_capture_without_mountinfo_is_refused(tmp_path):
    with pytest.raises(observation.MalformedInput, match="no mountinfo"):
        injection.from_capture(tmp_path)


def test_a_capture_with_broken_json_is_named(tmp_path):
    (tmp_path / "mountinfo").write_text(MOUNTINFO)
    (tmp_path / "inspect.json").write_text("[{")
    with pytest.raises(BookError, match=r"inspect\.json is not JSON"):
        injection.from_capture(tmp_path)


def test_what_the_user_mounted_is_asked_for_and_not_injected():
    seen = injection.from_capture(LEGACY)
    own = dataclasses.replace(seen.mounts[-1], target="/usr/bin/nvidia-smi", root="/home/me/x")
    request = dataclasses.replace(seen.request, mounts=("/usr/bin/nvidia-smi",))
    others = tuple(m for m in seen.mounts if m.target != own.target)
    changed = dataclasses.replace(seen, mounts=(*others, own), request=request)
    (item,) = [i for i in injection.classify(changed) if i.target == own.target]
    assert item.origin == "asked"


def test_links_in_a_circle_end():
    loop = (observation.Link("/a/libcuda.so", "b"), observation.Link("/a/b", "libcuda.so"))
    seen = observation.Observation(mounts=(), devices=(), env={}, links=loop)
    assert {i.origin for i in injection.classify(seen)} == {"image"}
