"""What is published for which cell and when, played on a fake engine with a clock of ours."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raykernel.cells import Cell
from raykernel.own_cells import OwnCells
from raykernel.reporter import Reporter
from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import (
    FINISHED,
    READY,
    RUNNING,
    Awaited,
    BarInfo,
    EventBatch,
    LogLine,
    TaskInfo,
)
from raykernel.widgets.controls import Controls
from raykernel.widgets.work import Snapshot


class Cells:
    """Stands for a CellTracker."""

    def __init__(self) -> None:
        self.now: list[str] = []

    def current(self) -> str:
        return self.now[-1] if self.now else "latest"

    def is_running(self, cell: str) -> bool:
        return cell in self.now

    def ran(self, cell: str) -> bool:
        return not cell.startswith("other notebook")


class Screen:
    """Stands for a Publisher: writes down what it is told."""

    def __init__(self) -> None:
        self.said: list[Any] = []
        self.stops: dict[str, Callable[[], object]] = {}
        self.controls: dict[str, Controls] = {}

    def stream(self, cell: str, name: str, text: str) -> None:
        self.said.append((cell, name, text))

    def cell_ends(self) -> None:
        pass

    def progress(self, cell: str, controls: Controls) -> Display:
        self.stops[cell] = controls.stop
        self.controls[cell] = controls
        return Display(self, cell)


class Display:
    def __init__(self, screen: Screen, cell: str) -> None:
        self.screen, self.cell = screen, cell

    def update(self, snapshot: Snapshot) -> None:
        self.screen.said.append((self.cell, "live", snapshot.live))

    def cell_ended(self, snapshot: Snapshot) -> None:
        self.screen.said.append((self.cell, "cell ended", snapshot.live))

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        self.screen.said.append((self.cell, "stopped" if stopped else "settled", snapshot.live))


class Play:
    def __init__(self, delay: float | None = 0.5, own: OwnCells | None = None) -> None:
        self.time = 0.0
        self.engine = FakeEngine()
        self.cells: Any = Cells()
        self.screen: Any = Screen()
        self.released: list[str] = []
        self.reporter = Reporter(
            self.engine,
            self.cells,
            self.screen,
            delay,
            clock=lambda: self.time,
            release=self.released.append,
            own=own,
        )
        self.reporter.listen()

    def tasks(self, state: str, *ids: str, cell: str = "c") -> None:
        for id in ids:
            self.engine.put_task(TaskInfo(id, "f", state=state, cell=cell))
        self.engine.flush()

    def at(self, time: float) -> list[Any]:
        """What is published by a step at this time."""
        self.time = time
        self.reporter.step()
        said, self.screen.said = self.screen.said, []
        return said


@pytest.fixture
def play() -> Play:
    made = Play()
    made.cells.now = ["c"]
    return made


def test_short_work_shows_nothing(play: Play) -> None:
    play.tasks(RUNNING, "1")
    assert play.at(0.0) == []
    play.tasks(FINISHED, "1")
    assert play.at(0.3) == []
    play.cells.now = []
    assert play.at(0.9) == []


def test_long_work_shows_after_the_delay_and_settles_when_cell_and_work_ended(play: Play) -> None:
    play.tasks(RUNNING, "1", "2")
    assert play.at(0.0) == []
    assert play.at(0.4) == []
    assert play.at(0.5) == [("c", "live", 2)]
    play.tasks(FINISHED, "1")
    assert play.at(0.6) == []  # not more often than five times a second
    assert play.at(0.75) == [("c", "live", 1)]
    play.cells.now = []
    assert play.at(1.0) == [("c", "live", 1)]
    play.tasks(FINISHED, "2")
    assert play.at(1.1) == [("c", "settled", 0)]
    assert play.at(9.0) == []


def test_a_running_cell_keeps_its_progress_live_between_bursts(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.tasks(FINISHED, "1")
    assert play.at(1.0) == [("c", "live", 0)]
    play.tasks(RUNNING, "2")
    assert play.at(5.0) == [("c", "live", 1)]


def test_many_short_tasks_in_a_row_count_as_long_work(play: Play) -> None:
    for i in range(6):
        play.tasks(FINISHED, str(i))
        said = play.at(i / 10)
    assert said == [("c", "live", 0)]


def test_rare_short_tasks_do_not(play: Play) -> None:
    for i in range(5):
        play.tasks(FINISHED, str(i))
        assert play.at(float(i)) == []
        assert play.at(i + 0.6) == []


def test_background_work_is_shown_under_its_ended_cell() -> None:
    play = Play()
    play.tasks(RUNNING, "1", cell="a")
    play.tasks(RUNNING, "2", "3", cell="b")
    play.at(0.0)
    assert play.at(0.5) == [("a", "live", 1), ("b", "live", 2)]
    play.tasks(FINISHED, "1", cell="a")
    assert play.at(0.6) == [("a", "settled", 0)]


def test_stop_cancels_that_cells_work(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.screen.stops["c"]()
    assert play.engine.cancelled_cells == ["c"]


def test_the_background_button_lets_the_cell_go_and_keeps_its_work(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.screen.controls["c"].background()
    assert play.released == ["c"]
    assert play.engine.cancelled_cells == []


def test_a_bar_is_shown_where_it_was_moved_last(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.engine.move(BarInfo("b", cell="c", n=1))
    play.at(0.0)
    assert len(play.reporter._work["c"].work.snapshot(0.0).bars) == 1
    play.cells.now = ["c", "d"]
    play.engine.move(BarInfo("b", cell="d", n=2))
    play.at(0.1)
    assert len(play.reporter._work["c"].work.snapshot(0.0).bars) == 0
    assert len(play.reporter._work["d"].work.snapshot(0.0).bars) == 1
    play.cells.now = []
    play.engine.move(BarInfo("b", cell="gone", n=3))  # no view comes back for it
    play.at(0.2)
    assert "gone" not in play.reporter._work


def test_a_failed_tasks_traceback_can_be_asked_for(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.engine.answers["failure"] = {"text": "Traceback: boom", "message": "boom"}
    assert play.screen.controls["c"].explain("1") == "Traceback: boom"
    play.engine.answers["failure"] = {}
    assert "gone" in play.screen.controls["c"].explain("1")


def test_the_end_of_a_cell_publishes_what_is_known_by_then(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.engine.put_task(TaskInfo("1", "f", state=FINISHED, cell="c"))  # not flushed yet
    play.engine.write(LogLine("c", "1", "f", "7", "stdout", "bye\n"))
    play.cells.now = []
    play.reporter.cell_ended(Cell("c"), interrupted=False)
    assert play.screen.said == [("c", "stdout", "(f pid=7) bye\n"), ("c", "settled", 0)]
    assert play.engine.cancelled_cells == []
    play.screen.said.clear()
    play.engine.flush()
    assert play.at(0.7) == []


def test_a_display_hears_of_its_cells_end_if_work_is_left(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.screen.said.clear()
    play.cells.now = []
    play.reporter.cell_ended(Cell("c"), interrupted=False)
    assert play.screen.said == [("c", "cell ended", 1)]


def test_an_answer_older_than_an_event_does_not_undo_it(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.screen.said.clear()
    play.cells.now = []
    query, overtaken = play.engine.query, []

    def slow(what: str, **filters: Any) -> Any:
        answer = [copy.copy(task) for task in query(what, **filters)]
        if not overtaken:
            overtaken.append(True)
            play.tasks(FINISHED, "1")  # arrives between the answer and its use
        return answer

    monkeypatch.setattr(play.engine, "query", slow)
    play.reporter.cell_ended(Cell("c"), interrupted=False)
    assert play.screen.said == [("c", "settled", 0)]


def test_a_cell_that_waited_for_anothers_work_sees_it_settle(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.cells.now = []
    play.at(0.0)
    play.at(0.5)
    play.screen.said.clear()
    play.engine.put_task(TaskInfo("1", "f", state=FINISHED, cell="c"))  # not flushed yet
    play.reporter.cell_ended(Cell("waits"), interrupted=True)
    assert play.screen.said == [("c", "settled", 0)]
    assert play.engine.cancelled_cells == []


def test_an_interrupted_cell_takes_its_work_along(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.screen.said.clear()
    play.cells.now = []
    play.reporter.cell_ended(Cell("c"), interrupted=True)
    assert play.engine.cancelled_cells == ["c"]
    assert play.screen.said == [("c", "settled", 0)]


def test_a_cell_without_tasks_costs_no_question(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(play.engine, "query", lambda *a, **k: pytest.fail("asked"))
    play.reporter.cell_ended(Cell("other"), interrupted=True)
    assert play.engine.cancelled_cells == []


def test_work_of_another_notebook_that_uses_the_session_is_not_shown(play: Play) -> None:
    play.tasks(RUNNING, "t", cell="other notebook's")
    play.engine.write(LogLine("other notebook's", "1", "f", "7", "stdout", "x\n"))
    assert play.at(0.6) == []


def test_work_of_this_notebooks_cells_from_before_a_restart_is_shown(tmp_path: Path) -> None:
    OwnCells(tmp_path).note("before")
    play = Play(own=OwnCells(tmp_path))
    for cell in ("before", "other notebook's"):
        play.engine.write(LogLine(cell, "1", "f", "7", "stdout", "x\n"))
    assert play.at(0.6) == [("before", "stdout", "(f pid=7) x\n")]


def test_output_of_code_outside_cells_goes_to_the_current_one(play: Play) -> None:
    play.engine.write(LogLine("", "", "", "7", "stderr", "x\n"))
    assert play.at(0.0) == [("c", "stderr", "(pid=7) x\n")]


def test_the_sessions_end_settles_everything(play: Play) -> None:
    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    play.screen.said.clear()
    play.reporter.close()
    assert play.screen.said == [("c", "stopped", 1)]
    play.screen.said.clear()
    play.tasks(RUNNING, "2")
    play.engine.write(LogLine("c", "1", "f", "7", "stdout", "x\n"))
    assert play.at(2.0) == []


def test_the_thread_publishes_by_itself(play: Play) -> None:
    play.reporter.close()
    reporter = Reporter(play.engine, play.cells, play.screen, progress_delay=0.0)
    reporter.start()
    play.tasks(RUNNING, "1")
    reporter.close()
    assert ("c", "stopped", 1) in play.screen.said


def test_a_failing_display_is_reported_once_and_output_goes_on(
    play: Play, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, heard = threading.Semaphore(0), threading.Event()

    def fail(*_: object) -> None:
        failed.release()
        raise OSError("no display")

    def stream(*_: object) -> None:
        heard.set()

    monkeypatch.setattr(Display, "update", fail)
    monkeypatch.setattr(play.screen, "stream", stream)
    play.reporter.close()
    reporter = Reporter(play.engine, play.cells, play.screen, progress_delay=0.0)
    reporter.start()
    play.tasks(RUNNING, "1")
    for _ in range(2):
        assert failed.acquire(timeout=10)
    play.engine.write(LogLine("c", "1", "f", "7", "stdout", "on\n"))
    assert heard.wait(10)
    reporter.close()
    assert [r.getMessage() for r in caplog.records] == ["showing a cell's work failed"]


def test_a_session_can_end_whatever_fails(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("gone")

    play.tasks(RUNNING, "1")
    play.at(0.0)
    play.at(0.5)
    monkeypatch.setattr(Display, "settle", fail)
    monkeypatch.setattr(play.engine, "on_submit", fail)
    play.reporter.close()


def test_lost_events_are_asked_for_again(play: Play) -> None:
    play.tasks(RUNNING, "1", "2")
    play.at(0.0)
    play.engine.tasks["1"].state = FINISHED  # and no event
    play.reporter._on_batch(EventBatch([], 0.0, dropped=3))
    play.at(0.5)
    play.reporter._catch_up(["c"])
    play.screen.said.clear()
    assert play.at(1.0) == [("c", "live", 1)]


def test_what_waits_for_a_node_is_shown_by_its_cell(play: Play) -> None:
    play.cells.now = ["c", "d"]
    play.tasks(READY, "1")
    play.tasks(READY, "2", cell="d")
    play.at(0.0)
    play.at(0.5)
    awaited = [Awaited("c", "1 gold", 2), Awaited("e", "1 silver", 1)]
    said = "2 wait for a node with 1 gold"
    for told, shown in ((awaited, said), (None, said), ([], "")):
        play.reporter._on_batch(EventBatch([], 0.0, awaited=told))
        play.at(play.time + 1)
        work = {c: each.work.snapshot(play.time) for c, each in play.reporter._work.items()}
        assert (work["c"].waits, work["d"].waits) == (shown, "")


def test_progress_and_output_can_be_off() -> None:
    play = Play(delay=None)
    play.tasks(RUNNING, "1")
    assert play.at(0.0) == []
    assert play.at(9.0) == []
    silent = Reporter(play.engine, play.cells, play.screen, None, log=False)
    silent.listen()
    silent.close()
