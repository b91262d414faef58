"""The graph in a real JupyterLab: live while a cell runs, explorable afterwards, right in the file.

The kernel plays a `FakeEngine`; the test lets it go on by a named pipe, so that nothing depends on
how quick the machine is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lab import NotebookPage, browsing, serving, until

FILE_FORMS = {"text/html", "image/svg+xml", "text/plain"}
CELLS = (
    "from raykernel.runtime.engines.fake import FakeEngine\n"
    "from raykernel.runtime.events import TaskInfo\n"
    "from raykernel.widgets.graph import GraphView\n"
    "engine = FakeEngine()\n"
    "def play(state):\n"
    "    for n in range(6):\n"
    "        engine.put_task(TaskInfo(f'{n}', 'work', state=state, submitted=float(n)))\n"
    "    engine.flush()",
    "GraphView(engine).show()",
    "play('RUNNING'); _ = open('go').read(); play('FINISHED')",
)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with browsing(chromium) as browser:
        yield browser


@pytest.mark.timeout(240)
def test_a_graphs_life_in_jupyterlab(browser: Browser, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "go")
    with serving(tmp_path) as lab:
        lab.write("graph.ipynb", *CELLS)
        page = browser.new_page()
        expect.set_options(timeout=30_000)
        book = NotebookPage(page, lab, "graph.ipynb")
        book.open()
        page.locator(".jp-Notebook .jp-Cell").first.click()
        for _ in CELLS:
            page.keyboard.press("Shift+Enter")

        # While the cell runs the graph follows, and the file never refers to a live widget.
        expect(page.locator(".rk-chip:visible")).to_have_text(["6 running"])
        assert book.runs(2)
        expect_saved(book, lambda forms: set(forms) == FILE_FORMS)

        (tmp_path / "go").write_text("on")
        expect(page.locator(".rk-chip:visible")).to_have_text(["6 finished"])
        expect_saved(book, lambda f: set(f) == FILE_FORMS and "6 finished" in f["text/plain"])

        # The work has ended, and the graph can still be explored.
        canvas = page.locator(".raykernel-graph canvas")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".rk-detail")).to_contain_text("finished")

        # Read again with another kernel, which knows nothing of it, the picture is there.
        lab.end_kernels()
        stranger = book.path.read_text().replace("open('go')", "open('gone')")
        (tmp_path / "stranger.ipynb").write_text(stranger)
        for name, trusted in (("graph.ipynb", True), ("stranger.ipynb", False)):
            reader = NotebookPage(page, lab, name)
            reader.open()
            assert reader.trusts(1) is trusted
            picture = page.locator(".jp-OutputArea img[alt^='Task graph of 6 tasks: 6 finished']")
            expect(picture).to_be_visible()
            assert picture.evaluate("(img) => img.naturalWidth") > 100
            expect(page.locator(".raykernel-graph")).to_have_count(0)
        page.close()


def expect_saved(book: NotebookPage, fulfilled: Callable[[dict[str, Any]], bool]) -> None:
    """Save until the graph's MIME bundle in the file is as wanted."""

    def as_wanted() -> bool:
        book.save()
        outputs = nbformat.read(book.path, 4).cells[1].outputs
        return bool(outputs) and fulfilled(outputs[0].data)

    until(as_wanted, "the file does not hold what it should")
