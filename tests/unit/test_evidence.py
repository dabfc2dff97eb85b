"""Evidence: one schema, a checksum that shows edits, live only when live, recorded and said so."""

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpubook.errors import BookError, MissingCapability, UsageError
from gpubook.evidence import EvidenceError, Page, load_recording, new_record, recordings_of
from gpubook.evidence import records as records_module
from tests.conftest import ROOT

NOTEBOOK = "01-x"


def test_every_recording_of_the_book_follows_the_schema_and_is_unedited():
    paths = sorted(ROOT.glob("recordings/*/[0-9][0-9]-*/*.json"))
    assert paths
    for path in paths:
        load_recording(path)


def test_an_edited_digit_in_a_recording_is_an_error(recorded):
    path = recorded(data={"seconds": 3.25})
    path.write_text(path.read_text().replace("3.25", "3.26"))
    with pytest.raises(EvidenceError, match="checksum does not hold"):
        load_recording(path)


def test_a_recording_in_anothers_place_is_an_error(root, recorded):
    path = recorded()
    other = root / "recordings" / "h200" / NOTEBOOK / path.name
    other.parent.mkdir(parents=True)
    other.write_bytes(path.read_bytes())
    with pytest.raises(EvidenceError, match="lies in the wrong place"):
        load_recording(other)


@pytest.mark.parametrize(
    "break_it",
    [
        lambda r: r.pop("provenance"),
        lambda r: r["provenance"].pop("stub"),
        lambda r: r["provenance"].update(date="yesterday"),
        lambda r: r.update(needs=["tpu"]),
        lambda r: r.update(name="Not A Name"),
        lambda r: r.update(extra=1),
        lambda r: r["provenance"]["machine"].update(cores="two"),
    ],
)
def test_what_does_not_follow_the_schema_is_an_error_even_with_a_right_checksum(break_it):
    record = new_record(NOTEBOOK, "thing", {"x": 1})
    break_it(record)
    record["sha256"] = records_module.checksum(record)
    with pytest.raises(EvidenceError):
        records_module.validate(record, "it")


@pytest.mark.parametrize("bad", [math.nan, math.inf, {1, 2}, b"bytes", object()])
def test_data_that_is_not_plain_json_is_refused(bad):
    with pytest.raises(EvidenceError, match="not plain JSON"):
        new_record(NOTEBOOK, "thing", {"x": bad})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_any_json_survives_a_record_and_a_file(value):
    record = new_record(NOTEBOOK, "thing", value, provenance=records_module.here())
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return
    again = records_module.validate(json.loads(text), "it")
    assert again["data"] == json.loads(json.dumps(value))


def test_what_can_be_measured_is_measured_even_where_a_recording_lies(root, can, recorded):
    recorded(data={"x": "recorded"})
    can("docker")
    page = Page(NOTEBOOK)
    evidence = page.ledger.measure("thing", lambda: {"x": "now"}, needs="docker")
    assert evidence.live
    assert evidence.data == {"x": "now"}
    assert evidence.machine == "this-machine"
    assert repr(page.chip("thing")).startswith("[LIVE] thing · this machine · ")


def test_what_cannot_be_measured_is_replayed_with_the_reason(root, can, recorded):
    recorded(data={"x": "recorded"})
    can()
    page = Page(NOTEBOOK)
    evidence = page.ledger.measure("thing", pytest.fail, needs="docker")
    assert not evidence.live
    assert evidence.data == {"x": "recorded"}
    assert evidence.why == "set by the test"
    chip = repr(page.chip("thing"))
    assert chip.startswith("[RECORDED] thing · h100 · ")
    assert "not measured here: set by the test" in chip
    markup = page.chip("thing")._repr_html_()
    summary = re.search(r"<summary>(.*)</summary>", markup)[1]
    assert len(re.sub(r"<[^>]+>", " ", summary).split()) <= 25, "one line, and the rest folds"
    assert "set by the test" in markup.replace(summary, "")


def test_what_is_missing_here_is_said_once_when_the_page_opens(root, can, capsys):
    can("docker")
    Page(NOTEBOOK)
    line = capsys.readouterr().out.splitlines()[0]
    assert line.endswith("no GPU, no NVIDIA Container Toolkit: what needs them is shown from "
                         "recordings")  # fmt: skip


def test_keys_keep_their_order_so_that_columns_do():
    record = new_record(NOTEBOOK, "thing", [{"b": 1, "a": 2}])
    assert list(record["data"][0]) == ["b", "a"]


def test_a_required_capability_is_never_replayed(root, can, monkeypatch, recorded):
    recorded()
    can("docker")
    page = Page(NOTEBOOK, require="docker")
    can()  # the engine went away meanwhile
    with pytest.raises(MissingCapability, match="docker: set by the test"):
        page.ledger.measure("thing", dict, needs="docker")
    with pytest.raises(MissingCapability):
        Page(NOTEBOOK, require="docker")
    monkeypatch.setenv("REQUIRE", "gpu")
    with pytest.raises(MissingCapability, match="gpu"):
        Page(NOTEBOOK)


def test_nothing_to_replay_is_an_error(root, can):
    can()
    with pytest.raises(EvidenceError, match="has no recording"):
        Page(NOTEBOOK).ledger.measure("thing", dict, needs="docker")


def test_the_preferred_machine_is_replayed_first(root, can, monkeypatch, recorded):
    for name in ("a-box", "h100", "h200"):
        recorded(machine_name=name, data={"x": name})
    can()
    order = [r["provenance"]["machine"]["name"] for r in recordings_of(root, NOTEBOOK, "thing")]
    assert order == ["h100", "a-box", "h200"]
    assert Page(NOTEBOOK).ledger.measure("thing", dict, needs="docker").machine == "h100"
    monkeypatch.setenv("GPUBOOK_RECORDING", "a-box")
    assert Page(NOTEBOOK).ledger.measure("thing", dict, needs="docker").machine == "a-box"


def test_unknown_capabilities_are_misuse(root):
    with pytest.raises(UsageError, match="unknown capability tpu"):
        Page(NOTEBOOK, require="tpu")


def test_what_another_notebook_made_is_asked_for_politely(root, can):
    can()
    with pytest.raises(BookError, match=r"run notebooks/05-other\.ipynb first"):
        Page(NOTEBOOK).artifacts_of("05-other")


def test_writing_fails_whole(root, monkeypatch, recorded):
    path = recorded()
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        recorded(data={"x": 2})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
