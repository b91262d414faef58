"""The pictures of docs/views.md: see screenshots.py.

Each view is taken while the work is half done, in the light and in the dark theme.
"""

from __future__ import annotations

import os
from pathlib import Path

from playwright.sync_api import Locator, expect

from docs import desk
from tests.browser.lab import NotebookPage, until

LARGEST = 100 * 1024  # bytes of a picture
WIDTH = 980  # CSS pixels of the window; half as many again in the pictures
SHARP = 1.5
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
VIEWS = ("graph", "timeline", "cluster", "memory", "logs")

START = "%load_ext raykernel\n%ray start -n 4\nimport raykernel as ray, numpy as np, os, sys, time"

REMOTE = """\
%%remote
def load(part):
    print(f"reading part {part}")
    time.sleep(0.3 + part % 3 / 10)
    return np.random.default_rng(part).random((400 + 60 * part, 1000))

def clean(table):
    if table.shape[0] == 520: print("3 rows have gaps", file=sys.stderr)
    time.sleep(0.25)
    return table[1:]

def check(table):
    time.sleep(0.1)
    if table.shape[0] == 519: raise ValueError("column 'price' has gaps")
    return True

def fit(tables, seed):
    bar = ray.util.tqdm(total=10, desc=f"fit {seed}")
    for step in range(4):
        time.sleep(0.1)
        bar.update()
        print(f"seed {seed}, step {step}: loss {1 / (step + 1):.3f}")
    while not os.path.exists("gate"): time.sleep(0.05)
    return seed

class Model:
    def update(self, part, table):
        time.sleep(0.15)
        print(f"took part {part}")
        self.mean = table.mean()

def best(*fits):
    return max(fits)"""

VIEW_CELLS = ("%ray graph", "%ray timeline", "%ray status", "%ray memory", "%ray logs")

WORK = """\
model = Model.options(name="model").remote()
tables = [load.remote(part) for part in range(8)]
cleaned = [clean.remote(table) for table in tables]
checks = [check.remote(table) for table in cleaned]
updates = [model.update.remote(n, table) for n, table in enumerate(cleaned)]
fits = [fit.remote(cleaned[seed], seed) for seed in range(6)]
winner = best.remote(*fits)
biggest = ray.get(cleaned[7])
ray.get(winner)"""


def take_all(to: Path) -> None:
    to.mkdir(parents=True, exist_ok=True)
    cells = (START, REMOTE, *VIEW_CELLS, WORK)
    with desk.notebook(cells, width=WIDTH, height=2600, sharp=SHARP, dressed=True) as (
        book,
        folder,
    ):
        page = book.page
        desk.run_through(book, len(cells) - 1)
        running = book.run(len(cells) - 1)
        progress = running.locator(".raykernel-progress")
        expect(progress.get_by_role("progressbar", name="fit 3")).to_have_attribute(
            "aria-valuenow", "4"
        )
        expect(page.locator(".raykernel-memory")).to_contain_text("biggest")
        failed = progress.locator("summary", has_text="1 error")
        expect(failed).to_be_visible()
        for theme, name in THEMES.items():
            book.command("apputils:change-theme", theme=name)
            page.locator(f"body[data-jp-theme-name='{name}']").wait_for(state="attached")
            for view in VIEWS:
                take(book, page.locator(f".raykernel-{view}"), to / f"{view}-{theme}.png")
            take(book, progress, to / f"progress-{theme}.png")
        os.close(os.open(folder / "gate", os.O_CREAT))
        book.wait_until_idle()
        assert book.complaints() == []


def take(book: NotebookPage, view: Locator, to: Path) -> None:
    """A picture of one view as it is now."""
    until(lambda: scrolled_to(view), "the view did not come into view")
    book.page.wait_for_timeout(400)  # a frame or two after the theme or the place changed
    desk.save(view.screenshot(), to, LARGEST)


def scrolled_to(view: Locator) -> bool:
    view.evaluate("(node) => node.scrollIntoView({block: 'center'})")
    return view.is_visible()
