"""How many frames a second the graph draws while it is panned and zoomed, measured in the browser.

`pytest -s tests/browser/test_graph_frames.py` prints the figures.
"""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from raykernel.runtime.events import FAILED, FINISHED, RUNNING, TaskInfo
from raykernel.widgets.model import GraphModel

from .test_graph_page import batch, browser, draw, page  # noqa: F401 - fixtures

LEAST = 30.0  # frames a second
#: Pans and zooms once a frame, from all in view to single marks and back, for a second and a half.
PLAY = """
async () => {
  const canvas = document.querySelector("canvas");
  canvas.focus();
  let frames = 0;
  const key = (name) => canvas.dispatchEvent(
    new KeyboardEvent("keydown", {key: name, shiftKey: name.startsWith("Arrow"), bubbles: true}));
  const began = performance.now();
  while (performance.now() - began < 1500) {
    key(frames % 40 < 20 ? "+" : "-");
    key(["ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"][frames % 4]);
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return (1000 * frames) / (performance.now() - began);
}
"""


@pytest.mark.timeout(120)
@pytest.mark.parametrize("count", [1_000, 10_000, 100_000])
def test_the_graph_stays_smooth(page: Page, count: int) -> None:  # noqa: F811
    model = GraphModel()
    states = [FINISHED] * 17 + [RUNNING, FINISHED, FAILED]
    tasks = [
        TaskInfo(f"{n}", f"f{n % 4}", state=states[n % 20], deps=[f"{n - 1}"] if n % 4 else [])
        for n in range(count)
    ]
    model.apply(batch(*tasks))
    model.answer({"ask": "unfold", "group": -1}, None)
    draw(page, model)
    frames = page.evaluate(PLAY)
    print(f"{count:,} tasks: {frames:.0f} frames/s")
    assert frames >= LEAST
