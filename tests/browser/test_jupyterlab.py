"""The self-check in a real JupyterLab, whose own keys must not get in its way."""

import os
import socket
import sys
from contextlib import closing

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests import service
from tests.conftest import ROOT

pytestmark = pytest.mark.browser

SHOW = f"""from pathlib import Path
from gpubook.evidence import checks
asked = checks.load(checks.path_of(Path({str(ROOT)!r}), "01-first-container"))
checks.show_questions(asked.questions, "01")"""


@pytest.fixture
def lab(tmp_path):
    """The address of a JupyterLab of this test's own, with one notebook."""
    pytest.importorskip("jupyterlab")
    work = tmp_path / "work"
    work.mkdir()
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=[new_code_cell(SHOW)], metadata={"kernelspec": kernel})
    nbformat.write(notebook, work / "check.ipynb")
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    folders = {
        f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--port={port}"]
    command += ["--IdentityProvider.token=t", f"--ServerApp.root_dir={work}"]
    server = service.start(
        command, ready="is running at:", log=tmp_path / "log", seconds=60, env=os.environ | folders
    )
    yield f"http://127.0.0.1:{port}/lab/tree/check.ipynb?token=t"
    server.process.terminate()
    server.process.wait(30)


def test_in_jupyterlab_the_arrow_keys_move_between_options_not_between_cells(chromium, lab):
    context = chromium.new_context()
    page = context.new_page()
    page.goto(lab)
    page.locator(".jp-Notebook .cm-content").first.click(timeout=60_000)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    page.keyboard.press("Control+Enter")
    first = page.locator(".gb-check fieldset").first
    first.wait_for(timeout=60_000)
    said = page.locator(".gb-check .gb-said:visible")
    assert said.count() == 0
    first.locator("label").first.click()
    assert said.inner_text().startswith("No.")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.id") == "gb-check-01-1-b"
    assert said.inner_text().startswith("Right.")
    page.keyboard.press("Enter")
    assert page.locator(".jp-Notebook.jp-mod-editMode").count() == 0, "Enter edits no cell"
    assert said.inner_text().startswith("Right.")
    context.close()
