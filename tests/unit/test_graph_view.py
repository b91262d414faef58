"""When the graph's output is live and when it is a picture, and what its browser is told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import FAILED, FINISHED, RUNNING, TaskInfo
from raykernel.widgets import modules, view
from raykernel.widgets.follower import SNAPSHOT_EVERY
from raykernel.widgets.graph import GraphView
from raykernel.widgets.pump import Step
from raykernel.widgets.view import IDLE, REFRESH_EVERY, WIDGET

STATIC = {"image/svg+xml", "text/html", "text/plain"}


class HandPump:
    """Steps only when the test says so."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.woken = 0
        self.stopped = False

    def wake(self) -> None:
        self.woken += 1

    def stop(self) -> None:
        self.stopped = True


class Desk:
    """A view with its engine, what it published and what it sent; `at` plays a step."""

    def __init__(self, cell: str = "") -> None:
        self.engine = FakeEngine()
        self.published: list[tuple[dict[str, Any], str, bool]] = []
        self.sent: list[dict[str, Any]] = []
        self.now = 100.0
        self.view = self.another(cell)

    def another(self, cell: str = "") -> GraphView:
        view = GraphView(
            self.engine, cell, publish=self.publish, pump=HandPump, clock=lambda: self.now
        )
        view.send = self.sent.append
        return view

    def publish(self, data: dict[str, Any], display_id: str, update: bool) -> None:
        json.dumps(data)
        self.published.append((data, display_id, update))

    def task(self, name: str, state: str = RUNNING, **more: Any) -> None:
        self.engine.put_task(TaskInfo(name, name[0], state=state, **more))
        self.engine.flush()

    def at(self, now: float) -> float | None:
        self.now = 100.0 + now
        return self.view.step(self.now)

    def forms(self) -> list[str]:
        return ["live" if WIDGET in data else "static" for data, _, _ in self.published]

    def hear(self, hello: str) -> None:
        self.view._handle_custom_msg({"hello": hello}, [])


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    yield desk
    view.close_all()
    desk.view.close()


def test_the_first_output_is_live_and_holds_the_static_forms_too(desk: Desk) -> None:
    desk.task("f1", FINISHED)
    desk.view.show()
    [(data, display_id, update)] = desk.published
    assert set(data) == {*STATIC, WIDGET}
    assert data[WIDGET]["model_id"] == desk.view.model_id
    assert display_id
    assert not update
    assert data["text/plain"] == "task graph, 1 task: 1 finished\n  f  1 finished"
    assert len(desk.view.snapshot["nodes"]) == 1


def test_it_settles_once_when_the_work_has_rested(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    assert desk.at(0.1) == IDLE
    desk.task("f1", FINISHED)
    assert desk.at(0.5) == pytest.approx(IDLE)
    assert desk.at(0.5 + IDLE / 2) == pytest.approx(IDLE / 2)
    assert desk.forms() == ["live"]
    assert desk.at(0.6 + IDLE) is None
    assert desk.at(9.0) is None
    assert desk.forms() == ["live", "static"]
    data, display_id, update = desk.published[1]
    assert set(data) == STATIC
    assert (display_id, update) == (desk.published[0][1], True)
    assert "1 finished" in data["text/plain"]


def test_work_that_goes_on_after_a_pause_does_not_settle(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1", FINISHED)
    desk.at(0.1)
    desk.task("f2")
    desk.at(0.1 + IDLE)
    assert desk.forms() == ["live"]


def test_in_other_front_ends_it_wakes_up_for_more_work(desk: Desk) -> None:
    desk.view.show()
    desk.hear("view")
    desk.task("f1", FINISHED)
    desk.at(0.1)
    desk.at(0.2 + IDLE)
    desk.task("f2")
    desk.at(5.0)
    desk.task("f2", FINISHED)
    desk.at(6.0)
    desk.at(6.1 + IDLE)
    assert desk.forms() == ["live", "static", "live", "static"]


def test_drawn_in_place_the_output_stays_static_and_is_refreshed(desk: Desk) -> None:
    desk.view.show()
    desk.hear("in place")
    desk.task("f1")
    desk.at(0.1)
    desk.task("f2")
    desk.at(1.0)
    assert desk.forms() == ["live", "static"]
    desk.at(0.2 + REFRESH_EVERY)
    assert desk.forms() == ["live", "static", "static"]
    assert "2 running" in desk.published[-1][0]["text/plain"]
    desk.at(0.4 + 2 * REFRESH_EVERY)
    assert len(desk.published) == 3, "nothing has changed"


def test_a_cells_end_settles_when_no_browser_is_there(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    desk.engine.tasks["f1"] = TaskInfo("f1", "f", state=FINISHED)  # the feed has not said so yet
    desk.view._cell_ended()
    assert desk.forms() == ["live", "static"]
    assert "1 finished" in desk.published[1][0]["text/plain"]
    desk.task("f2")
    desk.view._cell_ended()
    assert desk.forms() == ["live", "static", "static"]
    assert "1 running" in desk.published[2][0]["text/plain"]


def test_a_cells_end_leaves_a_live_view_that_is_looked_at(desk: Desk) -> None:
    desk.view.show()
    desk.hear("view")
    desk.task("f1")
    desk.view._cell_ended()
    assert desk.forms() == ["live"]


def test_a_session_that_is_gone_closes_the_view(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")

    def gone(*_: Any, **__: Any) -> Any:
        raise ConnectionError("the session has ended")

    desk.engine.query = gone  # type: ignore[method-assign]
    desk.view._cell_ended()
    assert desk.forms() == ["live", "static"]
    assert view._open == {}


def test_the_browser_gets_deltas_between_snapshots(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    desk.at(0.2)
    desk.task("f2")
    desk.at(0.4)
    assert [len(message["nodes"]) for message in desk.sent] == [1, 1]
    assert desk.sent[1]["base"] == desk.sent[0]["version"]
    desk.task("f3")
    desk.at(SNAPSHOT_EVERY)
    assert len(desk.sent) == 2
    assert len(desk.view.snapshot["nodes"]) == 3
    desk.at(SNAPSHOT_EVERY + 0.1)
    assert len(desk.sent) == 2, "nothing has changed"


def test_a_page_that_missed_a_delta_is_healed_though_nothing_more_happens(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    assert desk.at(0.1) is not None
    assert desk.view.snapshot["nodes"] == []
    desk.at(0.1 + SNAPSHOT_EVERY)
    assert len(desk.view.snapshot["nodes"]) == 1


def test_a_page_opened_at_rest_finds_everything_in_the_snapshot(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    desk.at(0.1)
    desk.task("f1", FAILED, error="ValueError: no")
    desk.at(0.2)
    assert desk.view.snapshot["counts"] == [0, 0, 0, 0, 1, 0]
    assert desk.view.snapshot["failures"] == [["f", "ValueError: no", 1, "f1"]]


def test_it_shows_one_cell_if_told_so() -> None:
    desk = Desk(cell="a")
    desk.task("f1", cell="a")
    desk.task("g1", cell="b")
    desk.view.show()
    desk.task("g2", cell="b")
    desk.at(0.1)
    desk.view.close()
    assert desk.view.text() == "task graph, 1 task: 1 running\n  f  1 running"


def test_closing_settles_for_good_and_lets_go(desk: Desk) -> None:
    desk.view.show()
    desk.task("f1")
    desk.view.close()
    desk.view.close()
    assert desk.forms() == ["live", "static"]
    assert "data-raykernel-view" not in desk.published[1][0]["text/html"]
    assert desk.engine._sinks == {}
    desk.task("f2")
    assert desk.at(9.0) is None
    assert len(desk.published) == 2


def test_showing_another_ends_the_first(desk: Desk) -> None:
    desk.view.show()
    other, elsewhere = desk.another(), desk.another(cell="a")
    other.show()
    elsewhere.show()
    assert desk.forms() == ["live", "static", "live", "live"]
    assert set(view._open.values()) == {other, elsewhere}
    other.show()
    assert desk.forms()[-1] == "live"
    assert len(desk.engine._sinks) == 2


def test_text_needs_no_display(desk: Desk) -> None:
    desk.task("f1", FINISHED)
    assert desk.view.text() == "task graph, 1 task: 1 finished\n  f  1 finished"
    assert desk.published == []


def test_the_module_and_its_style_are_sent_along(desk: Desk) -> None:
    state = desk.view.get_state()
    assert state["_esm"] == modules.bundle("graph.js")
    assert state["_css"] == modules.styles()


def test_what_is_sent_is_bounded(desk: Desk) -> None:
    """Many small tasks a second: the browser gets no more bytes a second than is allowed."""
    desk.view.show()
    sizes = []
    for n in range(100):  # ten seconds, 2,000 tasks a second
        for m in range(200):
            desk.engine.put_task(TaskInfo(f"{n}.{m}", f"function {m}", state=FINISHED))
        desk.engine.put_task(TaskInfo("runs", "runs", state=RUNNING))
        desk.engine.flush()
        before = desk.view.snapshot["version"]
        desk.at(n / 10)
        sizes += [len(json.dumps(message)) for message in desk.sent]
        desk.sent.clear()
        if desk.view.snapshot["version"] != before:
            sizes.append(len(json.dumps(desk.view.snapshot)))
    assert sum(sizes) / 10 <= 200 * 1024


def test_before_a_session_the_view_waits_and_fills_when_one_starts() -> None:
    desk = Desk()
    desk.view.close()
    waiting = GraphView(None, publish=desk.publish, pump=HandPump, clock=lambda: desk.now)
    waiting.show()
    assert desk.forms() == ["live"]
    desk.task("f1")
    view.session_changed(desk.engine)
    assert len(waiting.snapshot["nodes"]) == 1
    view.session_changed(None)
    assert desk.forms() == ["live", "static"]
    assert view._open == {}


def test_a_view_that_comes_late_sees_the_inputs_of_what_runs(desk: Desk) -> None:
    desk.task("l1", FINISHED, submitted=1.0)
    desk.task("t1", RUNNING, submitted=2.0, deps=["l1"])
    desk.view.show()
    assert [edge[:2] for edge in desk.view.snapshot["edges"]] == [[0, 1]]
