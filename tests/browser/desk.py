"""A notebook that shows every view of one session, and a door to its kernel.

    with sitting(folder, front, chromium) as desk:      server, browser, kernel, session, views
        desk.work("refs = [wait.remote('a')]")          run this in the cell kept for work
        desk.ask("len(In)")                             evaluated in the kernel, also in mid-run
        desk.open_gate("a")                             lets the tasks go that wait at it

The cells stand above the views and all are in sight at once, so nothing is scrolled. What the
kernel is asked goes through a socket that a thread of its own listens at.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, expect

from tests.browser.agreement import PATIENCE, WORDS
from tests.browser.lab import NotebookPage, browsing, serving

#: Each view's command, by the name of its class in the page.
VIEWS = {
    "graph": "graph", "timeline": "timeline", "cluster": "status", "memory": "memory",
    "logs": "logs",
}  # fmt: skip
WORK, NEXT, FIRST = 1, 2, 3  # the cells for work, and of the first view

_SETUP = """\
%load_ext raykernel
%ray start -n 2
import os, sys, threading, time
from collections import Counter as Count
from multiprocessing.connection import Listener
import raykernel as ray
from raykernel.util import state
def door():
    with Listener('door') as listener:
        while True:
            with listener.accept() as caller:
                try: caller.send(eval(caller.recv()))
                except Exception as error: caller.send(error)
threading.Thread(target=door, daemon=True).start()
# WORDS
def forget():
    sys.last_value = sys.last_traceback = sys.last_exc = None
    for name, value in list(globals().items()):
        if isinstance(value, (list, tuple, ray.ObjectRef)) and name not in ('In', '_ih', '_dh'):
            del globals()[name]
@ray.remote(max_retries=0)
def wait(gate, *after):
    print('at', gate)
    while not os.path.exists(gate): time.sleep(0.01)
@ray.remote(num_cpus=0)
def fail(n): raise ValueError(f'odd <b>{n}</b>')
@ray.remote(num_cpus=0)
def square(n): return n * n
@ray.remote(num_cpus=0)
class Counter:
    def add(self): print('added', flush=True); return 1
"""

SETUP = _SETUP.replace("# WORDS\n", WORDS)


class Desk:
    def __init__(self, book: NotebookPage) -> None:
        self.book = book
        self.page: Page = book.page
        self.folder: Path = book.lab.folder

    # -- the kernel ----------------------------------------------------------------------------

    def ask(self, expression: str) -> Any:
        """What an expression is in the kernel, whatever cell runs."""
        with Client(str(self.folder / "door")) as kernel:
            kernel.send(expression)
            told = kernel.recv()
        if isinstance(told, Exception):
            raise told
        return told

    def work(self, source: str, at: int = WORK) -> Locator:
        """Run this in a cell; doesn't wait for it."""
        self.page.evaluate(
            "([at, source]) => window.jupyterapp.shell.currentWidget.content.widgets[at]"
            ".model.sharedModel.setSource(source)",
            [at, source],
        )
        self.book.select(at)
        self.book.command("notebook:run-cell")
        return self.cell(at)

    def run(self, at: int) -> None:
        """Run a cell as it is, to its end."""
        self.book.select(at)
        self.book.command("notebook:run-cell")
        self.book.wait_until_idle()

    def open_views(self) -> None:
        for at in range(FIRST, FIRST + len(VIEWS)):
            self.run(at)

    def rests(self) -> None:
        self.book.wait_until_idle()

    def number(self) -> int:
        """Of the cell that ran last, or runs."""
        return int(self.ask("len(In) - 1"))

    def open_gate(self, *names: str) -> None:
        for name in names:
            (self.folder / name).touch()

    # -- the page ------------------------------------------------------------------------------

    def cell(self, at: int) -> Locator:
        return self.page.locator(".jp-Notebook .jp-Cell").nth(at)

    def view(self, name: str) -> Locator:
        at = FIRST + list(VIEWS).index(name)
        return self.cell(at).locator(f".raykernel-{name}")

    def progress(self) -> Locator:
        return self.cell(WORK).locator(".raykernel-progress")

    def sure(self, view: str, name: str) -> None:
        """Press a button that wants to be pressed twice."""
        button = self.view(view).get_by_role("button", name=name)
        button.click()
        button.click()


@contextmanager
def sitting(folder: Path, front: str, chromium: str) -> Iterator[Desk]:
    with serving(folder, front) as lab, browsing(chromium) as browser:
        lab.write("desk.ipynb", SETUP, "", "", *(f"%ray {command}" for command in VIEWS.values()))
        page = browser.new_page(viewport={"width": 1100, "height": 3600})
        expect.set_options(timeout=PATIENCE * 1000)
        book = NotebookPage(page, lab, "desk.ipynb")
        book.open()
        page.set_default_timeout(PATIENCE * 1000)
        desk = Desk(book)
        desk.run(0)
        desk.open_views()
        yield desk
        lab.end_kernels()
