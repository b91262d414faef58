"""The views where there is no JupyterLab: in a page that offers anywidget's interface and nothing
else, with VS Code's colours, with Colab's, and with none."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from raykernel.runtime.events import FINISHED, EventBatch, TaskInfo
from raykernel.widgets import modules
from raykernel.widgets.subject import Subject
from tests.browser.afm import Host
from tests.browser.lab import browsing
from tests.browser.scenes import Scene

#: What of each view says that it was drawn.
SAYS = {
    "graph": "36 tasks",
    "timeline": "36 tasks",
    "cluster": "Session house-prices",
    "memory": "14 objects",
    "logs": "40 lines",
}

_VSCODE = """() => {
  document.body.className = "vscode-%s";
  const set = (name, value) => document.documentElement.style.setProperty(name, value);
  set("--vscode-editor-foreground", "%s");
  set("--vscode-editor-background", "%s");
  set("--vscode-descriptionForeground", "%s");
  document.body.style.background = "%s";
}"""
#: The system's theme, what the page does, and whether a view must be dark.
PAGES = {
    "light": ("light", "", False),
    "dark": ("dark", "() => { document.body.style.background = '#111'; }", True),
    "VS Code, dark": (
        "light",
        _VSCODE % ("dark", "#d4d4d4", "#1e1e1e", "rgba(204, 204, 204, 0.7)", "#1e1e1e"),
        True,
    ),
    "VS Code, light": ("dark", _VSCODE % ("light", "#000000", "#ffffff", "#717171", "#fff"), False),
    "Colab, dark": (
        "light",
        "() => { document.documentElement.setAttribute('theme', 'dark');"
        " document.body.style.background = '#383838'; }",
        True,
    ),
    "JupyterLab's dark body, without its style sheet": (
        "light",
        "() => { document.body.dataset.jpThemeLight = 'false';"
        " document.body.style.background = '#111'; }",
        True,
    ),
}

#: Of each text that can be seen: its contrast with what is behind it, if that is below 4.5 : 1.
PALE = """() => {
  const pen = Object.assign(document.createElement("canvas"), {width: 1, height: 1})
    .getContext("2d", {willReadFrequently: true});
  const over = (...colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => rgb.map((n) => n / 255)
    .map((n) => (n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4))
    .reduce((sum, n, at) => sum + n * [0.2126, 0.7152, 0.0722][at], 0);
  const seen = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  const pale = [];
  while (seen.nextNode()) {
    const node = seen.currentNode.parentElement;
    if (!seen.currentNode.textContent.trim() || !node.checkVisibility()) continue;
    if (node.closest(".rk-heard, .rk-spoken, option, :disabled")) continue;
    const behind = [];
    for (let each = node; each; each = each.parentElement) {
      behind.unshift(getComputedStyle(each).backgroundColor);
    }
    const paper = light(over("#fff", ...behind));
    const ink = light(over("#fff", ...behind, getComputedStyle(node).color));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < 4.5) pale.push([seen.currentNode.textContent, ratio.toFixed(2)]);
  }
  return pale;
}"""


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with browsing(chromium) as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 900, "height": 1200}, reduced_motion="reduce")
    expect.set_options(timeout=10_000)
    yield page
    page.close()


def subject(scene: Scene, kind: str) -> Subject:
    return next(model for model in scene.subjects() if model.kind == kind)


def fits(host: Host) -> None:
    """Nothing was complained of, fetched, or wider than its place."""
    assert host.errors == []
    assert [url for url in host.fetched if not url.startswith("blob:")] == []
    wide = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
    assert not host.page.evaluate(wide)


@pytest.mark.parametrize("kind", SAYS)
def test_a_view_needs_nothing_but_the_interface(page: Page, kind: str) -> None:
    host, scene = Host(page), Scene()
    model = subject(scene, kind)
    host.open(model, scene, late=True)
    host.render()
    host.render()
    expect(page.locator(f"main .raykernel-{kind}")).to_have_count(2)
    host.change("snapshot", model.snapshot())  # it comes after the views were drawn
    expect(page.locator("main").get_by_text(SAYS[kind])).to_have_count(2)
    task = TaskInfo("ff" * 24, "late", state=FINISHED, worker="4700", started=scene.time)
    task.submitted, task.ended = scene.time, scene.time + 1
    if model.apply(EventBatch([task], scene.time + 1)):
        delta = model.delta()
        assert delta is not None
        host.tell(delta)
        expect(page.locator("main").get_by_text("31 finished")).to_have_count(2)
    page.set_viewport_size({"width": 600, "height": 1200})
    fits(host)
    page.evaluate("() => host.views[0].life.abort()")  # one front end's way to end a view
    expect(page.locator(f"main .raykernel-{kind}")).to_have_count(1)
    page.evaluate("() => { host.views[1].leave(); host.views[1].life.abort(); }")
    expect(page.locator(f"main .raykernel-{kind}")).to_have_count(0)
    page.evaluate("() => { host.forget(); host.born.abort(); }")
    assert page.evaluate("() => host.model.listeners()") == 0
    assert host.errors == []


def test_questions_are_answered_though_messages_take_their_time(page: Page) -> None:
    host, scene = Host(page), Scene()
    host.open(subject(scene, "logs"), scene)
    host.render()
    page.get_by_label("Search the log files").fill("gaps")
    expect(page.locator(".rk-matches")).to_have_text("6 found")
    expect(page.locator(".rk-said mark").first).to_have_text("gaps")
    fits(host)


def test_the_progress_block_needs_nothing_but_the_interface(page: Page) -> None:
    host, scene = Host(page), Scene()
    state = {
        "snapshot": scene.progress(),
        "stopping": False,
        "background": False,
        "still": "",
        "view_id": "p",
    }
    source = modules.bundle("progress.js")
    host.load(source, modules.coloured("progress.css"), json.loads(json.dumps(state)))
    host.render()
    host.render()
    done = page.locator(".rk-title").get_by_text("32 of 36 tasks done")
    expect(done).to_have_count(2)
    waits = "2 wait for nodes with 1 CPU, 1 gold; 8 CPU"
    expect(page.locator(".rk-title").first).to_contain_text(waits)
    expect(page.get_by_role("status").first).to_contain_text(waits)
    expect(page.get_by_role("status").first).not_to_contain_text("left")
    page.get_by_role("button", name="Stop").first.click()
    asked = page.evaluate("() => host.model.asked.map((each) => each.type)")
    assert "stop" in asked
    page.set_viewport_size({"width": 600, "height": 1200})
    fits(host)
    page.evaluate("() => { host.views[0].life.abort(); host.views[1].leave(); }")
    assert page.evaluate("() => host.model.listeners()") == 0
    expect(page.locator("main .raykernel-progress")).to_have_count(0)


@pytest.mark.parametrize("name", PAGES)
def test_all_text_can_be_read_in_every_page(browser: Browser, name: str) -> None:
    scheme, dress, dark = PAGES[name]
    page = browser.new_page(viewport={"width": 760, "height": 2400}, color_scheme=scheme)  # type: ignore[arg-type]
    host, scene = Host(page, dress), Scene(functions=6, workers=3, actors=10)
    for model in scene.subjects():
        host.open(model, scene)
        host.render()
    state = {
        "snapshot": scene.progress(),
        "stopping": False,
        "background": False,
        "still": "",
        "view_id": "p",
    }
    source = modules.bundle("progress.js")
    host.load(source, modules.coloured("progress.css"), json.loads(json.dumps(state)))
    host.render()
    expect(page.locator(".raykernel-progress")).to_be_visible()
    assert page.evaluate(PALE) == []
    look = "(node) => [getComputedStyle(node).colorScheme, getComputedStyle(node).backgroundColor]"
    schemes = {
        tuple(page.locator(f".raykernel-{kind}").evaluate(look)) for kind in SAYS
    }  # all alike
    assert len(schemes) == 1
    ((told, paper),) = schemes
    assert told == ("dark" if dark else "light")
    red = int(paper.removeprefix("rgb(").partition(",")[0])
    assert (red < 100) == dark
    page.close()
