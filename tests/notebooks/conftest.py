"""What the tests of one page share: its results, and what the pages about spam have made."""

import json

import pytest


@pytest.fixture(scope="module")
def page(request, results):
    """The results of the notebook that a module is about, its NOTEBOOK."""
    return results(request.module.NOTEBOOK)


@pytest.fixture(scope="module")
def folder(executed):
    """The model that page 11 has saved."""
    return executed / "artifacts" / "11-fine-tune-bert" / "bert_spam_classifier"


@pytest.fixture(scope="module")
def split(executed):
    """The messages of page 10, divided."""
    path = executed / "artifacts" / "10-spam-data" / "split.json"
    return json.loads(path.read_text(encoding="utf-8"))
