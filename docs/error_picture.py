"""The README's picture of an error: see screenshots.py.

The last cell of the notebook below fails in a worker and is looked into with `%debug`.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Locator, expect

from docs import desk
from tests.browser.lab import PATIENCE

WIDTH = 900  # CSS pixels; twice as many in the picture

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
    ends = "c.RayKernelConfig.session_ttl = 0"  # with its kernel
    cells = (START, REMOTE, FAIL, DEBUG)
    with desk.notebook(cells, width=WIDTH, height=1400, sharp=2, kernels=ends) as (book, _):
        desk.run_through(book, 3)
        asking = book.run(3)
        ask(asking, QUESTION)
        expect(asking.locator(".jp-OutputArea")).to_contain_text("(0, [])")
        desk.save_down_to(book, asking, to)
        ask(asking, "q")
        book.wait_until_idle()


def ask(cell: Locator, text: str) -> None:
    """Answer the prompt of a cell that asks for input, and wait until it is taken."""
    prompt = cell.locator("input.jp-Stdin-input:enabled").last.element_handle(
        timeout=PATIENCE * 1000
    )
    prompt.fill(text)
    prompt.press("Enter")
    # What is typed before the answered prompt is gone would go into it, and be lost.
    prompt.wait_for_element_state("hidden", timeout=PATIENCE * 1000)
