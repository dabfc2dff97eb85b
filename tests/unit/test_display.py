"""How evidence looks: escaped, accessible, readable in both themes, nothing left out."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest

matplotlib.use("Agg")
from matplotlib import pyplot

from gpubook.evidence import figure, table
from gpubook.evidence.display import transcript, value

ROWS = [{"name": "<b>", "seconds": 1.25}, {"name": True, "seconds": None}]


def test_a_table_escapes_formats_and_names_its_columns():
    shown = table(ROWS, {"name": "Name", "seconds": ("Time (s)", ".1f")}, caption="T & C")
    root = ET.fromstring(shown._repr_html_())
    assert [th.text for th in root.iter("th")] == ["Name", "Time (s)"]
    assert all(th.get("scope") == "col" for th in root.iter("th"))
    assert [td.text for td in root.iter("td")] == ["<b>", "1.2", "yes", "–"]
    assert root.find("table/caption").text == "T & C"
    assert root.get("tabindex") == "0"  # a keyboard can scroll it
    assert repr(shown).splitlines()[0] == "T & C"


def test_what_is_not_known_shows_as_a_dash():
    assert repr(table([{"a": None, "b": "", "c": 0}])).splitlines()[-1].split() == ["–", "–", "0"]


def test_an_empty_table_is_a_table():
    ET.fromstring(table([], {"a": "A"})._repr_html_())


@pytest.fixture
def drawing():
    fig, axes = pyplot.subplots()
    axes.plot([1, 2], label="line")
    axes.set_xlabel("x (s)")
    axes.legend()
    return fig


def test_a_figure_is_one_svg_with_a_name_and_no_black_or_white(drawing):
    markup = figure(drawing, alt='a "line"', caption="C")._repr_html_()
    root = ET.fromstring(markup.replace("xlink:", ""))
    svg = next(root.iter("{http://www.w3.org/2000/svg}svg"))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == 'a "line"'
    assert not re.search(r"#000000|fill: black", markup)
    assert "<?xml" not in markup
    assert "x (s)" in markup  # text stays text


def test_two_figures_on_a_page_share_no_id():
    markups = []
    for _ in range(2):
        fig, axes = pyplot.subplots()
        axes.plot([1, 2])
        markups.append(figure(fig, alt="a")._repr_html_())
    ids = [set(re.findall(r'\bid="([^"]+)"', m)) for m in markups]
    assert ids[0]
    assert not ids[0] & ids[1]
    for own, markup in zip(ids, markups, strict=True):
        used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', markup))
        assert used <= own


def test_a_figure_without_alternative_text_is_refused(drawing):
    with pytest.raises(ValueError, match="alternative text"):
        figure(drawing, alt=" ")


def test_a_transcript_shows_command_output_and_exit_code_and_folds_without_losing():
    steps = [{"command": "cat <x>", "stdout": "a\nb\nc\n", "exit_code": 3, "seconds": 0.1}]
    shown = transcript(steps, head=1)
    root = ET.fromstring(shown._repr_html_())
    text = "".join(root.itertext())
    for part in ("cat <x>", "a", "b\nc", "2 more lines", "[exit code 3]"):
        assert part in text
    assert repr(shown) == "$ cat <x>\na\nb\nc\n[exit code 3]"


def test_an_exit_code_is_escaped():
    step = {"command": "x", "stdout": "", "exit_code": "<script>alert(1)</script>"}
    assert "<script>" not in transcript([step])._repr_html_()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        ([{"name": "a", "time_s": 0.123456}], ["Name  Time s", "----  ------", "a     0.1235"]),
        ({"pid": 12, "own": True}, ["What  Value", "----  -----", "Pid   12", "Own   yes"]),
        ("a\nb\n", ["a", "b"]),
        ([1, 2.5, "x"], ["1", "2.5", "x"]),
        (3, ["3"]),
        ({"a": [1]}, ["{", '  "a": [', "    1", "  ]", "}"]),
    ],
)
def test_plain_data_is_shown_in_the_form_that_suits_it(data, lines):
    assert repr(value(data)).splitlines() == lines


def test_long_text_folds_and_nothing_is_lost():
    shown = value("\n".join("abcd"), head=1)
    assert "".join(ET.fromstring(shown._repr_html_()).itertext()) == "a3 more linesb\nc\nd"
