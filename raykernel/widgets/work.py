"""What is known of one cell's tasks, counted by function: the model behind the progress views.

Fed with the engine's event batches, read as a `Snapshot`. Only unfinished tasks are kept one by
one, so a cell may submit millions. No clock inside: each call says what time it is, in seconds
of any one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from raykernel.runtime.events import CANCELLED, FAILED, LIVE, RUNNING, TaskInfo

#: The finishing rate is taken over this many seconds.
RATE_WINDOW = 10.0

#: Functions shown by name; the others are summed up in one row.
MAX_ROWS = 8


@dataclass(slots=True)
class Row:
    """How many of one function's tasks are where."""

    name: str
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def live(self) -> int:
        return self.waiting + self.running

    @property
    def ended(self) -> int:
        return self.done + self.failed + self.cancelled

    @property
    def total(self) -> int:
        return self.live + self.ended

    def add(self, other: Row) -> None:
        self.waiting += other.waiting
        self.running += other.running
        self.done += other.done
        self.failed += other.failed
        self.cancelled += other.cancelled


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a cell's work. `left` is seconds, None when it can't be said yet."""

    rows: tuple[Row, ...]
    sum: Row
    elapsed: float
    rate: float
    left: float | None

    @property
    def live(self) -> int:
        return self.sum.live

    def to_json(self) -> dict[str, Any]:
        return {
            "rows": [asdict(row) for row in self.rows],
            "sum": asdict(self.sum),
            "total": self.sum.total,
            "elapsed": self.elapsed,
            "rate": self.rate,
            "left": self.left,
        }


_FIELD = {RUNNING: "running", FAILED: "failed", CANCELLED: "cancelled"}


def _field(state: str) -> str:
    return _FIELD.get(state) or ("waiting" if state in LIVE else "done")


class CellWork:
    """The tasks of one cell, from the first event about it."""

    def __init__(self, now: float) -> None:
        self.started = now
        self.changed = now
        #: Since when there has been work without a pause; None in a pause.
        self.busy_since: float | None = None
        self._rows: dict[str, Row] = {}
        self._live: dict[str, tuple[Row, str]] = {}
        self._finished = 0
        # Tasks a list has shown as ended, of which an event may still be on its way.
        self._told: set[str] = set()
        self._history: deque[tuple[float, int]] = deque([(now, 0)])

    @property
    def live(self) -> int:
        return len(self._live)

    def update(self, tasks: Iterable[TaskInfo], now: float) -> None:
        """Take in the newest state of tasks that changed."""
        live = self._live
        changed = False
        for task in tasks:
            entry = live.get(task.id)
            if entry is None:
                if task.id in self._told:
                    continue
                row = self._rows.get(task.name)
                if row is None:
                    row = self._rows[task.name] = Row(task.name)
            else:
                row, old = entry
                setattr(row, old, getattr(row, old) - 1)
            changed = True
            new = _field(task.state)
            setattr(row, new, getattr(row, new) + 1)
            if task.state in LIVE:
                live[task.id] = (row, new)
            else:
                self._finished += 1
                if entry is not None:
                    del live[task.id]
        if changed:
            self.changed = now
            if self.busy_since is None:
                self.busy_since = now
            self._note(now)

    def replace(self, tasks: list[TaskInfo], now: float) -> None:
        """Take in the whole list of the cell's tasks, newer than every update so far.

        The engine's log is bounded: when it has forgotten finished tasks, the sums kept here
        know more than the list, and only the tasks in the list are brought up to date.
        """
        if len(tasks) >= sum(row.total for row in self._rows.values()):
            self._rows.clear()
            self._live.clear()
            self._told.clear()
            self._finished = 0
            self.update(tasks, now)
        else:
            self.update([t for t in tasks if t.id in self._live], now)
        self._told = {task.id for task in tasks if task.state not in LIVE}

    def pause(self, now: float, after: float) -> None:
        """Note a pause when nothing is unfinished and nothing has changed for `after` seconds."""
        if not self._live and now - self.changed >= after:
            self.busy_since = None

    def snapshot(self, now: float) -> Snapshot:
        self._note(now)
        end = now if self._live else self.changed
        then, before = self._history[0]
        rate = (self._finished - before) / (now - then) if now > then else 0.0
        live = len(self._live)
        # Of a function whose tasks never ended yet nobody knows how long they take.
        known = all(row.ended for row in self._rows.values() if row.live)
        total = Row("")
        rows = sorted(self._rows.values(), key=lambda row: -row.total)
        for row in rows:
            total.add(row)
        shown = [Row(**asdict(row)) for row in rows[:MAX_ROWS]]
        if len(rows) > MAX_ROWS:
            others = Row(f"{len(rows) - MAX_ROWS} other functions")
            for row in rows[MAX_ROWS:]:
                others.add(row)
            shown.append(others)
        return Snapshot(
            rows=tuple(shown),
            sum=total,
            elapsed=max(0.0, end - self.started),
            rate=rate,
            left=live / rate if rate > 0 and known else None,
        )

    def _note(self, now: float) -> None:
        history = self._history
        if now > history[-1][0]:
            history.append((now, self._finished))
        elif len(history) > 1:
            history[-1] = (now, self._finished)
        while len(history) > 2 and history[1][0] <= now - RATE_WINDOW:
            history.popleft()
