"""What is known of one cell's tasks, counted by function: the model behind the progress views.

Fed with the engine's event batches and with the bars that tasks move, read as a `Snapshot`. Only
unfinished tasks are kept one by one, so a cell may submit millions. No clock inside: each call says
what time it is, in seconds of any one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from raykernel.runtime.events import (
    ACTOR,
    CANCELLED,
    FAILED,
    LIVE,
    RUNNING,
    Awaited,
    BarInfo,
    Finished,
    TaskInfo,
)

#: The finishing rate is taken over this many seconds.
RATE_WINDOW = 10.0

#: Functions shown by name; the others are summed up in one row.
MAX_ROWS = 8

#: Bars shown at a time, those that move first.
MAX_BARS = 8

#: Kinds of failure kept apart.
MAX_FAILURES = 20

#: Kinds of node that are awaited, shown by name.
MAX_AWAITED = 3


@dataclass(slots=True)
class Row:
    """How many of one function's tasks are where. `actor`: its tasks are an actor's creation."""

    name: str
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    cancelled: int = 0
    actor: bool = False

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


@dataclass(slots=True)
class Failure:
    """Tasks of one function that failed alike; `task` is the first of them."""

    name: str
    error: str
    task: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar to draw. `who` moves it; `left` is in seconds. `text` stands for all of it if set."""

    label: str
    who: str
    n: int | float
    total: int | float | None
    unit: str
    rate: float
    left: float | None
    text: str
    closed: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One moment of a cell's work. `left` is seconds, None when it can't be said yet; `waited`
    says that the cell itself still runs."""

    rows: tuple[Row, ...]
    sum: Row
    elapsed: float
    rate: float
    left: float | None
    failures: tuple[Failure, ...] = ()
    bars: tuple[Bar, ...] = ()
    more_bars: int = 0
    waited: bool = False
    awaited: tuple[Awaited, ...] = ()

    @property
    def waits(self) -> str:
        """What waits for a node that is not there, "" if nothing does. As in "1 waits for a node
        with 1 CPU, 1 gold"."""
        if not self.awaited:
            return ""
        tasks = sum(one.tasks for one in self.awaited)
        needs = [one.needs for one in self.awaited[:MAX_AWAITED]]
        if len(self.awaited) > MAX_AWAITED:
            needs.append("others")
        node = "a node" if len(needs) == 1 else "nodes"
        return f"{tasks:,} {'waits' if tasks == 1 else 'wait'} for {node} with {'; '.join(needs)}"

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
            "failures": [asdict(failure) for failure in self.failures],
            "bars": [asdict(bar) for bar in self.bars],
            "more_bars": self.more_bars,
            "waited": self.waited,
            "waits": self.waits,
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
        #: What of it waits for a node, as the engine says.
        self.awaited: tuple[Awaited, ...] = ()
        self._rows: dict[str, Row] = {}
        self._live: dict[str, tuple[Row, str]] = {}
        self._finished = 0
        # Tasks a list has shown as ended, of which an event may still be on its way.
        self._told: set[str] = set()
        self._history: deque[tuple[float, int]] = deque([(now, 0)])
        self._failures: dict[tuple[str, str], Failure] = {}
        self._bars: dict[str, tuple[BarInfo, float]] = {}  # and when it came

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
                    row = self._rows[task.name] = Row(task.name, actor=task.kind == ACTOR)
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
                if task.state == FAILED:
                    self._fail(task)
                if entry is not None:
                    del live[task.id]
        if changed:
            self._work(now)
            self._note(now)

    def finish(self, done: Finished, now: float) -> None:
        """Take in tasks of which there is only a number."""
        row = self._rows.get(done.name)
        if row is None:
            row = self._rows[done.name] = Row(done.name, actor=done.kind == ACTOR)
        row.done += done.count
        self._finished += done.count
        self._work(now)
        self._note(now)

    def _fail(self, task: TaskInfo) -> None:
        failure = self._failures.get((task.name, task.error))
        if failure is not None:
            failure.count += 1
        elif len(self._failures) < MAX_FAILURES:
            self._failures[task.name, task.error] = Failure(task.name, task.error, task.id)

    def _work(self, now: float) -> None:
        self.changed = now
        if self.busy_since is None:
            self.busy_since = now

    def replace(self, tasks: list[TaskInfo], now: float) -> None:
        """Take in the whole list of the cell's tasks, newer than every update so far.

        The engine's log is bounded: when it has forgotten finished tasks, the sums kept here
        know more than the list, and only the tasks in the list are brought up to date.
        """
        if len(tasks) >= sum(row.total for row in self._rows.values()):
            self._rows.clear()
            self._live.clear()
            self._told.clear()
            self._failures.clear()
            self._finished = 0
            self.update(tasks, now)
        else:
            self.update([t for t in tasks if t.id in self._live], now)
        self._told = {task.id for task in tasks if task.state not in LIVE}

    # -- bars ----------------------------------------------------------------------------------

    def move(self, bar: BarInfo, now: float) -> None:
        """Take in a bar's newest state."""
        if bar.closed and (bar.id not in self._bars or bar.drawn):
            self._bars.pop(bar.id, None)  # what was drawn has left its text
            return
        self._bars[bar.id] = bar, now
        self._work(now)
        closed = [key for key, (each, _) in self._bars.items() if each.closed]
        for key in closed[: max(0, len(self._bars) - MAX_BARS)]:
            del self._bars[key]

    def drop_bar(self, bar: str) -> None:
        """It belongs to another cell's work from now on."""
        self._bars.pop(bar, None)

    def _moving(self) -> bool:
        return any(not bar.closed for bar, _ in self._bars.values())

    # -- the whole -----------------------------------------------------------------------------

    def pause(self, now: float, after: float) -> None:
        """Note a pause when nothing is unfinished and nothing has changed for `after` seconds."""
        if not self._live and not self._moving() and now - self.changed >= after:
            self.busy_since = None

    def snapshot(self, now: float, waited: bool = False) -> Snapshot:
        self._note(now)
        end = now if self._live or self._moving() else self.changed
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
        shown = _by_class(shown)
        awaited = self.awaited if total.waiting else ()
        failures = sorted(self._failures.values(), key=lambda failure: -failure.count)
        bars = list(self._bars.values())
        if len(bars) > MAX_BARS:
            bars.sort(key=lambda entry: entry[0].closed)
        return Snapshot(
            rows=tuple(shown),
            sum=total,
            elapsed=max(0.0, end - self.started),
            rate=rate,
            left=live / rate if rate > 0 and known and not awaited else None,
            failures=tuple(Failure(**asdict(failure)) for failure in failures),
            bars=tuple(_bar(bar, now - came) for bar, came in bars[:MAX_BARS]),
            more_bars=max(0, len(bars) - MAX_BARS),
            waited=waited,
            awaited=awaited,
        )

    def _note(self, now: float) -> None:
        history = self._history
        if now > history[-1][0]:
            history.append((now, self._finished))
        elif len(history) > 1:
            history[-1] = (now, self._finished)
        while len(history) > 2 and history[1][0] <= now - RATE_WINDOW:
            history.popleft()


def _by_class(rows: list[Row]) -> list[Row]:
    """The same rows, an actor's methods behind their class."""
    order: dict[str, list[Row]] = {}
    for row in rows:
        order.setdefault(row.name.rpartition(".")[0] or row.name, []).append(row)
    for members in order.values():
        members.sort(key=lambda row: not row.actor)
    return [row for members in order.values() for row in members]


def _bar(bar: BarInfo, since: float) -> Bar:
    """`since` it came some seconds have passed: a bar that rests gets slower."""
    done = bar.n - bar.initial
    elapsed = bar.elapsed if bar.closed else bar.elapsed + since
    rate = done / elapsed if elapsed > 0 else 0.0
    rest = None if bar.total is None or rate <= 0 else max(0.0, bar.total - bar.n) / rate
    who = f"{bar.name} pid={bar.worker}" if bar.name else ""
    return Bar(
        bar.desc or bar.name, who, bar.n, bar.total, bar.unit, rate,
        None if bar.closed else rest, bar.text, bar.closed,
    )  # fmt: skip
