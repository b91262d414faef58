"""Every view in a real JupyterLab and a real Notebook 7, on a real session.

For each of them: it opens, follows the work, answers its buttons, comes back when the page is
loaded again in mid-run, and shows the numbers that the state API tells in the same kernel. Tasks
wait at gates that the test opens, so that nothing depends on how quick the machine is.

The tests of a front end share one page and one kernel (desk.py); each makes the work it looks at.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest
from playwright.sync_api import Locator, expect

from raykernel.widgets.style import LOOKS
from tests.browser.agreement import (
    agree,
    chips,
    cluster_agrees,
    comes,
    memory_agrees,
    summed,
    table,
)
from tests.browser.desk import FIRST, NEXT, VIEWS, WORK, Desk, sitting
from tests.browser.lab import FRONTS, NotebookPage, until

FILE_FORMS = {"text/html", "image/svg+xml", "text/plain"}
LARGEST = 200 * 1024  # bytes that a view may take in the file


@pytest.fixture(scope="module", params=FRONTS)
def desk(
    request: pytest.FixtureRequest, chromium: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Desk]:
    with sitting(tmp_path_factory.mktemp("d"), request.param, chromium) as desk:
        yield desk


@pytest.fixture(autouse=True)
def _nothing_amiss(desk: Desk) -> Iterator[None]:
    if not set(desk.ask("counts()")) <= {"finished", "failed", "cancelled"}:
        desk.ask(
            "__import__('raykernel.api').api.engine().cancel_all()"
        )  # a test that failed left it
        desk.rests()
    desk.ask("forget()")
    yield
    assert desk.book.complaints() == []


def progress_agrees(desk: Desk, cell: int) -> None:
    """The bars of a cell's progress say what `list_tasks` says of the cell, by function."""
    words = {"finished": "done", "ready": "waiting"}
    order = ["done", "running", "waiting", "failed", "cancelled"]

    def shown() -> dict[str, str]:
        bars = desk.progress().get_by_role("progressbar").all()
        told = {b.get_attribute("aria-label"): b.get_attribute("aria-valuetext") for b in bars}
        return {(name or "").partition(" ")[0]: text or "" for name, text in told.items()}

    listed: dict[str, Counter[str]] = {}
    for name, state in desk.ask(f"[(t.name, label(t)) for t in tasks({cell})]"):
        listed.setdefault(name, Counter())[words.get(state, state)] += 1
    wanted = {
        name: " · ".join(f"{states[word]} {word}" for word in order if states[word])
        for name, states in listed.items()
    }
    comes(shown, wanted)
    ended = sum(n for states in listed.values() for w, n in states.items() if w in order[:1])
    ended += sum(states["failed"] + states["cancelled"] for states in listed.values())
    total = sum(sum(states.values()) for states in listed.values())
    expect(desk.progress()).to_contain_text(f"{ended} of {total} tasks done")


def gates(name: str, n: int) -> list[str]:
    return [f"{name}{i}" for i in range(n)]


# -- all of them ---------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_views_follow_agree_and_come_back_while_a_cell_waits(desk: Desk) -> None:
    for name in VIEWS:
        expect(desk.view(name)).to_be_visible()
    before = desk.ask("counts()")
    cell = desk.work(
        "first = [wait.remote(f'a{n}') for n in range(4)]\n"
        "late = wait.remote('a3', *first)\n"
        "counter = Counter.remote()\n"
        "rest = [fail.remote(1), square.remote(2), counter.add.remote()]\n"
        "kept = ray.put(bytes(3 << 20))\n"
        "_ = ray.wait([*first, late, *rest], num_returns=8)"
    )
    expect(desk.progress()).to_be_visible()
    number = desk.number()
    held = summed(before, waiting=1, ready=2, running=2, finished=3, failed=1)
    agree(desk, held)
    progress_agrees(desk, number)
    files_hold_static_forms(desk)

    desk.page.reload()  # while the cell waits
    for name in VIEWS:
        expect(desk.view(name)).to_be_visible()
    agree(desk, held)
    progress_agrees(desk, number)
    assert desk.ask(f"counts({number})") == {
        "waiting": 1, "ready": 2, "running": 2, "finished": 3, "failed": 1
    }  # fmt: skip

    running = desk.ask("[t.task_id for t in tasks() if t.state == 'RUNNING']")
    desk.open_gate("a0")
    held = summed(before, waiting=1, ready=1, running=2, finished=4, failed=1)
    agree(desk, held)
    assert desk.ask("[t.task_id for t in tasks() if t.state == 'RUNNING']") != running
    progress_agrees(desk, number)

    desk.open_gate(*gates("a", 4))
    agree(desk, summed(before, finished=8, failed=1))
    still = cell.locator(".raykernel-progress-still:visible")
    expect(still).to_contain_text("9 tasks ended in")
    expect(still).to_contain_text("wait 5 done")
    expect(still).to_contain_text("fail 1 failed")
    expect(cell.get_by_role("button", name="Stop")).to_have_count(0)
    desk.rests()
    desk.ask("forget()")
    desk.work("del counter")
    desk.rests()
    comes(lambda: desk.ask("len(state.list_objects())"), 0)
    expect(desk.view("memory")).to_contain_text("Nothing is kept")
    expect(desk.view("cluster")).to_contain_text("1 dead")


def files_hold_static_forms(desk: Desk) -> None:
    """Save until the file holds each view as it is, in forms that need no kernel, and small."""

    def right() -> bool:
        desk.book.save()
        cells = nbformat.read(desk.book.path, 4).cells
        outputs = [output for cell in cells[WORK:] for output in cell.outputs]
        bundles = [output.data for output in outputs if "data" in output]
        return (
            len(bundles) >= len(VIEWS)
            and all(set(bundle) <= FILE_FORMS for bundle in bundles)
            and all(len(str(bundle)) < LARGEST for bundle in bundles)
        )

    until(right, "the file does not hold what it should")


# -- each one's buttons --------------------------------------------------------------------------


@pytest.mark.timeout(120)
def test_the_progress_blocks_bars_errors_and_buttons(desk: Desk) -> None:
    before = desk.ask("counts()")
    desk.work(
        "@ray.remote(num_cpus=0)\n"
        "def steps(gate):\n"
        "    bar = ray.util.tqdm(total=10, desc='stepping')\n"
        "    bar.update(4)\n"
        "    while not os.path.exists(gate): time.sleep(0.01)\n"
        "    bar.close()\n"
        "failed = [fail.remote(n) for n in (1, 1, 3)]\n"
        "last = steps.remote('b0'); ray.get(last)"
    )
    shown = desk.progress()
    expect(shown).to_contain_text("3 of 4 tasks done")
    # It has taken its place over the still form, where it stays.
    expect(desk.cell(WORK).locator(".rk-inhabited .raykernel-progress")).to_be_visible()
    expect(shown.locator(".rk-title")).to_contain_text(re.compile(r"\d s · [\d.]+/s"))
    bar = shown.get_by_role("progressbar", name="stepping")
    expect(bar).to_have_attribute("aria-valuenow", "4")
    expect(bar).to_have_attribute("aria-valuetext", re.compile(r"^40 % · 4/10"))
    shown.locator("summary", has_text="3 errors").press("Enter")
    expect(shown.get_by_text("fail \u00d72", exact=True)).to_be_visible()
    expect(shown.get_by_text("ValueError: odd <b>1</b>", exact=True)).to_be_visible()
    shown.get_by_role("button", name="Show traceback").first.click()
    expect(shown.locator("pre")).to_contain_text("raise ValueError(f'odd <b>{n}</b>')")

    # The button lets the cell go, and the cell behind it run; the work goes on, also on a page
    # that is loaded again.
    follower = desk.work("print('next cell')", NEXT)
    assert desk.book.runs(NEXT)
    shown.get_by_role("button", name="To the background").click()
    expect(follower.locator(".jp-OutputArea")).to_contain_text("next cell")
    desk.rests()
    assert desk.book.errors_of_cells() == []
    expect(shown.get_by_role("button", name="In the background")).to_be_disabled()
    desk.book.save()
    desk.page.reload()
    expect(shown).to_contain_text("3 of 4 tasks done")
    desk.open_gate("b0")
    still = desk.cell(WORK).locator(".raykernel-progress-still").last
    expect(still).to_contain_text("4 tasks ended in")
    agree(desk, summed(before, failed=3, finished=1))

    # Stop cancels what its cell waits for, and nothing else.
    before = desk.ask("counts()")
    desk.work("other = wait.remote('b1')", NEXT)
    comes(lambda: desk.ask("counts().get('running')"), 1)
    desk.work("ray.get([wait.remote('never') for _ in range(3)])")
    until(lambda: desk.book.runs(WORK), "the cell did not start")
    expect(shown).to_contain_text("0 of 3 tasks done")
    shown.get_by_role("button", name="Stop").click()
    until(lambda: not desk.book.runs(WORK), "the cell did not end")
    assert "TaskCancelledError" in desk.book.errors_of_cells()[0]
    still = desk.cell(WORK).locator(".raykernel-progress-still:visible")
    expect(still).to_contain_text("wait 3 cancelled")
    agree(desk, summed(before, running=1, cancelled=3))
    desk.open_gate("b1")
    desk.rests()
    agree(desk, summed(before, finished=1, cancelled=3))


@pytest.mark.timeout(120)
def test_the_graph_finds_unfolds_tells_and_stops(desk: Desk) -> None:
    before = desk.ask("counts()")
    desk.work(
        "story = [square.remote(2), fail.remote(7), wait.remote('c0')]\n"
        "_ = ray.wait(story, num_returns=3)"
    )
    comes(lambda: desk.ask("counts().get('running')"), 1)
    # Of one cell: its three tasks, whatever else there was.
    desk.open_gate("c0")
    desk.rests()
    told = desk.work(f"%ray graph --cell {desk.number()} --depth 1", NEXT)
    graph = told.locator(".raykernel-graph")
    comes(lambda: chips(graph), {"finished": 2, "failed": 1})
    x, y = middle(graph, "FAILED")
    canvas = graph.locator("canvas")
    canvas.hover(position={"x": x, "y": y})
    tip = graph.locator(".rk-tip")
    expect(tip).to_contain_text(re.compile(r"fail.*failed · [\d.]+ .?s · worker \d+", re.DOTALL))
    canvas.click(position={"x": x, "y": y})
    detail = graph.locator(".rk-detail")
    expect(detail.locator(".rk-error")).to_contain_text("ValueError: odd <b>7</b>")
    failed = desk.ask("next(t for t in tasks() if t.error_message and '7' in t.error_message)")
    expect(detail).to_contain_text(failed.task_id)
    expect(detail).to_contain_text(f"worker{failed.worker_pid}")
    detail.get_by_role("button", name="Debug").click()
    expect(detail).to_contain_text(f"%ray debug {failed.task_id}")
    graph.get_by_role("searchbox").fill("wait")
    expect(graph.locator(".rk-matches")).to_contain_text("1")
    graph.get_by_role("searchbox").press("Enter")
    detail.get_by_role("button", name="Log").click()
    expect(detail.locator("pre")).to_contain_text("at c0")
    canvas.press("Escape")
    expect(detail).to_be_hidden()
    canvas.press("ArrowDown")  # and not to the cell below
    expect(detail).to_be_visible()

    # Above 300 tasks they stand in groups, which unfold.
    desk.work("_ = ray.get([square.remote(n) for n in range(400)])")
    desk.rests()
    agree(desk, summed(before, finished=402, failed=1))
    graph = desk.view("graph")
    detail = graph.locator(".rk-detail")
    graph.get_by_role("searchbox").fill("square")
    graph.get_by_role("searchbox").press("Enter")
    expect(detail.locator("h4")).to_have_text("square")
    unfold = detail.get_by_role("button", name=re.compile(r"^Unfold \d+ tasks$"))
    unfold.click()
    fold = detail.get_by_role("button", name="Fold", exact=True)
    expect(fold).to_be_visible()
    fold.click()
    expect(unfold).to_be_visible()
    graph.get_by_role("searchbox").press("Escape")

    # Stop cancels all that it shows.
    before = desk.ask("counts()")
    desk.work("never = [wait.remote('never') for _ in range(5)]")
    agree(desk, summed(before, running=2, ready=3))
    desk.sure("graph", "Cancel the unfinished tasks shown here")
    agree(desk, summed(before, cancelled=5))


def middle(view: Locator, state: str) -> tuple[float, float]:
    """A point of the canvas where the first mark of that state is drawn, once it is."""
    color = next(look["color"] for look in LOOKS if look["state"] == state)
    found: list[Any] = []

    def seen() -> bool:
        found[:] = view.locator("canvas").evaluate(
            """(canvas, color) => {
              const {data, width} = canvas.getContext('2d')
                .getImageData(0, 0, canvas.width, canvas.height);
              const want = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
              const sharp = canvas.width / canvas.clientWidth, points = [];
              for (let i = 0; i < data.length; i += 4) {
                if (want.every((c, at) => data[i + at] === c) && data[i + 3] === 255)
                  points.push([(i / 4) % width / sharp, Math.floor(i / 4 / width) / sharp]);
              }
              const mid = (at) => points.reduce((sum, p) => sum + p[at], 0) / points.length;
              return points.length > 20 ? [mid(0), mid(1)] : [];
            }""",
            color,
        )
        return bool(found)

    until(seen, f"nothing {state.lower()} is drawn")
    return found[0], found[1]


@pytest.mark.timeout(120)
def test_the_timeline_zooms_tells_and_stops(desk: Desk) -> None:
    before = desk.ask("counts()")
    desk.work("held = [wait.remote('d0') for _ in range(2)]")
    agree(desk, summed(before, running=2))
    timeline = desk.view("timeline")
    canvas = timeline.locator("canvas")
    expect(canvas).to_have_attribute(
        "aria-label", re.compile(rf"^Timeline, {sum(before.values()) + 2} tasks in \d+ lanes?")
    )
    follow = timeline.get_by_role("button", name="Follow")
    expect(follow).to_have_attribute("aria-pressed", "false")
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "true")
    follow.click()
    desk.open_gate("d0")
    agree(desk, summed(before, finished=2))

    # At rest the picture changes with the buttons alone.
    def drawn() -> str:
        return str(canvas.evaluate("(canvas) => canvas.toDataURL()"))

    timeline.get_by_role("button", name="Show all").click()
    desk.page.mouse.move(1, 1)
    until(lambda: (one := drawn()) == (desk.page.wait_for_timeout(60) or drawn()) and one, "moves")
    whole = drawn()
    for name in ("Zoom in", "Zoom out"):
        timeline.get_by_role("button", name=name).click()
        until(lambda: drawn() != whole, f"{name} changes nothing")
        timeline.get_by_role("button", name="Show all").click()
        until(lambda: drawn() == whole, "Show all does not show all")
    waiting = timeline.get_by_role("button", name="Waiting")
    waiting.click()
    expect(waiting).to_have_attribute("aria-pressed", "true")
    waiting.click()

    # The first task, by the keyboard: what is told of it is what the state API tells.
    canvas.focus()
    canvas.press("ArrowRight")
    detail = timeline.locator(".rk-detail")
    expect(detail).to_contain_text(re.compile("id[0-9a-f]{20}"))
    told = re.search("id([0-9a-f]{20,})", detail.inner_text().replace("\n", ""))
    assert told is not None
    task = desk.ask(f"state.get_task('{told[1]}')")
    for words in (task.name, f"worker{task.worker_pid}", "ran"):
        expect(detail).to_contain_text(words)
    detail.get_by_role("button", name="Log").click()
    expect(detail.locator("pre")).to_be_visible()
    before_zoom = drawn()
    detail.get_by_role("button", name="Zoom to it").click()
    until(lambda: drawn() != before_zoom, "it does not zoom")
    detail.get_by_role("button", name="Close details").click()
    expect(detail).to_be_hidden()
    timeline.get_by_role("button", name="Show all").click()

    before = desk.ask("counts()")
    desk.work("never = [wait.remote('never') for _ in range(3)]")
    agree(desk, summed(before, running=2, ready=1))
    desk.sure("timeline", "Cancel the unfinished tasks shown here")
    agree(desk, summed(before, cancelled=3))


@pytest.mark.timeout(120)
def test_the_cluster_panel_kills_and_resizes(desk: Desk) -> None:
    before = desk.ask("counts()")
    desk.work(
        "one, two = Counter.options(name='one').remote(), Counter.options(name='two').remote()\n"
        "_ = ray.get([one.add.remote(), two.add.remote()])"
    )
    desk.rests()
    agree(desk, summed(before, finished=4))
    desk.sure("cluster", "Kill Counter one")
    states = "{a.name: a.state for a in state.list_actors() if a.name}"
    comes(lambda: desk.ask(states), {"one": "DEAD", "two": "ALIVE"})
    cluster_agrees(desk)
    desk.sure("cluster", "Kill Counter two")
    comes(lambda: desk.ask(states), {"one": "DEAD", "two": "DEAD"})
    cluster_agrees(desk)

    # One CPU more, and three tasks run at a time.
    panel = desk.view("cluster")
    desk.work("three = [wait.remote('e0') for _ in range(3)]")
    comes(lambda: desk.ask("counts()"), summed(before, finished=4, running=2, ready=1))
    panel.get_by_role("button", name="One CPU more").click()
    agree(desk, summed(before, finished=4, running=3))
    expect(panel.locator(".rk-meter-words").first).to_have_text("3 of 3 in use")
    desk.open_gate("e0")
    agree(desk, summed(before, finished=7))
    panel.get_by_role("button", name="One CPU fewer").click()
    expect(panel.locator(".rk-meter-words").first).to_contain_text("of 2 in use")
    assert desk.ask("ray.cluster_resources()['CPU']") == 2


@pytest.mark.timeout(120)
def test_memory_sorts_and_searches(desk: Desk) -> None:
    desk.work(
        "small, large = ray.put(bytes(1 << 20)), ray.put(bytes(5 << 20)); made = square.remote(9)"
    )
    desk.rests()
    comes(lambda: desk.ask("len(state.list_objects())"), 3)
    memory_agrees(desk)
    memory = desk.view("memory")

    def kept() -> list[str]:
        return [row[3].strip() for row in table(desk.view("memory"))]

    comes(kept, ["large", "small", "made"])
    head = memory.get_by_role("button", name="size")
    head.click()
    comes(kept, ["made", "small", "large"])
    expect(memory.locator("th").first).to_have_attribute("aria-sort", "ascending")
    memory.get_by_role("button", name="kept by").press("Enter")  # the notebook has a use for it too
    comes(kept, ["large", "made", "small"])
    memory.get_by_role("searchbox").fill("SQUARE")
    comes(kept, ["made"])
    expect(memory.locator(".rk-matches")).to_have_text("1 found")
    memory.get_by_role("searchbox").fill("no such thing")
    expect(memory).to_contain_text("No object fits.")
    memory.get_by_role("searchbox").fill("")
    memory.get_by_label("Kept by").select_option("actor")
    expect(memory).to_contain_text("No object fits.")
    memory.get_by_label("Kept by").select_option("variable")
    comes(kept, ["large", "made", "small"])
    memory.get_by_label("Kept by").select_option("")
    head.click()
    desk.work("del large, made")
    desk.rests()
    comes(kept, ["small"])
    memory_agrees(desk)
    desk.work("del small")
    desk.rests()


@pytest.mark.timeout(120)
def test_the_log_pane_searches_filters_and_follows(desk: Desk) -> None:
    desk.work(
        "@ray.remote(num_cpus=0)\n"
        "def chat(n):\n"
        "    for i in range(n): print('line', i)\n"
        "talker = Counter.options(name='talker').remote()\n"
        "_ = ray.get([chat.remote(60), talker.add.remote()])"
    )
    desk.rests()
    number = desk.number()
    logs = desk.view("logs")
    said = logs.locator(".rk-said")
    expect(said.filter(has_text=re.compile("^line ")).last).to_have_text("line 59")
    logs.get_by_role("searchbox").fill("LINE 5")
    expect(said).to_have_text(["line 5", *(f"line {n}" for n in range(50, 60))])
    expect(logs.locator("mark")).to_have_text(["line 5"] * 11)
    expect(logs.locator(".rk-matches")).to_have_text("11 found")
    logs.get_by_role("searchbox").fill("")
    logs.get_by_role("combobox", name="Task").select_option("chat")
    expect(said).to_have_count(60)
    logs.get_by_role("combobox", name="Task").select_option("")
    logs.get_by_role("combobox", name="Actor").select_option("talker")
    expect(said).to_have_text(["added"])
    logs.get_by_role("combobox", name="Actor").select_option("")
    logs.get_by_role("combobox", name="Cell").select_option(f"In[{number}]")
    expect(said).to_have_count(61)
    logs.get_by_role("combobox", name="Cell").select_option("")

    # Following: what comes stays in view; not so once it was turned off.
    follow = logs.get_by_role("button", name="Follow")
    lines = logs.locator(".rk-lines")
    down = "(box) => box.scrollHeight - box.scrollTop - box.clientHeight < 24"
    if follow.get_attribute("aria-pressed") == "false":
        follow.click()
    comes(lambda: lines.evaluate(down), True)
    desk.work("_ = ray.get(chat.remote(30))")
    expect(said.last).to_have_text("line 29")
    comes(lambda: lines.evaluate(down), True)
    follow.click()
    expect(follow).to_have_attribute("aria-pressed", "false")
    place = lines.evaluate("(box) => box.scrollTop")
    desk.work("_ = ray.get(chat.remote(20))")
    expect(said.last).to_have_text("line 19")
    assert lines.evaluate("(box) => box.scrollTop") == place
    desk.rests()
    desk.work("ray.kill(talker)")
    desk.rests()


# -- the end -------------------------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_a_session_ends_and_begins_from_the_panel_and_the_file_keeps_the_first(desk: Desk) -> None:
    page, book = desk.page, desk.book
    states = desk.ask("counts()")
    desk.open_views()  # a page that was loaded again does not know where the displays are
    agree(desk, states)
    desk.sure("cluster", "End the session with its tasks, actors and objects")
    for name in ("cluster", "memory"):
        expect(desk.view(name)).to_contain_text("No session is running.")
    assert desk.ask("ray.is_initialized()") is False
    panel = desk.view("cluster")
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(panel.locator(".rk-total")).to_contain_text("Session ")
    assert desk.ask("ray.is_initialized()") is True
    assert desk.ask("counts()") == {}
    comes(lambda: chips(panel), {})
    desk.work("ray.get(square.remote(3))")
    desk.rests()
    comes(lambda: chips(panel), {"finished": 1})
    desk.work("%ray stop")
    desk.rests()
    files_hold_static_forms(desk)
    lines = [f"{n:,} {state}" for state, n in states.items()]

    # Read with another kernel, which knows nothing of it, each view is there as a picture or table.
    book.lab.end_kernels()
    stranger = book.path.read_text().replace("%load_ext", "%reload_ext")
    (desk.folder / "stranger.ipynb").write_text(stranger)
    reader = NotebookPage(page, book.lab, "stranger.ipynb")
    reader.open()
    for at, name in enumerate(VIEWS, FIRST):
        shown = desk.cell(at).locator(".jp-OutputArea-output")
        expect(shown.first).to_be_visible()
        expect(page.locator(f".raykernel-{name}")).to_have_count(0)
    picture = desk.cell(FIRST).locator("img[alt^='Task graph of']")
    expect(picture).to_be_visible()
    assert picture.evaluate("(img) => img.naturalWidth") > 100
    told = picture.get_attribute("alt") or ""
    assert all(line in told for line in lines), (told, lines)
