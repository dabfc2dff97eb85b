"""Machine tabs: every recording of an evidence beside this run, each under its own chip."""

import re

import pytest

from gpubook.evidence import Evidence, Page, load_recording, table
from gpubook.evidence.tabs import machines, short_gpu

H100 = "NVIDIA H100 80GB HBM3"


def _draw(data):
    return table([data], caption=f"drawn for {data['value']}")


@pytest.fixture
def page(recorded):
    recorded("speed", {"value": "h100"}, "h100", H100, "2026-11-23T10:00:00Z")
    date = "2023-12-29T00:00:00Z"
    recorded("speed", {"value": "a4000-2023"}, "a4000-2023", "NVIDIA RTX A4000", date)
    return Page("01-x")


@pytest.fixture
def pane(recorded):
    """A function to a pane of a machine's recording."""

    def make(name, gpu=None):
        path = recorded("speed", {}, name, gpu, "2026-11-23T10:00:00Z")
        return Evidence(load_recording(path), live=False), table([])

    return make


def panes_of(markup):
    return re.findall(r'<div class="gb-pane".*?data-machine="([^"]+)" aria-label="([^"]+)"', markup)


def test_a_live_result_has_a_tab_and_so_has_each_recording_with_its_own_chip(page):
    assert page.ledger.measure("speed", lambda: {"value": "this-machine"}).live
    group = page.machines("speed", _draw)
    markup = group._repr_html_()
    assert panes_of(markup) == [
        ("this-run", "This run, live"),
        ("h100", "H100, recorded 2026"),
        ("a4000-2023", "RTX A4000, recorded 2023"),
    ]
    bodies = markup.split('<div class="gb-pane"')[1:]
    assert [body.count('class="gb-evidence gb-live"') for body in bodies] == [1, 0, 0]
    assert [body.count('class="gb-evidence gb-recorded"') for body in bodies] == [0, 1, 1]
    for body, machine in zip(bodies, ("this-machine", "h100", "a4000-2023"), strict=True):
        assert f"drawn for {machine}" in body
    assert markup.count(" checked>") == 1
    assert repr(group).index("== This run (live)") < repr(group).index("== H100 (recorded 2026)")


def test_a_replay_is_the_first_tab_and_no_machine_comes_twice(page, can):
    can()
    assert not page.ledger.measure("speed", pytest.fail, needs="gpu").live
    markup = page.machines("speed", _draw)._repr_html_()
    assert [key for key, _ in panes_of(markup)] == ["h100", "a4000-2023"]
    assert "live" not in re.sub(r"gb-\w+", "", markup)
    assert markup.count("not measured here: set by the test") == 1


def test_one_machine_alone_has_no_tabs_and_what_does_not_belong_is_left_out(page):
    page.ledger.measure("other", lambda: 1)
    alone = page.machines("other", lambda data: [{"v": data}])._repr_html_()
    assert "gb-machines" not in alone
    assert 'class="gb-evidence gb-live"' in alone
    page.ledger.measure("speed", lambda: {"value": "h100"})
    some = page.machines("speed", _draw, others=lambda data: data["value"] == "h100")
    assert [key for key, _ in panes_of(some._repr_html_())] == ["this-run", "h100"]
    plain = page.machines("speed", lambda data: [{"second": data["value"]}])
    assert len(panes_of(plain._repr_html_())) == 3
    assert "Second" in plain._repr_html_(), "rows are shown as a table"


def test_equal_gpus_are_told_apart_by_the_machines_names(pane):
    panes = [pane(name, "NVIDIA H100 PCIe") for name in ("first", "second")]
    assert panes_of(machines(panes)._repr_html_()) == [
        ("first", "H100 (first), recorded 2026"),
        ("second", "H100 (second), recorded 2026"),
    ]


def test_names_are_escaped_and_every_group_is_a_group_of_its_own(pane):
    markups = [machines([pane("a", "<b>"), pane("b")])._repr_html_() for _ in range(2)]
    assert "<b>" not in markups[0].replace('<p class="gb-pane-title">', "")
    names = [set(re.findall(r' name="([^"]+)"', markup)) for markup in markups]
    assert [len(group) for group in names] == [1, 1]
    assert names[0] != names[1]


def test_no_panes_and_two_of_one_machine_are_refused(pane):
    for panes in ([], [pane("a"), pane("a")]):
        with pytest.raises(ValueError, match="panes"):
            machines(panes)


@pytest.mark.parametrize(
    ("full", "short"),
    [
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("NVIDIA H200", "H200"),
        ("NVIDIA RTX A4000", "RTX A4000"),
        ("NVIDIA A100-SXM4-80GB", "A100-SXM4-80GB"),
        ("Tesla T4", "T4"),
        ("NVIDIA H100 PCIe", "H100"),
    ],
)
def test_a_gpu_is_called_as_people_call_it(full, short):
    assert short_gpu(full) == short
