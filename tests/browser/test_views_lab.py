"""Every view in a real JupyterLab and a real Notebook 7, on a real session: each opens, follows the
work, answers its buttons, survives a reload of the page in mid-run, and shows what `list_tasks`
says. Tasks wait for a file, so that nothing depends on how quick the machine is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.lab import FRONTS, NotebookPage, browsing, serving, until

VIEWS = ("graph", "timeline", "cluster", "memory", "logs")
BY_TASK = VIEWS[:3]
CELLS = (
    "%load_ext raykernel\n%ray start -n 2",
    *(f"%ray {name}" for name in ("graph", "timeline", "status", "memory", "logs")),
    "import raykernel as ray\n"
    "@ray.remote(max_retries=0)\n"
    "def wait(gate):\n"
    "    import os, time\n"
    "    print('waiting for', gate)\n"
    "    while not os.path.exists(gate): time.sleep(0.02)\n"
    "@ray.remote\n"
    "class Counter:\n"
    "    def add(self): return 1\n"
    "counter = Counter.remote(); ray.get(counter.add.remote())\n"
    "weights = ray.put(bytes(3 << 20))\n"
    "refs = [wait.remote('gate') for _ in range(4)]",
    "ray.get([wait.remote('nowhere') for _ in range(3)])",
    "ray.wait(refs, num_returns=4)\n"
    "more = [wait.remote('nowhere') for _ in range(5)]\n"
    "_ = ray.wait(more, num_returns=5)",
    "from collections import Counter as Count\n"
    "states = Count('cancelled' if t.error_type == 'TASK_CANCELLED' else t.state.lower()\n"
    "               for t in ray.util.state.list_tasks())\n"
    "print('listed', *(f'{n} {state}' for state, n in sorted(states.items())))",
    "del weights\n%ray stop",
)
WORK, WAITED, STOPPED, LISTED, END = range(6, 11)


def shows(page: Page, counts: str, views: tuple[str, ...] = BY_TASK) -> None:
    """Wait until the views say that so many tasks are in a state."""
    for view in views:
        chip = page.locator(f".raykernel-{view}").locator(".rk-chip:visible", has_text=counts)
        expect(chip).to_have_count(1)


def sure(page: Page, view: str, name: str) -> None:
    """Press a button that wants to be pressed twice."""
    button = page.locator(f".raykernel-{view}").get_by_role("button", name=name)
    button.click()
    button.click()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("front", FRONTS)
def test_every_view_lives_acts_and_comes_back(front: str, chromium: str, tmp_path: Path) -> None:
    with serving(tmp_path, front) as lab, browsing(chromium) as browser:
        lab.write("views.ipynb", *CELLS)
        page = browser.new_page(viewport={"width": 1100, "height": 2600})
        expect.set_options(timeout=30_000)
        book = NotebookPage(page, lab, "views.ipynb")
        book.open()
        for number in range(WORK + 1):
            book.run(number)
            book.wait_until_idle()
        book.show_top()

        def all_there() -> None:
            shows(page, "2 running")
            expect(page.locator(".raykernel-memory")).to_contain_text("weights")
            expect(page.locator(".raykernel-memory .rk-size").first).to_contain_text("3.0 MiB")
            said = page.locator(".raykernel-logs .rk-said", has_text="waiting for gate")
            expect(said).to_have_count(2)

        all_there()
        book.save()
        page.reload()  # in mid-run
        all_there()

        # The cluster panel's buttons act.
        sure(page, "cluster", "Kill Counter")
        expect(page.locator(".raykernel-cluster")).to_contain_text("1 dead")

        # The progress block's Stop cancels what its cell waits for, and nothing else.
        cell = book.run(WAITED)
        cell.locator(".raykernel-progress").get_by_role("button", name="Stop").click()
        until(lambda: not book.runs(WAITED), "the cell did not end")
        assert len(book.errors_of_cells()) == 1
        book.show_top()
        shows(page, "3 cancelled")
        shows(page, "2 running")

        # The graph's Stop cancels all it shows; what had ended stays as it was.
        os.close(os.open(tmp_path / "gate", os.O_CREAT))
        book.run(STOPPED)
        book.show_top()
        shows(page, "6 finished")
        sure(page, "graph", "Cancel the unfinished tasks shown here")
        until(lambda: not book.runs(STOPPED), "the cell did not end")
        counted = book.run(LISTED)
        expect(counted).to_contain_text("listed 8 cancelled 6 finished")
        book.show_top()
        for counts in ("8 cancelled", "6 finished"):
            shows(page, counts)
        expect(page.locator(".raykernel-graph .rk-total")).to_have_text("14 tasks")

        # Memory and logs answer to their filters.
        logs = page.locator(".raykernel-logs")
        logs.get_by_role("searchbox").fill("NOWHERE")
        expect(logs.locator("mark").first).to_have_text("nowhere")
        expect(logs.locator(".rk-said", has_text="gate")).to_have_count(0)
        memory = page.locator(".raykernel-memory")
        memory.get_by_role("searchbox").fill("no such thing")
        expect(memory).to_contain_text("No object fits.")
        memory.get_by_role("searchbox").fill("")
        memory.get_by_label("Kept by").select_option("variable")
        expect(memory.locator("tbody tr").first).to_contain_text("weights")
        book.run(END)
        book.wait_until_idle()
        expect(memory).to_contain_text("No session is running.")
        assert book.complaints() == []

        def small() -> bool:
            book.save()
            return book.path.read_text().count("data-raykernel-view") >= len(VIEWS)

        until(small, "the views' static forms were not saved")
        assert book.path.stat().st_size < 200 * 1024 * len(VIEWS)
        lab.end_kernels()
