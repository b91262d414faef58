"""The README's first picture: see screenshots.py.

It is taken while the last cell of the notebook below is at work, half of it done.
"""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from docs import desk
from tests.browser.lab import PATIENCE, until

WIDTH = 960  # CSS pixels; twice as many in the picture
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
    plots = "c.InlineBackend.figure_format = 'retina'"
    cells = (START, REMOTE, GRAPH, TRAIN)
    with desk.notebook(cells, width=WIDTH, height=1800, sharp=2, kernels=plots) as (book, _):
        desk.run_through(book, 3)
        running = book.run(3)
        drawn: set[str | None] = set()  # first the empty plot

        def far_enough() -> bool:
            drawn.add(running.locator(".jp-OutputArea-output img").get_attribute("src"))
            return len(drawn) == 1 + STEPS_DRAWN

        until(far_enough, "the training did not get there")
        expect(running.get_by_role("progressbar", name="gradient")).to_have_attribute(
            "aria-valuetext", MOMENT, timeout=PATIENCE * 1000
        )
        expect(book.page.locator(".rk-chip:visible", has_text="running")).to_have_text("6 running")
        desk.save_down_to(book, running, to)
        book.wait_until_idle()
        assert book.errors_of_cells() == []
