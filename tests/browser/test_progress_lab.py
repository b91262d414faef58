"""A cell's progress in a real JupyterLab, with a real session: bars, errors, buttons, a reload.

Tasks wait for named pipes, so that nothing depends on how quick the machine is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.lab import NotebookPage, browsing, serving, until

CELLS = (
    "%load_ext raykernel\nimport os\nimport raykernel as ray\n_ = ray.init(num_cpus=2)\n"
    "here = os.getcwd()",
    "%%remote -n 0.1\n"
    "def square(n):\n"
    "    if n % 2: raise ValueError(f'odd <b>{n}</b>')\n"
    "    return n * n\n"
    "def steps(pipe):\n"
    "    bar = ray.util.tqdm(total=10, desc='stepping')\n"
    "    bar.update(4)\n"
    "    open(pipe).read()\n"
    "    bar.close()",
    "squares = [square.remote(n) for n in range(5)]\n"
    "last = steps.remote(f'{here}/first')\n"
    "_ = ray.wait([last])",
    "last = steps.remote(f'{here}/second')\nray.get(last)",
    "print('next cell')",
    "states = [task.state for task in ray.util.state.list_tasks()]\n"
    "print({state: states.count(state) for state in sorted(set(states))})\n"
    "%ray stop",
)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with browsing(chromium) as browser:
        yield browser


@pytest.mark.timeout(240)
def test_the_progress_of_cells_in_jupyterlab(browser: Browser, tmp_path: Path) -> None:
    for name in ("first", "second"):
        os.mkfifo(tmp_path / name)
    with serving(tmp_path) as lab:
        lab.write("work.ipynb", *CELLS)
        page = browser.new_page()
        expect.set_options(timeout=30_000)
        book = NotebookPage(page, lab, "work.ipynb")
        book.open()
        for number in (0, 1):
            book.run(number)
            book.wait_until_idle()

        # While the cell runs: its tasks, the bar that one of them moves, and what failed.
        cell = book.run(2)
        shown = cell.locator(".raykernel-progress")
        expect(shown).to_contain_text("5 of 6 tasks done")
        squares = shown.get_by_role("progressbar", name="square")
        expect(squares).to_have_attribute("aria-valuetext", "3 done · 2 failed")
        bar = shown.get_by_role("progressbar", name="stepping")
        expect(bar).to_have_attribute("aria-valuenow", "4")
        expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^40 % · 4/10"))
        shown.locator("summary", has_text="2 errors").click()
        expect(shown.get_by_text("ValueError: odd <b>1</b>", exact=True)).to_be_visible()
        shown.get_by_role("button", name="Show traceback").first.click()
        expect(shown.locator("pre")).to_contain_text("raise ValueError(f'odd <b>{n}</b>')")

        # When it is done one line stays, whose errors unfold as well.
        (tmp_path / "first").write_text("on")
        still = cell.locator(".raykernel-progress-still")
        expect(still).to_contain_text("6 tasks ended in")
        expect(still).to_contain_text("3 done, 2 failed")
        expect(shown.and_(page.locator(":visible"))).to_have_count(0)

        # The button lets the cell go, and the cell behind it run; the task goes on, as its
        # progress tells, also on a page that is loaded again.
        cell = book.run(3)
        waiting = cell.get_by_role("button", name="To the background")
        expect(waiting).to_be_visible()
        book.run(4)
        cell = book.show(3)
        cell.get_by_role("button", name="To the background").click()
        book.wait_until_idle()
        expect(book.cell(4)).to_contain_text("next cell")
        assert book.errors_of_cells() == []
        book.save()
        book.open()
        cell = book.show(3)
        expect(cell.locator(".raykernel-progress")).to_contain_text("0 of 1 tasks done")
        (tmp_path / "second").write_text("on")
        still = cell.locator(".raykernel-progress-still").last
        expect(still).to_contain_text("1 task ended in")

        counted = book.run(5)
        expect(counted).to_contain_text("{'FAILED': 2, 'FINISHED': 5}")
        until(lambda: not book.runs(5), "the last cell did not end")
        assert book.complaints() == []
        lab.end_kernels()
