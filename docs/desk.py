"""A notebook in a JupyterLab with nothing around it, for pictures: see screenshots.py."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Locator, expect

from tests.browser.lab import PATIENCE, NotebookPage, browsing, find_chromium, serving

MARGIN = 12


@contextmanager
def notebook(
    cells: tuple[str, ...],
    *,
    width: int,
    height: int,
    sharp: float,
    kernels: str = "",
    dressed: bool = False,
) -> Iterator[tuple[NotebookPage, Path]]:
    """An open notebook and its folder. `width` and `height` are the window's in CSS pixels,
    `kernels` configures them; without tabs, as there is one notebook, unless it is `dressed`."""
    with (
        tempfile.TemporaryDirectory(prefix="raykernel-picture-") as folder,
        serving(Path(folder)) as lab,
        browsing(find_chromium()) as browser,
    ):
        if kernels:
            lab.configure_kernels(kernels)
        lab.write("work.ipynb", *cells)
        page = browser.new_page(
            viewport={"width": width, "height": height}, device_scale_factor=sharp
        )
        expect.set_options(timeout=PATIENCE * 1000)
        book = NotebookPage(page, lab, "work.ipynb")
        book.open()
        for side in ("left", "right"):
            book.command("application:toggle-side-tabbar", side=side)
        book.command("application:toggle-left-area")
        if not dressed:
            book.command("application:toggle-mode")
        yield book, Path(folder)
        lab.end_kernels()


def run_through(book: NotebookPage, count: int) -> None:
    """Run so many cells, one after the other."""
    for number in range(count):
        book.run(number)
        book.wait_until_idle()


def save_down_to(book: NotebookPage, cell: Locator, to: Path) -> None:
    """A picture of the page from its top to the end of a cell."""
    book.show_top()
    end = cell.bounding_box()
    size = book.page.viewport_size
    assert end is not None
    assert size is not None
    height = end["y"] + end["height"] + MARGIN
    area: FloatRect = {"x": 0, "y": 0, "width": size["width"], "height": height}
    save(book.page.screenshot(clip=area), to)


def save(screenshot: bytes, to: Path, largest: int = 1 << 30) -> None:
    """In 256 colours, which a page of text and bars doesn't miss and a clone is grateful for, or in
    fewer until it takes no more than so many bytes."""
    image = Image.open(BytesIO(screenshot)).convert("RGB")
    for colours in (256, 128, 64, 32):
        image.quantize(colours, dither=Image.Dither.NONE).save(to, optimize=True)
        if to.stat().st_size <= largest:
            break
    print(f"{to}: {to.stat().st_size / 1024:.0f} KiB")
