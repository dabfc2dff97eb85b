"""What pages ask their readers: each question can be answered, and says why."""

from html.parser import HTMLParser

import pytest

from gpubook.evidence import checks
from gpubook.evidence.checks import BadQuestions, Guess, Option, Question
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
    questions = checks.load(checks.path_of(ROOT, name)).questions
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
    questions = checks.load(checks.path_of(ROOT, name)).questions
    places = [[option.right for option in q.options].index(True) for q in questions]
    assert len(set(places)) > 1
    longest = [max(q.options, key=lambda option: len(option.text)).right for q in questions]
    assert not all(longest)


def test_there_are_no_questions_without_a_notebook():
    assert {p.stem for p in (ROOT / "book" / "checks").iterdir()} == set(NOTEBOOKS)


def test_a_good_file_is_read(tmp_path):
    assert checks.load(written(tmp_path, GOOD)).questions == (
        Question(
            "What is `1 + 1`?",
            (
                Option("2", True, "Count on your fingers."),
                Option("3 < 4", False, "That is true & no answer."),
            ),
        ),
    )


GUESS = """
[guess.speed]
text = "How many times?"
unit = "times"
"""
WHY = """
[[solution]]
exercise = 1
why = "Because `1`."
"""
OTHER = GOOD.replace("What is", "And what is")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("right = true", "right = false"), "question 1: 0 options are right"),
        (GOOD.replace("right = false", "right = true"), "question 1: 2 options are right"),
        (GOOD.replace('feedback = "Count on your fingers."', ""), "option 1 must contain"),
        (GOOD.replace("Count on your fingers.", ""), "question 1.option 1.feedback must match"),
        (GOOD.replace("true\n", '"yes"\n'), "question 1.option 1.right must be bool"),
        (GOOD.replace("3 < 4", "2"), "question 1: two options are the same"),
        (GOOD.replace("That is true & no answer.", "count on your fingers."), "say the same"),
        (GOOD.split("[[question.option]]\ntext = \"3")[0], "option must contain at least 2"),
        (GOOD + GOOD, "a question is asked twice"),
        (OTHER + GOOD.replace("right = true", "right = false"), "question 2: 0 options"),
        (GOOD + "points = 3\n", "option 2 must not contain {'points'}"),
        ("title = 'x'\n" + GOOD, "must not contain {'title'}"),
        ("question = 3\n", "question must be array"),
        ("", "must contain .'question'."),
        ("[[question", "is not TOML"),
        (GOOD + GUESS.replace('unit = "times"', ""), "guess.speed must contain at least 2"),
        (GOOD + GUESS.replace('unit = "times"', 'options = ["a"]'), "options must contain at"),
        (GOOD + WHY + WHY, "two solutions of one exercise"),
        (GOOD + WHY.replace("1", "'1'"), "solution 1.exercise must be integer"),
    ],
)  # fmt: skip
def test_a_file_that_nobody_could_answer_is_one_line_that_says_where(tmp_path, text, complaint):
    with pytest.raises(BadQuestions, match=complaint) as caught:
        checks.load(written(tmp_path, text))
    assert "\n" not in str(caught.value).strip() or "TOML" in str(caught.value)


def test_a_missing_file_is_an_error_and_not_an_empty_check(tmp_path):
    with pytest.raises(BadQuestions, match="no questions in"):
        checks.load(tmp_path / "none.toml")


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
    questions = checks.load(written(tmp_path, GOOD + OTHER)).questions
    tags = _Tags(checks.show_questions(questions, "01").markup)
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
    shown = checks.show_questions(checks.load(written(tmp_path, GOOD)).questions, "01")
    assert "<code>1 + 1</code>" in shown.markup
    assert "3 &lt; 4" in shown.markup
    assert "true &amp; no answer" in shown.markup
    assert "3 < 4" in repr(shown)


def test_the_text_form_has_every_option_with_its_verdict(tmp_path):
    lines = repr(
        checks.show_questions(checks.load(written(tmp_path, GOOD)).questions, "01")
    ).splitlines()
    assert lines == [
        "1. What is `1 + 1`?",
        "   a) 2",
        "      Right. Count on your fingers.",
        "   b) 3 < 4",
        "      No. That is true & no answer.",
    ]


def test_a_guess_is_a_number_or_a_choice_that_needs_no_script(tmp_path):
    page = checks.load(written(tmp_path, GOOD + GUESS + WHY))
    assert page.guess("speed") == Guess("How many times?", unit="times")
    assert page.solution(1) == "Because `1`."
    number = _Tags(checks.show_guess(page.guess("speed"), "speed").markup)
    assert [field["type"] for field in number.all("input")] == ["number"]
    choice = Guess("Which?", options=("a < b", "c"))
    tags = _Tags(checks.show_guess(choice, "which").markup)
    assert [field["value"] for field in tags.all("input")] == ["a < b", "c"]
    assert len({field["name"] for field in tags.all("input")}) == 1
    assert "script" not in [tag for tag, _ in (*number.found, *tags.found)]


def test_the_result_of_a_guess_names_value_and_unit_and_waits_for_that_guess(tmp_path):
    page = checks.load(written(tmp_path, GOOD + GUESS))
    shown = checks.show_result(page.guess("speed"), "speed", 83.66)
    assert repr(shown) == "Measured: 83.7 times."
    field = _Tags(checks.show_guess(page.guess("speed"), "speed").markup).all("input")[0]
    assert _Tags(shown.markup).all("p")[0]["data-guess"] == field["name"]


def test_a_guess_or_a_solution_that_the_file_lacks_is_one_line(tmp_path):
    page = checks.load(written(tmp_path, GOOD))
    with pytest.raises(BadQuestions, match=r"no \[guess.speed\]"):
        page.guess("speed")
    with pytest.raises(BadQuestions, match=r"no \[\[solution\]\] with exercise = 2"):
        page.solution(2)
