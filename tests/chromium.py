"""Chromium as the tests start it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from gpubook.book.pdf import browser_path
from gpubook.errors import BookError


@contextmanager
def started(flags: Sequence[str]) -> Iterator:
    """Playwright's browser; the test skips where there is none."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        try:
            executable = browser_path(playwright)
        except BookError as error:
            pytest.skip(str(error))
        browser = playwright.chromium.launch(executable_path=executable, args=flags)
        yield browser
        browser.close()
