"""The views for people who use the keyboard, a screen reader, or want nothing to move; on the
dashboard, which shows all of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import raykernel as ray
from raykernel.util import state
from tests.browser.dash import dashboard
from tests.browser.lab import browsing, until

CONTROLS = (
    ".raykernel-view :is(button, input, select, summary, canvas, [tabindex='0']):not(:disabled)"
)
#: What a screen reader would say of the controls that can be seen, by a number given to each.
LIST = (
    "(controls) => [...document.querySelectorAll(controls)]"
    ".filter((node) => node.checkVisibility())"
    ".map((node, n) => { node.dataset.number = n; return n; })"
)
FOCUS = """() => {
  const node = document.activeElement, style = getComputedStyle(node);
  return [node.dataset.number ?? null, style.outlineStyle, parseFloat(style.outlineWidth)];
}"""


@pytest.fixture(scope="module")
def page(chromium: str) -> Iterator[Page]:
    session = ray.init(num_cpus=2)["session_name"]

    @ray.remote
    def fail() -> None:
        print("about to fail")
        raise ValueError("on purpose")

    @ray.remote
    class Counter:
        def add(self) -> int:
            return 1

    counter = Counter.remote()
    kept = ray.put(bytes(1 << 20))
    ray.wait([fail.remote(), counter.add.remote()], num_returns=2)
    with dashboard(session) as (address, _), browsing(chromium) as browser:
        page = browser.new_page(reduced_motion="reduce", viewport={"width": 1000, "height": 900})
        expect.set_options(timeout=20_000)
        page.goto(address)
        expect(page.locator(".raykernel-memory")).to_contain_text("1.0 MiB")
        expect(page.locator(".raykernel-logs .rk-said")).to_have_count(1)
        expect(page.get_by_role("button", name="Kill Counter")).to_be_visible()
        yield page
    del kept
    ray.shutdown()


def test_tab_reaches_every_control_and_shows_where_it_is(page: Page) -> None:
    wanted = set(page.evaluate(LIST, CONTROLS))
    assert len(wanted) > 20
    page.evaluate("() => document.body.focus()")
    reached: dict[str, Any] = {}
    for _ in range(3 * len(wanted)):
        page.keyboard.press("Tab")
        number, line, width = page.evaluate(FOCUS)
        if number is not None:
            reached[number] = (line, width)
    assert {int(number) for number in reached} == wanted
    assert all(line == "solid" and width >= 2 for line, width in reached.values())


def test_every_control_and_view_has_a_name_and_a_role(page: Page) -> None:
    views = page.locator("section:has(.raykernel-view)")
    expect(views).to_have_count(5)
    for kind in ("graph", "timeline"):
        expect(page.locator(f".raykernel-{kind} canvas")).to_have_attribute("role", "application")
        told = page.locator(f".raykernel-{kind} canvas").get_attribute("aria-label")
        assert told is not None
        assert "task" in told
    for view in views.all():
        tree = view.aria_snapshot()
        for line in tree.splitlines():
            role = line.strip().lstrip("- ").partition(" ")[0].rstrip(":")
            if role in ("button", "searchbox", "combobox", "application", "meter", "log"):
                assert '"' in line, f"no name: {line}"
    expect(page.get_by_role("meter", name="Object store")).to_have_count(2)
    expect(page.get_by_role("log", name="Task output")).to_be_visible()
    expect(page.get_by_role("combobox", name="Kept by")).to_be_visible()


def test_the_keyboard_walks_sorts_and_kills(page: Page) -> None:
    canvas = page.locator(".raykernel-graph canvas")
    canvas.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".raykernel-graph .rk-detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator(".raykernel-graph .rk-detail")).to_be_hidden()

    size = page.locator(".raykernel-memory th").first
    expect(size).to_have_attribute("aria-sort", "descending")
    size.get_by_role("button").focus()
    page.keyboard.press("Enter")
    expect(size).to_have_attribute("aria-sort", "ascending")

    page.get_by_role("button", name="Kill Counter").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Space")
    until(lambda: state.list_actors()[0].state == "DEAD", "it was not killed")


def test_nothing_moves_for_those_who_want_it_calm(page: Page) -> None:
    moving = page.evaluate(
        """() => [...document.querySelectorAll(".raykernel-view, .raykernel-view *")]
             .filter((node) => getComputedStyle(node).transitionDuration !== "0s"
                            || getComputedStyle(node).animationName !== "none")
             .map((node) => node.className)"""
    )
    assert moving == []
    assert page.evaluate("() => document.getAnimations().length") == 0
