"""The questions at the end of the notebooks: each can be answered, and says why."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from gpubook.evidence import selfcheck
from gpubook.evidence.selfcheck import BadQuestions, Option, Question
from tests.conftest import NOTEBOOKS, ROOT

GOOD = """
[[question]]
text = "What is `1 + 1`?"
[[question.option]]
text = "2"
right = true
feedback = "Count on your fingers."
[[question.option]]
text = "3 < 4"
right = false
feedback = "That is true & no answer."
"""


def written(tmp_path, text):
    path = tmp_path / "01-x.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_each_notebook_has_four_to_six_questions_with_three_options_and_more(name):
    questions = selfcheck.load(selfcheck.path_of(ROOT, name))
    assert 4 <= len(questions) <= 6
    for question in questions:
        assert question.text.rstrip("?.").strip()
        assert len(question.options) >= 3
        for option in question.options:
            assert len(option.feedback.split()) >= 4, f"{option.text}: too short to learn from"
            for text in (question.text, option.text, option.feedback):
                assert text.count("`") % 2 == 0, text


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_right_option_is_not_always_at_one_place_or_the_longest(name):
    questions = selfcheck.load(selfcheck.path_of(ROOT, name))
    places = [[option.right for option in q.options].index(True) for q in questions]
    assert len(set(places)) > 1
    longest = [max(q.options, key=lambda option: len(option.text)).right for q in questions]
    assert not all(longest)


def test_there_are_no_questions_without_a_notebook():
    assert {p.stem for p in (ROOT / "book" / "checks").iterdir()} == set(NOTEBOOKS)


def test_a_good_file_is_read(tmp_path):
    assert selfcheck.load(written(tmp_path, GOOD)) == (
        Question(
            "What is `1 + 1`?",
            (
                Option("2", True, "Count on your fingers."),
                Option("3 < 4", False, "That is true & no answer."),
            ),
        ),
    )


OTHER = GOOD.replace("What is", "And what is")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("right = true", "right = false"), "question 1: 0 options are right"),
        (GOOD.replace("right = false", "right = true"), "question 1: 2 options are right"),
        (GOOD.replace('feedback = "Count on your fingers."', ""), "expected the fields text,"),
        (GOOD.replace("Count on your fingers.", ""), "question 1.1: feedback is empty"),
        (GOOD.replace("true\n", '"yes"\n'), "question 1.1: right is empty or of another type"),
        (GOOD.replace("3 < 4", "2"), "question 1: two options are the same"),
        (GOOD.replace("That is true & no answer.", "count on your fingers."), "say the same"),
        (GOOD.split("[[question.option]]\ntext = \"3")[0], "1 options, expected 2 to 5"),
        (GOOD + GOOD, "a question is asked twice"),
        (OTHER + GOOD.replace("right = true", "right = false"), "question 2: 0 options"),
        (GOOD + "points = 3\n", "question 1.2: expected the fields"),
        ("title = 'x'\n" + GOOD, "expected .*question.* entries and nothing else"),
        ("question = 3\n", "expected .*question.* entries"),
        ("", "expected .*question.* entries"),
        ("[[question", "is not valid TOML"),
    ],
)  # fmt: skip
def test_a_file_that_nobody_could_answer_is_one_line_that_says_where(tmp_path, text, complaint):
    with pytest.raises(BadQuestions, match=complaint) as caught:
        selfcheck.load(written(tmp_path, text))
    assert "\n" not in str(caught.value).strip() or "TOML" in str(caught.value)


def test_a_missing_file_is_an_error_and_not_an_empty_check(tmp_path):
    with pytest.raises(BadQuestions, match="no questions in"):
        selfcheck.load(tmp_path / "none.toml")


class _Tags(HTMLParser):
    def __init__(self, markup):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data

    def all(self, tag):
        return [attrs for name, attrs in self.found if name == tag]


def test_each_question_is_a_named_group_and_each_option_has_a_label(tmp_path):
    questions = selfcheck.load(written(tmp_path, GOOD + OTHER))
    tags = _Tags(selfcheck.show(questions, "01").markup)
    assert len(tags.all("fieldset")) == len(tags.all("legend")) == 2
    inputs = tags.all("input")
    assert {i["type"] for i in inputs} == {"radio"}
    assert len({i["name"] for i in inputs}) == 2
    assert [i["id"] for i in inputs] == [label["for"] for label in tags.all("label")]
    assert len({i["id"] for i in inputs}) == 4
    assert not any("checked" in i for i in inputs)
    assert "script" not in [tag for tag, _ in tags.found], "it works by style alone"
    assert not any(key.startswith("on") for _, attrs in tags.found for key in attrs)


def test_text_is_escaped_and_code_is_set_as_code(tmp_path):
    shown = selfcheck.show(selfcheck.load(written(tmp_path, GOOD)), "01")
    assert "<code>1 + 1</code>" in shown.markup
    assert "3 &lt; 4" in shown.markup
    assert "true &amp; no answer" in shown.markup
    assert "3 < 4" in repr(shown)


def test_the_text_form_has_every_option_with_its_verdict(tmp_path):
    lines = repr(selfcheck.show(selfcheck.load(written(tmp_path, GOOD)), "01")).splitlines()
    assert lines == [
        "1. What is `1 + 1`?",
        "   a) 2",
        "      Right. Count on your fingers.",
        "   b) 3 < 4",
        "      No. That is true & no answer.",
    ]
