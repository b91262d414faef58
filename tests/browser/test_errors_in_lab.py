"""A failed task in a real JupyterLab: its traceback fits a screen, and `%debug` asks its frame."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from docs.error_picture import DEBUG, FAIL, QUESTION, REMOTE, START, ask
from tests.browser.lab import NotebookPage, browsing, serving

SCREEN = (1280, 720)


@pytest.mark.timeout(240)
def test_a_failed_tasks_traceback_and_its_frame(chromium: str, tmp_path: Path) -> None:
    with serving(tmp_path) as lab, browsing(chromium) as browser:
        lab.configure_kernels("c.RayKernelConfig.session_ttl = 0")  # ends with its kernel
        lab.write("error.ipynb", START, REMOTE, FAIL, DEBUG)
        page = browser.new_page(viewport={"width": SCREEN[0], "height": SCREEN[1]})
        book = NotebookPage(page, lab, "error.ipynb")
        book.open()
        for number in range(3):
            failed = book.run(number)
            book.wait_until_idle()
        shown = failed.locator(".jp-OutputArea")
        expect(shown).to_contain_text("In the task mean(values=[]) of In[3]")
        expect(shown).to_contain_text("return total / len(values)")
        expect(shown).to_contain_text("ZeroDivisionError: division by zero")
        expect(shown).not_to_contain_text("raykernel/")
        box = shown.bounding_box()
        assert box is not None
        assert box["height"] < SCREEN[1]

        asking = book.run(3)
        ask(asking, QUESTION)
        expect(asking.locator(".jp-OutputArea")).to_contain_text("(0, [])")
        ask(asking, "q")
        book.wait_until_idle()
        assert [text.partition(":")[0] for text in book.errors_of_cells()] == [
            "RayTaskError(ZeroDivisionError)"
        ]
        lab.end_kernels()
