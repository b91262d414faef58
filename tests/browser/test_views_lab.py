"""The cluster panel and the timeline in a real JupyterLab, on a real session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.lab import NotebookPage, browsing, serving, until

CELLS = (
    "%load_ext raykernel\n%ray start -n 2",
    "%ray timeline",
    "%ray status",
    "import raykernel as ray\n"
    "@ray.remote\n"
    "def wait():\n"
    "    import os, time\n"
    "    while not os.path.exists('gate'): time.sleep(0.02)\n"
    "@ray.remote\n"
    "class Counter:\n"
    "    def add(self): return 1\n"
    "counter = Counter.remote(); ray.get(counter.add.remote())\n"
    "refs = [wait.remote() for _ in range(4)]",
    "ray.get(refs)\n"
    "from raykernel.util import state\n"
    "print([a.state for a in state.list_actors()], len(state.list_tasks()))",
    "%ray stop",
)


@pytest.mark.timeout(240)
def test_panel_and_timeline_live_through_a_reload_and_stay_in_the_file(
    chromium: str, tmp_path: Path
) -> None:
    with serving(tmp_path) as lab, browsing(chromium) as browser:
        lab.write("views.ipynb", *CELLS)
        page = browser.new_page(viewport={"width": 1100, "height": 1800})
        expect.set_options(timeout=30_000)
        book = NotebookPage(page, lab, "views.ipynb")
        book.open()
        for number in range(4):
            book.run(number)
            book.wait_until_idle()
        book.show_top()
        for view in (".raykernel-timeline", ".raykernel-cluster"):
            chip = page.locator(view).locator(".rk-chip:visible", has_text="2 running")
            expect(chip).to_have_count(1)
        book.save()
        page.reload()  # in mid-run
        expect(page.locator(".raykernel-cluster")).to_contain_text("Counter")
        kill = page.get_by_role("button", name="Kill Counter")
        kill.click()
        kill.click()
        expect(page.locator(".raykernel-cluster")).to_contain_text("1 dead")
        os.close(os.open(tmp_path / "gate", os.O_CREAT))
        cell = book.run(4)
        expect(cell.locator(".jp-OutputArea-output").last).to_contain_text("['DEAD'] 6")
        book.show_top()
        for view in (".raykernel-timeline", ".raykernel-cluster"):
            chip = page.locator(view).locator(".rk-chip:visible", has_text="6 finished")
            expect(chip).to_have_count(1)
        assert book.complaints() == []

        def small() -> bool:
            book.save()
            return "image/svg+xml" in book.path.read_text()

        until(small, "no picture was saved")
        assert book.path.stat().st_size < 500 * 1024
        book.run(5)
        book.wait_until_idle()
        lab.end_kernels()
