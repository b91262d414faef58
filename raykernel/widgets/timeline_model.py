"""When each task waited, ran and moved data, lane by lane: the model behind the timeline.

A lane is a worker process, or an actor, whose calls may overlap and then take several rows. A bar
is what a lane did for one task:

    submitted      ready      started   called          returned   ended
        | arguments  | a worker  | loading | the function   | storing |
        '---- waiting -----------'---------- the bar -----------------'

Many bars come at once when tasks are tiny. Those that follow each other closely in a lane are drawn
as one bar with a count, so that neither memory nor what is sent grows with the tasks' number: the
feed tells of such tasks as stretches (see `EventBatch`), and of a list or a batch with more than
`CROWD` of them they are made here. The newest `KEPT` bars are kept, the newest `TOLD` are
in a snapshot; a page that was opened later asks for older ones page by page.

Times travel as whole microseconds after `origin`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from raykernel.runtime.events import (
    ACTOR,
    CALL,
    FINISHED,
    LIVE,
    READY,
    STATES,
    TASK,
    WAITING,
    EventBatch,
    Finished,
    Stretch,
    TaskInfo,
)

from . import tasktext, timeline_svg
from .picture import STATE_NUMBER, class_of
from .subject import Quiet, Refused
from .timeline_samples import Samples

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

KEPT = 20_000
TOLD = 1_500
PAGE = 1_000
CROWD = 300
CLOSE = 10_000  # microseconds that a bar of several tasks spans at most
ROWS = 8  # of an actor with overlapping calls
SEVERAL = "several functions"

# places in a bar
LANE, ROW, NAME, STATE, COUNT, START, WAITED, QUEUED, LOADED, RAN, STORED = range(11)
RUNS = -1  # in place of RAN: it has not ended

_FINISHED = STATE_NUMBER[FINISHED]
_PENDING = {STATE_NUMBER[WAITING], STATE_NUMBER[READY]}


class Lane:
    def __init__(self, name: str, kind: str, number: int = 1) -> None:
        self.name = name
        self.label = f"{name} {number}" if number > 1 else name
        self.kind = kind  # "worker" | "actor"
        self.free = [0]  # by row: when its last bar ended, in microseconds
        self.tasks = 0
        self.busy = 0  # microseconds

    def row(self, start: int) -> int:
        """The first row that is free then; a worker has but one."""
        if self.kind == "worker":
            return 0
        for number, free in enumerate(self.free):
            if free <= start:
                return number
        if len(self.free) < ROWS:
            self.free.append(0)
        return len(self.free) - 1


class TimelineModel(Quiet):
    kind = "timeline"
    brief = sample = stretches = True

    def __init__(self, kept: int = KEPT) -> None:
        self.version = 0
        self.total = 0
        self.counts = [0] * len(STATES)
        self.origin = 0.0
        self.time = 0.0
        self.lanes: list[Lane] = []
        self.names: list[str] = []
        self.bars: dict[int, list[int]] = {}  # by number, oldest first
        self.samples = Samples()
        self._kept = kept
        self._next = 0
        self._ids: dict[int, str] = {}  # of bars of one task
        self._lane_of: dict[str, int] = {}
        self._name_of: dict[str, int] = {}
        self._live: dict[str, tuple[int, int]] = {}  # task -> state, number of its bar or -1
        self._over: dict[str, None] = {}  # ended tasks that may be told of again
        self._changed: dict[int, None] = {}
        # what viewers have been told:
        self._told = -1
        self._lanes_told: list[list[Any]] = []
        self._names_told = 0

    @property
    def live(self) -> int:
        return len(self._live)

    def apply(self, batch: EventBatch) -> bool:
        self.time = max(self.time, batch.time)
        changed = self._lay(batch.stretches)
        changed |= self._fold(batch.tasks, batch.stretches)
        changed |= self._tally(batch.finished)
        if self.origin and (changed or self._live):
            waiting = sum(self.counts[number] for number in _PENDING)
            self.samples.take(self._us(self.time), waiting, self.counts[2])
        return changed

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        fresh = []
        for task in tasks:
            state = STATE_NUMBER[task.state]
            known = self._live.get(task.id)
            if known is None:
                told = self.partial and task.state not in LIVE  # as a number, as far as one knows
            else:
                told = min(state, 3) < known[0]
            if not told:
                fresh.append(task)
        if fresh and not self.samples.kept:
            self.origin = self.origin or min(_begin(task) for task in fresh)
            self.samples.recall(fresh, self._us)
        return self._fold(fresh)

    def _tally(self, finished: list[Finished]) -> bool:
        for done in finished:
            self.total += done.count
            self.counts[_FINISHED] += done.count
            self.partial = True
            self.version += 1
        return bool(finished)

    def _fold(self, tasks: list[TaskInfo], stretches: Iterable[Stretch] = ()) -> bool:
        ended: list[tuple[TaskInfo, int]] = []
        begun: list[TaskInfo] = []
        changed = False
        for task in sorted(tasks, key=_begin):
            if not self.origin:
                self.origin = task.submitted or task.started or self.time
            state = STATE_NUMBER[task.state]
            known = self._live.get(task.id)
            if known is None:
                if task.id in self._over and task.state not in LIVE:
                    continue
                if self._over.pop(task.id, 0) == 0:
                    self.total += 1
                    self.counts[state] += 1
            elif known[0] != state:
                self.counts[known[0]] -= 1
                self.counts[state] += 1
            number = known[1] if known is not None else -1
            changed = changed or known is None or known[0] != state
            if task.state in LIVE:
                if task.started and task.worker and number < 0:
                    begun.append(task)
                self._live[task.id] = (state, number)
            else:
                self._live.pop(task.id, None)
                self._over[task.id] = None
                sample = known is None and any(_covers(each, task) for each in stretches)
                if task.started and task.worker and not sample:
                    ended.append((task, number))
        self._end(ended)  # first, as what begins may take their rows
        for task in begun:
            number = self._add(self._bar(task), task.id)
            self._live[task.id] = (STATE_NUMBER[task.state], number)
            changed = True
        while len(self._over) > self._kept:
            del self._over[next(iter(self._over))]
        if changed:
            self.version += 1
        return changed

    # -- bars ----------------------------------------------------------------------------------

    def _lay(self, stretches: list[Stretch]) -> bool:
        """A bar for each of these; the numbers are told by themselves."""
        for told in stretches:
            task = TaskInfo(
                "", told.name, CALL if told.actor else TASK, FINISHED, told.cell,
                actor=told.actor, worker=told.worker, submitted=told.submitted,
                started=told.started, returned=told.returned, ended=told.returned,
            )  # fmt: skip
            self.origin = self.origin or task.submitted
            bar = self._bar(task)
            bar[COUNT] = told.count
            if told.mixed:
                bar[NAME] = self._name(SEVERAL)
            self._ids.pop(self._add(bar, ""))
            lane = self.lanes[bar[LANE]]
            lane.tasks += told.count
            lane.busy += bar[RAN]
            lane.free[bar[ROW]] = bar[START] + bar[RAN]
        return bool(stretches)

    def _end(self, ended: list[tuple[TaskInfo, int]]) -> None:
        crowded = len(ended) > CROWD
        last: dict[int, int] = {}  # lane -> number of the bar that may grow
        for task, number in ended:
            bar = self._bar(task)
            lane = self.lanes[bar[LANE]]
            lane.tasks += 1
            lane.busy += bar[LOADED] + bar[RAN] + bar[STORED]
            if number >= 0:
                if number in self.bars:
                    bar[ROW] = self.bars[number][ROW]
                    self.bars[number] = bar
                    self._changed[number] = None
            elif crowded and task.state == FINISHED and self._grow(last, bar):
                continue
            else:
                number = self._add(bar, task.id)
                last[bar[LANE]] = number
            # Results are stored and sent while the next call runs.
            lane.free[bar[ROW]] = bar[START] + bar[LOADED] + bar[RAN]

    def _grow(self, last: dict[int, int], bar: list[int]) -> bool:
        """Make the lane's last bar stand for this task too, if it is close enough."""
        number = last.get(bar[LANE], -1)
        before = self.bars.get(number)
        if before is None or before[STATE] != bar[STATE]:
            return False
        end = bar[START] + bar[LOADED] + bar[RAN] + bar[STORED]
        if end - before[START] > CLOSE:
            return False
        before[COUNT] += 1
        before[LOADED] = before[STORED] = 0
        before[RAN] = max(before[RAN], end - before[START])
        if before[NAME] != bar[NAME]:
            before[NAME] = self._name(SEVERAL)
        self._ids.pop(number, None)
        return True

    def _add(self, bar: list[int], task: str) -> int:
        number = self._next
        self._next += 1
        lane = self.lanes[bar[LANE]]
        bar[ROW] = lane.row(bar[START])
        if bar[RAN] == RUNS:
            lane.free[bar[ROW]] = 1 << 60
        self.bars[number] = bar
        self._ids[number] = task
        self._changed[number] = None
        if len(self.bars) > self._kept:
            oldest = next(iter(self.bars))
            del self.bars[oldest]
            self._ids.pop(oldest, None)
            self._changed.pop(oldest, None)
        return number

    def _bar(self, task: TaskInfo) -> list[int]:
        started = task.started
        called = task.called or started
        ended = task.ended
        returned = min(task.returned or ended, ended) if ended else 0.0
        submitted = min(task.submitted or started, started)
        ready = min(task.ready or submitted, started)
        runs = task.state in LIVE
        return [
            self._lane(task), 0, self._name(task.name), STATE_NUMBER[task.state], 1,
            self._us(started),
            _span(submitted, ready),
            _span(ready, started),
            _span(started, called),
            RUNS if runs else _span(called, returned),
            0 if runs else _span(returned, ended),
        ]  # fmt: skip

    def _lane(self, task: TaskInfo) -> int:
        actor = task.actor if task.kind in (ACTOR, CALL) else ""
        key = actor or task.worker
        lane = self._lane_of.get(key)
        if lane is None:
            label = class_of(task) if actor else f"worker {task.worker}"
            alike = sum(lane.name == label for lane in self.lanes)
            lane = self._lane_of[key] = len(self.lanes)
            self.lanes.append(Lane(label, "actor" if actor else "worker", alike + 1))
        return lane

    def _name(self, name: str) -> int:
        number = self._name_of.get(name)
        if number is None:
            number = self._name_of[name] = len(self.names)
            self.names.append(name)
        return number

    def _us(self, moment: float) -> int:
        return round((moment - self.origin) * 1e6)

    # -- what viewers are told and ask -----------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        self._told = self.version
        self._changed.clear()
        newest = sorted(self.bars)[-TOLD:]
        self._lanes_told = self._lanes()
        self._names_told = len(self.names)
        return {
            **self._numbers(),
            "lanes": self._lanes_told,
            "names": list(self.names),
            "samples": self.samples.newest(),
            "bars": [[n, *self.bars[n]] for n in newest],
        }

    def delta(self) -> dict[str, Any] | None:
        if self._told < 0:
            return None
        base, self._told = self._told, self.version
        changed, self._changed = self._changed, {}
        if len(changed) > TOLD:
            return None
        told: dict[str, Any] = {**self._numbers(), "base": base}
        lanes = self._lanes()
        if lanes != self._lanes_told:
            told["lanes"] = self._lanes_told = lanes
        if len(self.names) != self._names_told:
            told["names"] = list(self.names)
            self._names_told = len(self.names)
        told["samples"] = self.samples.fresh()
        told["bars"] = [[n, *self.bars[n]] for n in changed if n in self.bars]
        return told

    def _numbers(self) -> dict[str, Any]:
        return {
            "version": self.version,
            "counts": list(self.counts),
            "total": self.total,
            "origin": self.origin,
            "time": self._us(self.time) if self.origin else 0,
            "first": next(iter(self.bars), 0),
        }

    def _lanes(self) -> list[list[Any]]:
        return [[lane.label, lane.kind, len(lane.free)] for lane in self.lanes]

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        ask = question.get("ask")
        if ask == "older":
            before = int(question.get("before", 0))
            older = [n for n in sorted(self.bars) if n < before][-PAGE:]
            return {"bars": [[n, *self.bars[n]] for n in older]}
        if ask in ("task", "log"):
            task = self._ids.get(int(question.get("bar", -1)), str(question.get("id", "")))
            if not task:
                raise Refused("This bar stands for many tasks; zoom can't tell them apart.")
            return tasktext.log(task, engine) if ask == "log" else tasktext.story(task, engine)
        return super().answer(question, engine)

    def bundle(self, view: str = "") -> dict[str, str]:
        return timeline_svg.bundle(self, view)

    def end(self) -> int:
        """Where the timeline ends, in microseconds: the last bar's end, or now."""
        ends = [_ends(bar) for bar in self.bars.values() if bar[RAN] != RUNS]
        now = [self._us(self.time)] if self._live else []
        return max([0, *ends, *now])


def _ends(bar: list[int]) -> int:
    return bar[START] + bar[LOADED] + bar[RAN] + bar[STORED]


def _covers(stretch: Stretch, task: TaskInfo) -> bool:
    """Whether a task is one of those that the stretch stands for, and is told of as a sample."""
    return (
        task.state == FINISHED
        and (stretch.actor or stretch.worker) == (task.actor or task.worker)
        and stretch.cell == task.cell
        and stretch.started <= task.started
        and task.returned <= stretch.returned
    )


def _begin(task: TaskInfo) -> float:
    return task.started or task.submitted


def _span(begin: float, end: float) -> int:
    return max(0, round((end - begin) * 1e6))
