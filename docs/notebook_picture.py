"""The README's first picture: see screenshots.py.

It is taken while the last cell of the notebook below is at work, half of it done.
"""

from __future__ import annotations

import tempfile
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, expect

from tests.browser.lab import PATIENCE, NotebookPage, browsing, find_chromium, serving, until

WIDTH = 960  # CSS pixels; twice as many in the picture
MARGIN = 12
#: What the block says of the gradients when the picture is taken, and the plot's steps.
MOMENT = "18 done · 6 running · 12 waiting"
STEPS_DRAWN = 3

START = """\
%load_ext raykernel
%ray start
import raykernel as ray
import time, numpy as np, matplotlib.pyplot as plt

def waves(x):
    return np.hstack([wave(np.outer(x, range(1, 9))) for wave in (np.sin, np.cos)])"""

REMOTE = """\
%%remote -n 0.25
def load(part):                          # a function becomes a task
    random = np.random.default_rng(part)
    x = random.uniform(-3, 3, 50)
    return x, np.sin(x) + np.cos(4 * x) / 2 + random.normal(0, 0.15, 50)

def gradient(weights, data):
    time.sleep(2)                        # as if the model were large
    x, y = data
    return waves(x).T @ (waves(x) @ weights - y) / len(x)

class Model:                             # a class becomes an actor
    weights = np.zeros(16)

    def step(self, *gradients):
        self.weights = self.weights - 0.9 * np.mean(gradients, axis=0)
        return self.weights"""

GRAPH = "%ray graph"

TRAIN = """\
model, weights, steps = Model.remote(), np.zeros(16), []
data = [load.remote(part) for part in range(6)]
for _ in range(6):                       # results are passed on before they are there
    weights = model.step.remote(*[gradient.remote(weights, part) for part in data])
    steps.append(weights)

figure, axes = plt.subplots(figsize=(8.6, 2.2), layout="constrained")
picture = display(figure, display_id=True); plt.close(figure)
for x, y in ray.get(data):
    axes.plot(x, y, ".", markersize=4)
line = np.linspace(-3, 3, 200)
for n, step in enumerate(steps, 1):
    axes.plot(line, waves(line) @ ray.get(step), color="black", alpha=n / len(steps))
    axes.set_title(f"after {n} steps"); picture.update(figure)"""


def take(to: Path) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="raykernel-picture-") as folder,
        serving(Path(folder)) as lab,
        browsing(find_chromium()) as browser,
    ):
        lab.configure_kernels("c.InlineBackend.figure_format = 'retina'")  # sharp plots
        lab.write("training.ipynb", START, REMOTE, GRAPH, TRAIN)
        page = browser.new_page(viewport={"width": WIDTH, "height": 1800}, device_scale_factor=2)
        book = NotebookPage(page, lab, "training.ipynb")
        book.open()
        for side in ("left", "right"):
            book.command("application:toggle-side-tabbar", side=side)
        book.command("application:toggle-left-area")
        book.command("application:toggle-mode")  # without tabs, as there is one notebook
        for number in range(3):
            book.run(number)
            book.wait_until_idle()
        running = book.run(3)
        drawn: set[str | None] = set()  # first the empty plot

        def far_enough() -> bool:
            drawn.add(running.locator(".jp-OutputArea-output img").get_attribute("src"))
            return len(drawn) == 1 + STEPS_DRAWN

        until(far_enough, "the training did not get there")
        expect(running.get_by_role("progressbar", name="gradient")).to_have_attribute(
            "aria-valuetext", MOMENT, timeout=PATIENCE * 1000
        )
        expect(page.locator(".rk-chip:visible", has_text="running")).to_have_text("6 running")
        book.show_top()
        end = running.bounding_box()
        assert end is not None
        area: FloatRect = {
            "x": 0,
            "y": 0,
            "width": WIDTH,
            "height": end["y"] + end["height"] + MARGIN,
        }
        save(page.screenshot(clip=area), to)
        book.wait_until_idle()
        assert book.errors_of_cells() == []
        lab.end_kernels()
    print(f"{to}: {to.stat().st_size / 1024:.0f} KiB")


def save(screenshot: bytes, to: Path) -> None:
    """In 256 colours, which a page of text and bars doesn't miss and a clone is grateful for."""
    image = Image.open(BytesIO(screenshot)).convert("RGB")
    image.quantize(256, dither=Image.Dither.NONE).save(to, optimize=True)
