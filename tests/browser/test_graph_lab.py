"""The graph in a real JupyterLab: live while a cell runs, explorable afterwards, right in the file.

The kernel plays a `FakeEngine`; the test lets it go on by a named pipe, so that nothing depends on
how quick the machine is.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import nbformat
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.test_graph_page import FLAGS

ROOT = Path(__file__).parents[2]
TOKEN = "for-this-test"
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


class Lab:
    """A JupyterLab server of its own, on one notebook."""

    def __init__(self, folder: Path, url: str) -> None:
        self.notebook = folder / "graph.ipynb"
        self.url = url

    def ask(self, path: str, method: str = "GET") -> Any:
        request = Request(f"{self.url}/api/{path}?token={TOKEN}", method=method)
        with urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or b"null")

    def open(self, page: Page, name: str = "graph.ipynb") -> None:
        page.goto(f"{self.url}/lab/tree/{name}?token={TOKEN}&reset")
        page.locator(".jp-Notebook .jp-Cell").first.wait_for()

    def end_kernels(self) -> None:
        for session in self.ask("sessions"):
            self.ask(f"sessions/{session['id']}", "DELETE")

    def saved(self, page: Page, fulfilled: Callable[[dict[str, Any]], bool]) -> None:
        """Save until the graph's MIME bundle in the file is as wanted."""

        def as_wanted() -> bool:
            page.get_by_role("menuitem", name="File").click()
            page.get_by_role("menuitem", name=re.compile("^Save Notebook(?! As)")).click()
            try:
                outputs = nbformat.read(self.notebook, 4).cells[1].outputs
            except nbformat.reader.NotJSONError:  # it is being written right now
                return False
            return bool(outputs) and fulfilled(outputs[0].data)

        until(as_wanted, "the file does not hold what it should")


def until(true: Callable[[], bool], complaint: str, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, complaint
        time.sleep(0.05)


@contextmanager
def serving(folder: Path) -> Iterator[Lab]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "graph.ipynb")
    os.mkfifo(folder / "go")
    own = {
        f"JUPYTER_{name}_DIR": str(folder / f".{name}") for name in ("CONFIG", "DATA", "RUNTIME")
    }
    lab = {
        f"JUPYTERLAB_{name}_DIR": str(folder / f".{name}") for name in ("SETTINGS", "WORKSPACES")
    }
    options = [f"--IdentityProvider.token={TOKEN}", f"--notebook-dir={folder}", "--port=0"]
    log = folder / "lab.log"
    with log.open("w") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options],
            env={**os.environ, **own, **lab, "PYTHONPATH": str(ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        found: list[str] = []

        def up() -> bool:
            assert server.poll() is None, log.read_text()
            found[:] = re.findall(r"http://(?:localhost|127\.0\.0\.1):\d+", log.read_text())[:1]
            try:
                return bool(found) and urlopen(f"{found[0]}/api", timeout=5).status == 200
            except URLError:
                return False

        until(up, "JupyterLab did not start", 60)
        yield Lab(folder, found[0])
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            raise


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.timeout(240)
def test_a_graphs_life_in_jupyterlab(browser: Browser, tmp_path: Path) -> None:
    with serving(tmp_path) as lab:
        page = browser.new_page()
        page.set_default_timeout(60_000)
        expect.set_options(timeout=30_000)
        lab.open(page)
        expect(page.get_by_text(re.compile(r"Python 3 .*\| Idle"))).to_be_visible()
        page.locator(".jp-Notebook .jp-Cell").first.click()
        for _ in CELLS:
            page.keyboard.press("Shift+Enter")

        # While the cell runs the graph follows, and the file never refers to a live widget.
        expect(page.locator(".rk-chip:visible")).to_have_text(["6 running"])
        expect(page.locator(".jp-InputPrompt").nth(2)).to_have_text("[*]:")
        lab.saved(page, lambda data: set(data) == FILE_FORMS)

        (tmp_path / "go").write_text("on")
        expect(page.locator(".rk-chip:visible")).to_have_text(["6 finished"])
        lab.saved(page, lambda d: set(d) == FILE_FORMS and "6 finished" in d["text/plain"])

        # The work has ended, and the graph can still be explored.
        canvas = page.locator(".raykernel-graph canvas")
        canvas.focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".rk-detail")).to_contain_text("finished")

        # Without a kernel the picture is there, trusted or not.
        lab.end_kernels()
        stranger = lab.notebook.read_text().replace("open('go')", "open('gone')")
        (tmp_path / "stranger.ipynb").write_text(stranger)
        for name in ("graph.ipynb", "stranger.ipynb"):
            lab.open(page, name)
            picture = page.locator(".jp-OutputArea img[alt^='Task graph of 6 tasks: 6 finished']")
            expect(picture).to_be_visible()
            assert picture.evaluate("(img) => img.naturalWidth") > 100
            expect(page.locator(".raykernel-graph")).to_have_count(0)
        page.close()


FILE_FORMS = {"text/html", "image/svg+xml", "text/plain"}
