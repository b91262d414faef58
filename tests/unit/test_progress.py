"""Counting a cell's tasks, and what the count looks like."""

from __future__ import annotations

import json

import pytest

from raykernel.runtime.events import (
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
    RUNNING,
    WAITING,
    TaskInfo,
)
from raykernel.widgets.progress import WIDGET_MIME, ProgressView
from raykernel.widgets.text import line, seconds, still_bundle, still_html
from raykernel.widgets.work import MAX_ROWS, CellWork, Row


def task(id: str, state: str, name: str = "f") -> TaskInfo:
    return TaskInfo(id, name, state=state, cell="c")


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


def test_the_view_shows_and_updates_and_its_button_stops_once() -> None:
    work = CellWork(0.0)
    work.update([task("1", RUNNING)], 0.0)
    pressed: list[int] = []
    view = ProgressView(work.snapshot(1.0), lambda: pressed.append(1))
    bundle = view.bundle(work.snapshot(1.0))
    assert bundle[WIDGET_MIME]["model_id"] == view.model_id
    assert bundle["text/plain"] == line(work.snapshot(1.0))
    assert json.loads(json.dumps(view.snapshot))["sum"]["running"] == 1
    view._message(view, {"type": "stop"}, [])
    view._message(view, {"type": "stop"}, [])
    assert pressed == [1]
    assert view.stopping
    view.close()


def test_the_still_form_refers_to_no_widget() -> None:
    assert set(still_bundle(CellWork(0.0).snapshot(0.0))) == {"text/plain", "text/html"}
