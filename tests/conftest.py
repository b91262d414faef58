"""What holds for every test: it ends in time (see pyproject.toml) and leaves nothing behind.

Whatever a test or its function-scoped fixtures start must be gone soon after it. A fixture that
is dear to start (a session, a JupyterLab, a browser) may live for its module, module-scoped; it
must be gone soon after the module. Wider scopes count as leaks.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.footprint import Footprint, end_strays, leftovers, mark_this_run

#: How long a session, a kernel or a browser may take to be gone, once told to end.
GRACE_SECONDS = 10.0

BROWSER_TESTS = Path(__file__).parent / "browser"

mark_this_run()

# What a shell starts in the background is deaf to interrupts, and so is all that follows from it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if BROWSER_TESTS in item.path.parents:
            item.add_marker(pytest.mark.browser)


_status = 0


def pytest_sessionfinish(exitstatus: int) -> None:
    global _status
    _status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """End although a leaked thread, already reported, would keep the interpreter waiting for it."""
    waited_for = [t for t in threading.enumerate() if not t.daemon]
    if len(waited_for) > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_status)


@pytest.fixture(scope="module", autouse=True)
def _module_leaves_nothing() -> Iterator[list[str]]:
    reported: list[str] = []
    before = Footprint.take()
    yield reported
    expect_nothing_left(before, "this module's fixtures", reported)


@pytest.fixture(autouse=True)
def _test_leaves_nothing(_module_leaves_nothing: list[str]) -> Iterator[None]:
    before = Footprint.take()
    yield
    expect_nothing_left(before, "this test", _module_leaves_nothing)


def expect_nothing_left(before: Footprint, culprit: str, reported: list[str]) -> None:
    left = leftovers(before, GRACE_SECONDS, known=reported)
    if left:
        end_strays(before)
        reported += left
        pytest.fail(f"left behind by {culprit}:\n  " + "\n  ".join(left), pytrace=False)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium or Chrome; a browser test without one fails, saying what to do."""
    from tests.browser.lab import find_chromium  # only here: most runs need no browser's modules

    try:
        return find_chromium()
    except LookupError as error:
        pytest.fail(f"{error} Or leave these tests out: `pytest -m 'not browser'`.", pytrace=False)
