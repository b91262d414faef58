"""What is left of the views in a saved notebook: shown by a page that runs no JavaScript."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbconvert import HTMLExporter
from playwright.sync_api import Browser, Page, expect

from tests.browser.lab import ROOT, browsing

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
LARGEST = 200 * 1024  # bytes that a view may take in the file
WIDGETS = "application/vnd.jupyter.widget"
CELLS = (
    "%load_ext raykernel\n%ray start -n 2",
    *(f"%ray {name}" for name in ("graph", "timeline", "status", "memory", "logs")),
    "import raykernel as ray\n"
    "@ray.remote\ndef work(n):\n    print('working on', n)\n    return bytes(200_000)\n"
    "done = [work.remote(n) for n in range(400)]\n_ = ray.get(done)",
)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with browsing(chromium) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(java_script_enabled=False)
    yield context.new_page()
    context.close()


def as_page(notebook: nbformat.NotebookNode, page: Page, to: Path) -> None:
    html, _ = HTMLExporter(template_name="lab").from_notebook_node(notebook)
    to.write_text(html)
    page.goto(to.as_uri())


def pictures(page: Page, start: str) -> list[float]:
    """The widths at which pictures whose text begins so are drawn."""
    shown = page.locator(f"img[alt^='{start}']")
    for each in shown.all():
        expect(each).to_be_visible()
    return [box["width"] for each in shown.all() if (box := each.bounding_box())]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_repos_notebooks_show_their_graphs(path: Path, page: Page, tmp_path: Path) -> None:
    notebook = nbformat.read(path, 4)
    graphs = [cell for cell in notebook.cells if cell.source.startswith("%ray graph")]
    as_page(notebook, page, tmp_path / "page.html")
    shown = pictures(page, "Task graph")
    assert len(shown) == len(graphs)
    assert all(width > 300 for width in shown)
    texts = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert "widget-view" not in json.dumps(texts)


@pytest.mark.timeout(180)
def test_every_view_stays_in_a_notebook_that_ran_without_a_browser(
    page: Page, tmp_path: Path
) -> None:
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS]
    )
    path = tmp_path / "views.ipynb"
    nbformat.write(notebook, path)
    subprocess.run(
        [sys.executable, "-m", "nbconvert", "--execute", "--inplace", "--to=notebook", str(path)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "RAYKERNEL_SESSION_TTL": "0"},
        check=True,
        timeout=120,
    )
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells[1:6]:
        (output,) = cell.outputs
        assert not any(form.startswith(WIDGETS) for form in output.data), cell.source
        assert len(json.dumps(output)) < LARGEST
    as_page(notebook, page, tmp_path / "page.html")
    for start in ("Task graph of 400 tasks", "Timeline", "Session ", "40"):
        widths = pictures(page, start)
        assert len(widths) == 1, start
        assert widths[0] > 200
    memory = page.locator("details", has_text="of the store used")
    expect(memory.locator("tbody tr").first).to_contain_text("work in In[7]")
    logs = page.locator("details", has_text="400 lines of task output")
    expect(logs.locator("pre")).to_contain_text("(work pid=")
