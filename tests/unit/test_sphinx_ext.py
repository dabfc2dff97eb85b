"""The book's Sphinx extension and the rendering."""

import json

import nbformat
import pytest
from sphinx.errors import ExtensionError

from gpubook.book import sphinx_ext
from gpubook.book.render import RenderError, first_problems
from gpubook.book.words import duration, reading_minutes
from tests.unit.small_book import notebook, rendered, result_of

# The executed notebook in the source's place


def test_the_executed_notebook_takes_the_place_of_the_source(tmp_path):
    executed = tmp_path / "04-x.ipynb"
    ran = nbformat.reads(notebook(), as_version=4)
    ran.cells[-1].outputs = [nbformat.v4.new_output("stream", text="3\n")]
    nbformat.write(ran, executed)
    shown = json.loads(sphinx_ext.executed_source(notebook(), executed))
    assert shown["cells"][-1]["outputs"][0]["text"] in ("3\n", ["3\n"])


@pytest.mark.parametrize(
    ("name", "language"), [("Dockerfile", "docker"), ("mat_mul.py", "python"), ("x.zzz", "text")]
)
def test_a_file_that_a_notebook_writes_is_shown_under_its_name_in_its_language(name, language):
    cell = {
        "cell_type": "code", "id": "file", "metadata": {}, "outputs": [{"text": "Writing it"}],
        "source": f"%%writefile {name}\nFROM $BASE\n",
    }  # fmt: skip
    shown = sphinx_ext._as_read(cell)
    assert shown["cell_type"] == "markdown"
    assert shown["source"].startswith(f"```{{code-block}} {language}\n:caption: {name}\n\nFROM")
    assert "Writing" not in str(shown)


def test_a_notebook_that_was_not_executed_or_has_changed_is_an_error_that_says_what_to_run(
    tmp_path,
):
    executed = tmp_path / "04-x.ipynb"
    with pytest.raises(ExtensionError, match=r"04-x has no executed .* run `gpubook run 04-x`"):
        sphinx_ext.executed_source(notebook(), executed)
    executed.write_text(notebook(), encoding="utf-8")
    with pytest.raises(ExtensionError, match="04-x has changed since it was executed"):
        sphinx_ext.executed_source(notebook(text="print(N + 1)"), executed)


def test_injected_parameters_are_told_to_the_reader_with_their_defaults(tmp_path):
    executed = tmp_path / "04-x.ipynb"
    executed.write_text(notebook(injected="N = 7"), encoding="utf-8")
    cells = json.loads(sphinx_ext.executed_source(notebook(), executed))["cells"]
    at = next(i for i, cell in enumerate(cells) if sphinx_ext.INJECTED in str(cell["metadata"]))
    note = cells[at - 1]
    assert note["cell_type"] == "markdown"
    assert "`N = 7` (default: `3`)" in note["source"]
    assert "REQUIRE" not in note["source"], "it was not injected"


@pytest.mark.parametrize("injected", [None, 'REQUIRE = "docker,slurm"'])
def test_without_a_parameter_that_changes_a_result_there_is_no_note(tmp_path, injected):
    executed = tmp_path / "04-x.ipynb"
    executed.write_text(notebook(injected=injected), encoding="utf-8")
    assert "gb-parameters" not in sphinx_ext.executed_source(notebook(), executed)


def test_the_last_cell_is_machinery_whose_source_is_not_shown():
    cell = {"cell_type": "code", "id": "finish", "metadata": {}, "source": "page.finish()"}
    assert "remove-input" in sphinx_ext._as_read(cell)["metadata"]["tags"]


# The note on times


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 second"),
        (8.4, "8 seconds"),
        (59, "59 seconds"),
        (61, "1.0 minutes"),
        (215, "3.6 minutes"),
        (1234, "21 minutes"),
    ],
)
def test_a_time_is_rounded_to_what_can_be_repeated(seconds, words):
    assert duration(seconds) == words


def test_reading_counts_every_visible_word_and_no_folded_one():
    words = "word " * 400
    assert reading_minutes(words) == 2
    assert reading_minutes(f"{words}\n```shell\n{words}\n```") == 4
    assert reading_minutes("short") == 1
    output = {"data": {"text/plain": ["printed"]}}
    cell = {"metadata": {}, "source": ["code"], "outputs": [output]}
    folded = cell | {"metadata": {"tags": ["hide-cell"]}}
    unasked = cell | {"metadata": {"tags": ["remove-input"]}}
    assert sphinx_ext.visible_text([cell]).split() == ["code", "printed"]
    assert sphinx_ext.visible_text([folded, unasked]).split() == ["printed"]


def note(result, text=""):
    return sphinx_ext.time_note(result, text)["source"]


def test_the_note_says_how_long_on_which_machine_and_how_much_was_live():
    result = result_of("01-x", ("live", "a", "here"), ("recorded", "b", "h100"), finished=90.0)
    said = note(result, "word " * 1000)
    assert "1.5 minutes when this page was made (on A processor, 2 cores, no GPU)" in said
    assert "1 of its 2 results were measured then" in said
    assert "about 5 minutes" in said


def test_the_note_names_the_gpu_where_one_was_and_no_machine_where_nothing_was_measured():
    result = result_of("01-x", ("live", "a", "here"))
    machine = result["evidences"][0]["record"]["provenance"]["machine"]
    machine["gpus"] = [{"name": "NVIDIA H100 80GB HBM3"}]
    assert "(on NVIDIA H100 80GB HBM3)" in note(result)
    assert "no GPU" not in note(result)
    said = note(result_of("01-x", ("recorded", "b", "h100")))
    assert "when this page was made. 0 of its 1 results" in said


def test_the_note_comes_below_the_title():
    cells = json.loads(sphinx_ext.with_time_note(notebook(), None))["cells"]
    assert [cell["cell_type"] for cell in cells[:3]] == ["markdown", "markdown", "code"]
    assert "How long it takes" in cells[1]["source"]
    assert "Computing" not in cells[1]["source"], "it was not executed"


# Rendering


def test_a_failed_rendering_names_the_warning_and_leaves_the_former_pages(small_book):
    index = rendered(small_book)
    assert index == small_book / "_build" / "html" / "index.html"
    page = index.parent / "book" / "intro.html"
    assert "The first text." in page.read_text(encoding="utf-8")
    former = page.stat().st_mtime_ns

    (small_book / "book" / "intro.md").write_text(
        "# Small\n\n[x](none.md)\n\n{py:func}`nowhere`\n", encoding="utf-8"
    )
    with pytest.raises(RenderError, match=r"book/intro\.md:3: WARNING: .*none\.md") as failed:
        rendered(small_book)
    assert "reference target not found: nowhere" in str(failed.value), "as -n finds it"
    assert page.stat().st_mtime_ns == former
    assert not list((small_book / "_build").glob(".render-*")), "nothing partial is left"


def test_a_missing_executed_notebook_stops_the_rendering_with_its_name(small_book):
    (small_book / "_build" / "executed" / "01-x.ipynb").unlink()
    with pytest.raises(RenderError, match="01-x has no executed notebook"):
        rendered(small_book)
    assert not (small_book / "_build" / "html").exists()


def test_the_first_problems_are_shown_and_the_rest_counted():
    account = "\n".join(["reading sources", *(f"a.md:{i}: WARNING: odd {i}" for i in range(9))])
    shown = first_problems(account)
    assert "a.md:0: WARNING: odd 0" in shown
    assert "and 4 more" in shown
    assert "reading" not in shown
