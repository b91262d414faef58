"""The README's picture of an error: see screenshots.py.

The last cell of the notebook below fails in a worker and is looked into with `%debug`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import FloatRect, Locator, expect

from docs.notebook_picture import save
from tests.browser.lab import PATIENCE, NotebookPage, browsing, find_chromium, serving

WIDTH = 900  # CSS pixels; twice as many in the picture
MARGIN = 12

START = "%load_ext raykernel\nimport raykernel as ray"

REMOTE = """\
%%remote
def clean(part):
    return [x for x in part if x >= 0]

def mean(values):
    total = sum(values)
    return total / len(values)"""

FAIL = """\
parts = [[3.5, -1.0, 4.5], [2.0, 0.5], [-2.0]]
ray.get([mean.remote(clean.remote(part)) for part in parts])"""

DEBUG = "%debug"
QUESTION = "p total, values"


def take(to: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="raykernel-picture-") as folder,
        serving(Path(folder)) as lab,
        browsing(find_chromium()) as browser,
    ):
        lab.configure_kernels("c.RayKernelConfig.session_ttl = 0")  # ends with its kernel
        lab.write("error.ipynb", START, REMOTE, FAIL, DEBUG)
        page = browser.new_page(viewport={"width": WIDTH, "height": 1400}, device_scale_factor=2)
        book = NotebookPage(page, lab, "error.ipynb")
        book.open()
        for side in ("left", "right"):
            book.command("application:toggle-side-tabbar", side=side)
        book.command("application:toggle-left-area")
        book.command("application:toggle-mode")  # without tabs, as there is one notebook
        for number in range(3):
            book.run(number)
            book.wait_until_idle()
        asking = book.run(3)
        ask(asking, QUESTION)
        expect(asking.locator(".jp-OutputArea")).to_contain_text("(0, [])")
        book.show_top()
        end = asking.bounding_box()
        assert end is not None
        height = end["y"] + end["height"] + MARGIN
        area: FloatRect = {"x": 0, "y": 0, "width": WIDTH, "height": height}
        save(page.screenshot(clip=area), to)
        ask(asking, "q", 1)
        book.wait_until_idle()
        lab.end_kernels()
    print(f"{to}: {to.stat().st_size / 1024:.0f} KiB")


def ask(cell: Locator, text: str, number: int = 0) -> None:
    """Answer the prompt of that number of a cell that asks for input."""
    prompt = cell.locator("input.jp-Stdin-input").nth(number)
    prompt.wait_for(timeout=PATIENCE * 1000)
    prompt.fill(text)
    prompt.press("Enter")
