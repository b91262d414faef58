"""What a session's tasks print and how far they are, brought under the cells that caused them.

    engine's IO thread ──▶ queues ──▶ step() in the reporter's thread ──▶ Publisher
    thread of a cell ───▶ cell_ended ──▶ step() before the cell is reported idle

The IO thread only appends to queues. Everything is counted and published by `step`, one at a time
under `_lock`, which guards all state below it; publishing never waits, so the lock is short.

A cell's progress appears once its work has lasted `delay` seconds without a pause, and settles
when the cell has ended with nothing left to do. Should the cell's background code submit more
after that, a display of its own appears.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from raykernel.cells import Cell, CellTracker
from raykernel.folding import Folding
from raykernel.loglimit import Limit
from raykernel.output import ProgressDisplay, Publisher
from raykernel.own_cells import OwnCells
from raykernel.runtime.engines.base import Engine
from raykernel.runtime.events import BarInfo, EventBatch, LogLine
from raykernel.tasklog import LogText
from raykernel.widgets.controls import Controls
from raykernel.widgets.work import CellWork

#: Seconds between two updates of a display, and between two steps of the thread.
UPDATE_EVERY = 0.2
STEP_EVERY = 0.03

#: Batches come ten times a second and an answer in a millisecond: the second try does it.
CATCH_UP_TRIES = 5

logger = logging.getLogger("raykernel")


@dataclass(slots=True)
class _Shown:
    work: CellWork
    display: ProgressDisplay
    live: bool = False
    updated: float = 0.0


class Reporter:
    """Reports one engine's work from `start` to `close`.

    `progress_delay` None shows no progress, `log` False no output; `fold` repeated lines are shown
    once, and no more than `limit` in all. `release(cell)` lets a cell's work go on without the
    cell, which ends if it runs.
    """

    def __init__(
        self,
        engine: Engine,
        cells: CellTracker,
        publisher: Publisher,
        progress_delay: float | None = 0.5,
        log: bool = True,
        release: Callable[[str], object] = lambda cell: None,
        clock: Callable[[], float] = time.monotonic,
        fold: bool = True,
        limit: Limit | None = None,
        own: OwnCells | None = None,
    ) -> None:
        self._engine = engine
        self._cells = cells
        self._publisher = publisher
        self._delay = progress_delay
        self._log = log
        self._release = release
        self._clock = clock
        self._batches: deque[EventBatch] = deque()
        self._lines: deque[LogLine] = deque()
        self._bars: deque[BarInfo] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._undo: list[Callable[[], None]] = []
        self._thread = threading.Thread(target=self._run, name="raykernel-reporter", daemon=True)
        self._lock = threading.Lock()
        self._own = own or OwnCells("")
        self._text = LogText(Folding() if fold else None)
        self._limit = limit or Limit(0, 0, lambda cell: 0)
        self._work: dict[str, _Shown] = {}
        self._bar_cells: dict[str, str] = {}
        self._submitters: set[str] = set()
        self._received = 0
        self._dropped = 0
        self._failed = False
        self._stale: set[str] = set()

    def start(self) -> None:
        """Begin to listen and start the thread."""
        self.listen()
        self._thread.start()

    def listen(self) -> None:
        self._engine.on_submit(self._submitted)
        if self._log:
            self._undo.append(self._engine.on_log(self._on_log))
        if self._delay is not None:
            self._undo.append(self._engine.subscribe(self._on_batch, brief=True))
            self._undo.append(self._engine.on_bars(self._on_bars))

    def close(self) -> None:
        """The session ends: settle what is shown, as far as it came, and end the thread."""
        self._closing.set()
        self._wake.set()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=2.0)
        # The engine may be gone, and in an ending kernel the sockets too. The session's end, which
        # calls this, must go on all the same.
        with contextlib.suppress(Exception):
            self._engine.on_submit(None)
            for undo in self._undo:
                undo()
        with contextlib.suppress(Exception), self._lock:
            self._step(self._clock(), last=True)
            for cell in list(self._work):
                self._settle(cell, stopped=True)

    def cell_ended(self, cell: Cell, interrupted: bool) -> None:
        """Runs in the cell's thread, before the front end hears that the cell is done.

        What its finished tasks printed and how they ended is published here, so that a
        headless front end, which stops listening then, has it all.
        """
        with self._lock:
            submitted = cell.id in self._submitters or cell.id in self._work
            # It may also have waited for the work of earlier cells.
            concerned = [o for o, shown in self._work.items() if shown.live or cell.headless]
        self._submitters.discard(cell.id)
        if submitted and cell.id not in concerned:
            concerned.append(cell.id)
        if interrupted:  # its own work, and others' if it was waiting for that
            with contextlib.suppress(Exception):
                self._engine.interrupt_cell(cell.id)
        if not concerned:
            self._publisher.cell_ends()
            return
        with contextlib.suppress(Exception):  # the session ended; close() settles what is shown
            self._catch_up(concerned)
        with self._lock:
            shown = self._work.get(cell.id)
            if shown is not None and shown.live:
                shown.display.cell_ended(shown.work.snapshot(self._clock()))
            self._publisher.cell_ends()

    def step(self) -> float | None:
        """Publish what is due; returns the seconds until more may be, None if nothing waits."""
        with self._lock:
            return self._step(self._clock())

    # -- the engine's threads ------------------------------------------------------------------

    def _submitted(self, cell: str) -> None:
        self._submitters.add(cell)
        self._own.note(cell)

    def _on_batch(self, batch: EventBatch) -> None:
        if batch.tasks or batch.finished or batch.dropped or batch.awaited is not None:
            self._received += 1  # first: who finds no batch must not miss that one is coming
            self._batches.append(batch)
            self._wake.set()

    def _on_bars(self, bars: list[BarInfo]) -> None:
        self._bars.extend(bars)
        self._wake.set()

    def _is_others(self, cell: str) -> bool:
        """Whether it is a cell of another notebook's that uses the session too. Work of this one's
        cells from before a restart may go on."""
        return bool(cell) and not self._cells.ran(cell) and cell not in self._own.earlier

    def _on_log(self, line: LogLine) -> None:
        if self._is_others(line.cell):
            return
        self._lines.append(line)
        self._wake.set()

    # -- the reporter's thread, or a cell's, under the lock --------------------------------------

    def _run(self) -> None:
        delay: float | None = None
        while not self._closing.is_set():
            self._wake.wait(delay)
            self._wake.clear()
            try:
                delay = self.step()
                if self._stale:  # events were lost: ask for the lists
                    stale, self._stale = self._stale, set()
                    self._catch_up(list(stale))
            except Exception:  # a view that fails must not take the other cells' output along
                delay = UPDATE_EVERY
                if not self._failed:
                    logger.warning("showing a cell's work failed", exc_info=True)
                self._failed = True
            self._closing.wait(STEP_EVERY)

    def _catch_up(self, cells: list[str]) -> None:
        """Bring cells' counts up to what the engine knows now, and publish everything.

        Blocks for a round trip. What the engine has sent before its answer comes before it, so all
        that ended tasks printed is here too. An answer may replace the counts only if it is newer
        than every batch counted, else it would bring ended tasks back to life for good.
        """
        for _ in range(CATCH_UP_TRIES):
            received = self._received
            told = {cell: self._engine.query("tasks", cell=cell) for cell in cells}
            with self._lock:
                now = self._clock()
                self._step(now, last=True)
                if self._received != received:
                    continue
                for cell, tasks in told.items():
                    shown = self._work.get(cell)
                    if shown is not None:
                        shown.work.replace(tasks, now)
                        self._show(cell, shown, now)
                return

    def _step(self, now: float, last: bool = False) -> float | None:
        self._publish_lines(now, last)
        while self._batches:
            self._count(self._batches.popleft(), now)
        while self._bars:
            self._move(self._bars.popleft(), now)
        for cell, shown in list(self._work.items()):
            self._show(cell, shown, now)
        return UPDATE_EVERY if self._work or self._text.holds else None

    def _publish_lines(self, now: float, last: bool) -> None:
        lines = []
        while self._lines:
            line = self._lines.popleft()
            if not line.cell:  # caused outside any cell: show it where the user looks
                line.cell = self._cells.current()
            lines.append(line)
        for cell, stream, text in self._text.render(lines, now, last):
            self._publish_text(cell, stream, text)
        for line in lines:
            if line.skipped:
                self._publish_text(line.cell, line.stream, "", skipped=True)

    def _publish_text(self, cell: str, stream: str, text: str, skipped: bool = False) -> None:
        shown = self._limit.take(cell, text, skipped)
        if shown:
            self._publisher.stream(cell, stream, shown)

    def _count(self, batch: EventBatch, now: float) -> None:
        if batch.dropped > self._dropped:
            self._stale.update(self._work)
        self._dropped = batch.dropped
        by_cell: dict[str, list[Any]] = {}
        for task in batch.tasks:
            by_cell.setdefault(task.cell, []).append(task)
        by_cell.pop("", None)
        for cell, tasks in by_cell.items():
            if not self._is_others(cell):
                self._shown(cell, now).work.update(tasks, now)
        for done in batch.finished:
            if done.cell and not self._is_others(done.cell):
                self._shown(done.cell, now).work.finish(done, now)
        if batch.awaited is not None:
            for cell, shown in self._work.items():
                shown.work.awaited = tuple(one for one in batch.awaited if one.cell == cell)

    def _shown(self, cell: str, now: float) -> _Shown:
        shown = self._work.get(cell)
        if shown is None:
            controls = Controls(
                stop=partial(self._stop, cell),
                background=partial(self._release, cell),
                explain=self._explain,
            )
            display = self._publisher.progress(cell, controls)
            shown = self._work[cell] = _Shown(CellWork(now), display)
        return shown

    def _move(self, bar: BarInfo, now: float) -> None:
        """Show a bar where it was moved last. It keeps no cell's progress open by itself: an
        actor's bar may stay for days."""
        if self._is_others(bar.cell):
            return
        cell = bar.cell or self._cells.current()
        before = self._bar_cells.pop(bar.id, cell)
        if not bar.closed:
            self._bar_cells[bar.id] = cell
        if before != cell and before in self._work:
            self._work[before].work.drop_bar(bar.id)
        if cell in self._work or (self._cells.is_running(cell) and not bar.closed):
            self._shown(cell, now).work.move(bar, now)

    def _show(self, cell: str, shown: _Shown, now: float) -> None:
        assert self._delay is not None
        work = shown.work
        if not work.live and not self._cells.is_running(cell):
            self._settle(cell)
        elif shown.live:
            if now - shown.updated >= UPDATE_EVERY:
                shown.updated = now
                shown.display.update(work.snapshot(now, self._cells.is_running(cell)))
        elif work.busy_since is not None and now - work.busy_since >= self._delay:
            work.pause(now, self._delay)
            if work.busy_since is not None:
                shown.live, shown.updated = True, now
                shown.display.update(work.snapshot(now, self._cells.is_running(cell)))

    def _settle(self, cell: str, stopped: bool = False) -> None:
        shown = self._work[cell]
        if shown.live:
            shown.live = False
            shown.display.settle(shown.work.snapshot(self._clock()), stopped)
        del self._work[cell]

    def _stop(self, cell: str) -> None:
        with contextlib.suppress(Exception):  # the session may end while the button is pressed
            self._engine.cancel_cell(cell)

    def _explain(self, task: str) -> str:
        """A failed task's traceback, or why there is none. Blocks for a round trip."""
        try:
            found = self._engine.query("failure", task=task)
        except Exception as error:
            return f"It can't be asked for: {error}"
        return (
            found.get("text")
            or found.get("message")
            or ("The traceback is gone: nothing refers to the task's result any more.")
        )
