"""Counting a cell's tasks, and what the count looks like."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raykernel.runtime.events import (
    ACTOR,
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
    RUNNING,
    WAITING,
    Awaited,
    BarInfo,
    Finished,
    TaskInfo,
)
from raykernel.widgets.controls import Controls
from raykernel.widgets.progress import WIDGET_MIME, ProgressView
from raykernel.widgets.text import line, seconds, still_bundle, still_html
from raykernel.widgets.work import MAX_ROWS, CellWork, Row


def task(id: str, state: str, name: str = "f", **more: Any) -> TaskInfo:
    return TaskInfo(id, name, state=state, cell="c", **more)


def test_tasks_are_counted_by_function_where_they_are() -> None:
    work = CellWork(0.0)
    work.update(
        [
            task("1", WAITING),
            task("2", READY),
            task("3", RUNNING),
            task("4", FINISHED, "g"),
            task("5", FAILED, "g"),
            task("6", CANCELLED, "g"),
        ],
        0.0,
    )
    f, g = work.snapshot(1.0).rows
    assert f == Row("f", waiting=2, running=1)
    assert g == Row("g", done=1, failed=1, cancelled=1)
    assert work.live == 3


def test_a_task_moves_from_state_to_state() -> None:
    work = CellWork(0.0)
    for now, state in enumerate((WAITING, READY, RUNNING, READY, RUNNING, FINISHED)):
        work.update([task("1", state)], now)
    assert work.snapshot(6.0).rows == (Row("f", done=1),)
    assert work.live == 0


def test_rate_and_time_left_come_from_the_last_seconds() -> None:
    work = CellWork(0.0)
    work.update([task(str(i), WAITING) for i in range(100)], 0.0)
    first = work.snapshot(0.0)
    assert (first.rate, first.left) == (0.0, None)
    for second in range(1, 21):
        work.update([task(str(second), FINISHED)], second)
    for i in range(21, 41):
        work.update([task(str(i), FINISHED)], 20 + (i - 20) / 2)
    seen = work.snapshot(30.0)
    assert seen.rate == pytest.approx(2.0)
    assert seen.left == pytest.approx(60 / 2.0)


def test_no_time_left_is_told_for_a_function_of_which_no_task_has_ended() -> None:
    work = CellWork(0.0)
    work.update([task("w", RUNNING, "train"), task("1", RUNNING), task("2", RUNNING)], 0.0)
    work.update([task("1", FINISHED)], 1.0)
    assert work.snapshot(1.0).left is None
    work.update([task("w", FINISHED, "train")], 2.0)
    assert work.snapshot(2.0).left == pytest.approx(1.0)


def test_what_waits_for_a_node_is_said_and_no_time_left_is() -> None:
    work = CellWork(0.0)
    work.update([task("1", FINISHED), task("2", READY), task("3", READY, "gold")], 1.0)
    before = work.snapshot(2.0)
    work.awaited = (Awaited("c", "1 CPU, 1 gold", 1),)
    told = work.snapshot(2.0)
    assert line(told) == (
        "1 of 3 tasks done, 0 running, 1 waits for a node with 1 CPU, 1 gold: "
        "f 1 done, 1 waiting, gold 1 waiting"
    )
    assert "1 waits for a node with 1 CPU, 1 gold" in still_html(told)
    assert (before.waits, told.to_json()["waits"]) == ("", "1 waits for a node with 1 CPU, 1 gold")
    work.awaited = tuple(Awaited("c", f"{n} CPU", 1000) for n in (8, 9, 10, 11))
    many = work.snapshot(2.0)
    assert many.waits == "4,000 wait for nodes with 8 CPU; 9 CPU; 10 CPU; others"
    assert many.left is None
    work.update([task("2", RUNNING), task("3", RUNNING, "gold")], 3.0)
    assert work.snapshot(3.0).waits == ""  # the engine says so a moment later


def test_elapsed_time_ends_with_the_work() -> None:
    work = CellWork(1.0)
    work.update([task("1", RUNNING)], 1.0)
    assert work.snapshot(4.0).elapsed == 3.0
    work.update([task("1", FINISHED)], 5.0)
    assert work.snapshot(50.0).elapsed == 4.0


def test_a_list_corrects_the_count_and_later_events_do_not_count_twice() -> None:
    work = CellWork(0.0)
    work.update([task("1", RUNNING)], 0.0)
    work.replace([task("0", FINISHED), task("1", FINISHED), task("2", RUNNING)], 1.0)
    work.update([task("0", FINISHED), task("1", FINISHED), task("2", FINISHED)], 1.1)
    assert work.snapshot(2.0).rows == (Row("f", done=3),)


def test_a_list_that_has_forgotten_tasks_does_not_shrink_the_count() -> None:
    work = CellWork(0.0)
    work.update([task(str(i), FINISHED) for i in range(10)] + [task("10", RUNNING)], 0.0)
    work.replace([task("9", FINISHED), task("10", FAILED)], 1.0)
    assert work.snapshot(1.0).rows == (Row("f", done=10, failed=1),)


def test_quick_tasks_come_as_a_number() -> None:
    work = CellWork(0.0)
    work.finish(Finished("c", "f", "task", 40), 0.0)
    work.update([task("1", RUNNING)], 0.5)
    work.finish(Finished("c", "f", "task", 2), 1.0)
    assert work.snapshot(1.0).rows == (Row("f", running=1, done=42),)
    assert work.busy_since == 0.0


def test_a_pause_ends_the_stretch_of_work() -> None:
    work = CellWork(0.0)
    work.update([task("1", RUNNING)], 0.0)
    work.pause(9.0, after=0.5)
    assert work.busy_since == 0.0
    work.update([task("1", FINISHED)], 9.0)
    work.pause(9.4, after=0.5)
    assert work.busy_since == 0.0
    work.pause(9.5, after=0.5)
    assert work.busy_since is None
    work.update([task("2", RUNNING)], 20.0)
    assert work.busy_since == 20.0


def test_many_functions_share_a_last_row() -> None:
    work = CellWork(0.0)
    work.update([task(str(i), FINISHED, f"f{i}") for i in range(MAX_ROWS + 3)], 0.0)
    rows = work.snapshot(1.0).rows
    assert len(rows) == MAX_ROWS + 1
    assert rows[-1] == Row("3 other functions", done=3)


def test_the_line_names_what_is_not_zero() -> None:
    work = CellWork(0.0)
    work.update([task(str(i), FINISHED) for i in range(1200)], 0.0)
    work.update([task("a", FAILED, "g"), task("b", CANCELLED, "g")], 2.0)
    assert line(work.snapshot(2.0)) == (
        "1,202 tasks ended in 2.0 s (601/s): f 1,200 done, g 1 failed, 1 cancelled"
    )


def test_the_line_of_live_work_says_how_far_it_is() -> None:
    work = CellWork(0.0)
    work.update([task("1", RUNNING), task("2", WAITING), task("3", FINISHED)], 0.0)
    work.update([task("4", FINISHED)], 1.0)
    assert line(work.snapshot(2.0)) == (
        "2 of 4 tasks done, 1 running, about 2.0 s left: f 2 done, 1 running, 1 waiting"
    )
    assert line(work.snapshot(2.0), stopped=True).startswith(
        "2 of 4 tasks done when the session ended after 2.0 s"
    )


def test_methods_stand_under_their_class() -> None:
    work = CellWork(0.0)
    work.update([task("c", FINISHED, "Counter", kind=ACTOR), task("1", FINISHED)], 0.0)
    work.update([task(n, FINISHED, "Counter.add") for n in "234"], 0.0)
    work.update([task("5", FAILED, "Counter.get")], 4.0)
    assert line(work.snapshot(4.0)) == (
        "6 tasks ended in 4.0 s: Counter (1 actor, add 3 done, get 1 failed), f 1 done"
    )


def test_failures_alike_are_told_once_with_their_number() -> None:
    work = CellWork(0.0)
    for n in range(3):
        work.update([task(str(n), FAILED, error="ValueError: <no>")], 0.0)
    work.update([task("x", FAILED, error="KeyError: 'a'")], 0.0)
    seen = work.snapshot(1.0)
    assert [(f.error, f.task, f.count) for f in seen.failures] == [
        ("ValueError: <no>", "0", 3),
        ("KeyError: 'a'", "x", 1),
    ]
    html = still_html(seen)
    assert "<summary" in html
    assert "4 errors" in html
    assert "&times;3: ValueError: &lt;no&gt;" in html


def test_bars_count_towards_the_work_until_they_are_closed() -> None:
    work = CellWork(0.0)
    work.move(BarInfo("b", desc="train", n=3, total=12, elapsed=1.5), 0.0)
    assert work.busy_since == 0.0
    (bar,) = work.snapshot(0.0).bars
    assert (bar.label, bar.rate, bar.left) == ("train", 2.0, pytest.approx(4.5))
    assert work.snapshot(1.5).bars[0].rate == 1.0  # it rests
    work.pause(5.0, after=0.5)
    assert work.busy_since is not None
    work.move(BarInfo("b", desc="train", n=12, total=12, elapsed=6.0, closed=True), 6.0)
    work.pause(7.0, after=0.5)
    assert work.busy_since is None
    assert line(work.snapshot(7.0)) == "Done in 6.0 s  train 12/12 (100%)"
    work.move(BarInfo("text", drawn=True, text="10 files"), 7.0)
    work.move(BarInfo("text", drawn=True, closed=True), 7.0)
    assert [bar.label for bar in work.snapshot(7.0).bars] == ["train"]


def test_html_escapes_names_and_marks_failures_without_colour() -> None:
    work = CellWork(0.0)
    work.update([task("1", FAILED, "<lambda>")], 0.0)
    html = still_html(work.snapshot(1.0))
    assert "&lt;lambda&gt;" in html
    assert "<lambda>" not in html
    assert "1 failed" in html


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (59.6, "60 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")]
)
def test_seconds_read_well(value: float, text: str) -> None:
    assert seconds(value) == text


def test_the_view_shows_and_updates_and_its_button_stops_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    work = CellWork(0.0)
    work.update([task("1", RUNNING)], 0.0)
    pressed: list[str] = []
    controls = Controls(
        stop=lambda: pressed.append("stop"),
        background=lambda: pressed.append("background"),
        explain=lambda task: f"why {task} failed",
    )
    view = ProgressView(work.snapshot(1.0), controls)
    bundle = view.bundle(work.snapshot(1.0))
    assert bundle[WIDGET_MIME]["model_id"] == view.model_id
    assert bundle["text/plain"] == line(work.snapshot(1.0))
    assert json.loads(json.dumps(view.snapshot))["sum"]["running"] == 1
    view._message(view, {"type": "stop"}, [])
    view._message(view, {"type": "stop"}, [])
    assert pressed == ["stop"]
    assert view.stopping
    view._message(view, {"type": "background"}, [])
    assert pressed == ["stop", "background"]
    assert view.background
    sent: list[Any] = []
    monkeypatch.setattr(view, "send", sent.append)
    view._message(view, {"type": "explain", "task": "t1"}, [])
    assert sent == [{"type": "explained", "task": "t1", "text": "why t1 failed"}]
    view.close()


def test_the_still_form_refers_to_no_widget() -> None:
    assert set(still_bundle(CellWork(0.0).snapshot(0.0))) == {"text/plain", "text/html"}
