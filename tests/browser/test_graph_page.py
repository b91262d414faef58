"""graph.js in a real browser: a plain page, the real GraphModel, and a stand-in for the widget."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from raykernel.runtime.events import (
    ACTOR,
    CALL,
    FAILED,
    FINISHED,
    RUNNING,
    WAITING,
    EventBatch,
    TaskInfo,
)
from raykernel.widgets import modules, svg
from raykernel.widgets.model import GraphModel
from raykernel.widgets.picture import SIZES
from raykernel.widgets.style import LOOKS
from tests.browser.lab import browsing

#: A model with anywidget's interface that records what the module sends.
SETUP = """
async ([source, state, frames]) => {
  if (frames) {
    window.frames_asked = 0;
    const ask = window.requestAnimationFrame.bind(window);
    window.requestAnimationFrame = (act) => { window.frames_asked += 1; return ask(act); };
  }
  const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
  const heard = {};
  window.model = {
    get: (name) => state[name],
    on: (name, act) => (heard[name] ??= []).push(act),
    off: (name, act) => { heard[name] = (heard[name] || []).filter((other) => other !== act); },
    send: (message) => window.sent.push(message),
    heard,
  };
  window.sent = [];
  window.tell = (message) => heard["msg:custom"].forEach((act) => act(message));
  window.snap = (snapshot) => {
    state.snapshot = snapshot;
    heard["change:snapshot"].forEach((act) => act());
  };
  window.widget = module.default;
}
"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with browsing(chromium) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 900, "height": 500}, reduced_motion="reduce")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    page.close()
    assert errors == []


def batch(*tasks: TaskInfo) -> EventBatch:
    return EventBatch(list(tasks), 1.0)


def pipeline(n: int = 4, state: str = WAITING) -> list[TaskInfo]:
    loads = [TaskInfo(f"l{i}", "load", state=FINISHED, submitted=float(i)) for i in range(n)]
    trains = [
        TaskInfo(f"t{i}", "train", state=state, deps=[f"l{i}"], submitted=100.0 + i)
        for i in range(n)
    ]
    return [*loads, *trains]


def load(page: Page, model: GraphModel, *, frames: bool = False) -> None:
    """A page with the module and a model, nothing drawn yet."""
    css = modules.styles()
    page.set_content(f"<style>{css}</style><body style='height:3000px'><main></main></body>")
    table = {"looks": LOOKS, "sizes": SIZES}
    state = {"view_id": "v1", "snapshot": model.snapshot(), "style_table": table}
    page.evaluate(SETUP, [modules.bundle("graph.js"), state, frames])


def draw(page: Page, model: GraphModel, *, frames: bool = False) -> None:
    """The widget drawn into <main>, with a first frame painted."""
    load(page, model, frames=frames)
    page.evaluate(
        """async () => {
          window.leave = widget.render({model, el: document.querySelector("main")});
          for (let n = 0; n < 3; n += 1) await new Promise(requestAnimationFrame);
        }"""
    )


def seek(page: Page, state: str) -> tuple[float, float, int]:
    """The middle of what has a state's colour on the canvas, and how many pixels have it."""
    color = next(look["color"] for look in LOOKS if look["state"] == state)
    found = page.evaluate(
        """(color) => {
          const canvas = document.querySelector("canvas");
          const {data, width} = canvas.getContext("2d")
            .getImageData(0, 0, canvas.width, canvas.height);
          const want = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
          let x = 0, y = 0, n = 0;
          for (let i = 0; i < data.length; i += 4) {
            if (data[i] !== want[0] || data[i + 1] !== want[1] || data[i + 2] !== want[2]) continue;
            if (data[i + 3] !== 255) continue;
            n += 1;
            x += (i / 4) % width;
            y += Math.floor(i / 4 / width);
          }
          const sharp = canvas.width / canvas.clientWidth;
          return [x / n / sharp, y / n / sharp, n];
        }""",
        color,
    )
    return found[0], found[1], found[2]


def frame(page: Page) -> None:
    """Wait until what was asked for is painted."""
    page.evaluate("() => new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")


def test_states_are_drawn_counted_and_followed(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline()))
    draw(page, model)
    assert seek(page, FINISHED)[2] > 1000
    assert seek(page, FAILED)[2] == 0
    expect(page.locator(".rk-bar")).to_contain_text("8 tasks")
    expect(page.locator(".rk-chip:visible")).to_have_text(["4 waiting", "4 finished"])
    model.apply(batch(TaskInfo("t0", "train", state=FAILED, deps=["l0"], error="ValueError: no")))
    page.evaluate("(delta) => tell(delta)", model.delta())
    frame(page)
    assert seek(page, FAILED)[2] > 200
    expect(page.locator(".rk-chip:visible")).to_have_text(["3 waiting", "4 finished", "1 failed"])


def test_a_delta_that_does_not_fit_is_dropped_and_a_snapshot_heals(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline(1)))
    draw(page, model)
    model.apply(batch(TaskInfo("x", "x")))
    model.delta()  # lost on the way
    model.apply(batch(TaskInfo("y", "y")))
    page.evaluate("(delta) => tell(delta)", model.delta())
    expect(page.locator(".rk-total")).to_have_text("2 tasks")
    page.evaluate("(snapshot) => snap(snapshot)", model.snapshot())
    expect(page.locator(".rk-total")).to_have_text("4 tasks")


def test_over_the_limit_it_shows_cards(page: Page) -> None:
    model = GraphModel(limit=10)
    model.apply(batch(*pipeline(4)))
    draw(page, model)
    model.apply(batch(*pipeline(400, RUNNING)))
    page.evaluate("(snapshot) => snap(snapshot)", model.snapshot())
    frame(page)
    expect(page.locator(".rk-total")).to_have_text("800 tasks")
    canvas = page.locator("canvas")
    canvas.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".rk-detail")).to_contain_text("train")
    expect(page.locator(".rk-detail")).to_contain_text("running400")


def test_room_no_longer_needed_is_kept_while_work_goes_on_and_given_back_at_its_end(
    page: Page,
) -> None:
    model = GraphModel(limit=10)
    model.apply(batch(*[TaskInfo(f"{n}", "f", state=RUNNING) for n in range(10)]))
    draw(page, model)
    stage = page.locator(".rk-stage")
    tall = stage.evaluate("(stage) => stage.clientHeight")
    model.apply(batch(TaskInfo("10", "f", state=RUNNING)))  # one card from here on
    page.evaluate("(snapshot) => snap(snapshot)", model.snapshot())
    assert stage.evaluate("(stage) => stage.clientHeight") == tall
    model.apply(batch(*[TaskInfo(f"{n}", "f", state=FINISHED) for n in range(11)]))
    page.evaluate("(snapshot) => snap(snapshot)", model.snapshot())
    assert stage.evaluate("(stage) => stage.clientHeight") < tall / 1.5


def test_hovering_names_a_task_and_clicking_tells_its_story(page: Page) -> None:
    model = GraphModel()
    tasks = pipeline()
    tasks[2] = TaskInfo(
        "l2", "load", state=FAILED, worker="4711", submitted=1.0, started=2.0, ended=3.5,
        error="ValueError: no <such> row",
    )  # fmt: skip
    model.apply(batch(*tasks))
    draw(page, model)
    x, y, _ = seek(page, FAILED)
    canvas = page.locator("canvas")
    canvas.hover(position={"x": x, "y": y})
    expect(page.locator(".rk-tip")).to_contain_text("load")
    expect(page.locator(".rk-tip")).to_contain_text("failed · 1.50 s · worker 4711 · ValueError")
    canvas.click(position={"x": x, "y": y})
    detail = page.locator(".rk-detail")
    expect(detail.locator(".rk-error")).to_have_text("ValueError: no <such> row")
    for words in ("ran1.50 s", "waited1.00 s", "worker4711", "idl2", "0, used by 1"):
        expect(detail).to_contain_text(words)
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()


def test_the_wheel_scrolls_the_page_unless_zooming_is_meant(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline()))
    draw(page, model)
    size = seek(page, FINISHED)[2]
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.wheel(0, 100)
    page.wait_for_function("() => scrollY > 0")
    frame(page)
    assert seek(page, FINISHED)[2] == size
    page.keyboard.down("Control")
    page.mouse.wheel(0, 200)
    page.keyboard.up("Control")
    page.wait_for_function("() => scrollY > 0")
    frame(page)
    assert seek(page, FINISHED)[2] < size
    page.get_by_role("button", name="Show all").click()
    frame(page)
    assert seek(page, FINISHED)[2] == size


def test_dragging_moves_the_graph(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline()))
    draw(page, model)
    x, y, _ = seek(page, FINISHED)
    box = page.locator("canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 340, box["y"] + 110, steps=4)
    page.mouse.up()
    frame(page)
    moved = seek(page, FINISHED)
    assert moved[0] - x == pytest.approx(40, abs=1)
    assert moved[1] - y == pytest.approx(10, abs=1)
    expect(page.locator(".rk-detail")).to_be_hidden()


def test_the_keyboard_walks_and_a_screen_reader_hears(page: Page) -> None:
    model = GraphModel()
    model.apply(
        batch(
            *pipeline(2),
            TaskInfo("A", "Counter.__init__", ACTOR, FINISHED, actor="A"),
            TaskInfo("c", "Counter.add", CALL, FINISHED, actor="A"),
        )
    )
    draw(page, model)
    canvas = page.locator("canvas")
    expect(canvas).to_have_attribute("aria-label", re.compile("^Task graph, 6 tasks: 2 wait"))
    canvas.focus()
    heard = page.locator("[aria-live=polite]")
    page.keyboard.press("ArrowDown")
    expect(heard).to_have_text("load, finished")
    page.keyboard.press("ArrowRight")
    expect(heard).to_have_text("train, waiting")
    page.keyboard.press("ArrowUp")
    expect(heard).to_contain_text("Counter")


def test_nothing_is_painted_while_nothing_changes(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline(4, RUNNING)))
    draw(page, model, frames=True)
    before = page.evaluate("frames_asked")
    page.wait_for_timeout(400)
    assert page.evaluate("frames_asked") == before


def test_it_moves_into_the_static_picture_and_out_again(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline()))
    load(page, model)
    picture = svg.bundle(model, "v1")["text/html"]
    page.evaluate("() => { window.leave = widget.initialize({model}); }")
    page.evaluate("(html) => { document.querySelector('main').innerHTML = html; }", picture)
    expect(page.locator("main canvas")).to_be_visible()
    expect(page.locator("main img")).to_be_hidden()
    assert {"hello": "in place"} in page.evaluate("sent")
    page.evaluate("() => { window.first = document.querySelector('canvas'); }")
    page.locator("canvas").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".rk-detail")).to_be_visible()
    page.evaluate("(html) => { document.querySelector('main').innerHTML = html; }", picture)
    assert page.evaluate("document.querySelector('canvas') === first"), "moved, not made again"
    expect(page.locator(".rk-detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".rk-detail")).to_be_hidden()
    page.evaluate("leave()")
    expect(page.locator("canvas")).to_have_count(0)
    expect(page.locator("main img")).to_be_visible()


def test_leaving_takes_everything_along(page: Page) -> None:
    model = GraphModel()
    model.apply(batch(*pipeline()))
    draw(page, model)
    page.evaluate("leave()")
    expect(page.locator(".raykernel-graph")).to_have_count(0)
    assert page.evaluate("Object.values(model.heard).flat().length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_follows_the_theme(page: Page, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    model = GraphModel()
    model.apply(batch(*pipeline()))
    draw(page, model)
    paper = page.evaluate("getComputedStyle(document.querySelector('.raykernel-graph')).background")
    assert ("255, 255, 255" in paper) == (scheme == "light")
    page.evaluate("document.body.style.setProperty('--jp-layout-color0', 'rgb(1, 2, 3)')")
    paper = page.evaluate("getComputedStyle(document.querySelector('.raykernel-graph')).background")
    assert "rgb(1, 2, 3)" in paper
