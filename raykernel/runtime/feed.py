"""The head's side of the event feed: what happened to which task, for those who ask.

Live tasks are looked up where they are; ended ones stay in a bounded ring. While somebody
watches, the tasks that changed since the last batch are collected; while nobody does, a change
costs one comparison.

What a brief watcher is told of a task:

    submitted ---> fresh --- a batch's time later ---> told, and again with each change
                     `------ finished before ---> counted ---> a number, with others of its function

A fresh task is counted the moment it ends, while the processor has it at hand: to go through
thousands of them once more for each batch costs more than all the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from .events import ACTOR, CALL, TASK, EventBatch, Finished, TaskInfo
from .messages import Events, TaskSpec
from .records import LIVE_STATES, Task, TaskState
from .stretches import SPAN, Stretches

KEPT = 10_000
INTERVAL = 0.1
BUSY_INTERVAL = 0.2  # when many quick tasks come: whoever looks reads totals then
FEW = 320  # quick tasks in a batch that a watcher with a sample is told of one by one
SAMPLE = 40  # of them, where they are more
ALIKE = 8  # of one function's in a sample
_KINDS = (TASK, ACTOR, CALL)


class Feed:
    """Owned by the scheduler. Who watches briefly is told of a task that is quicker than a batch
    as one more of its function: a view that only counts need not read of each. One that draws some
    as well watches with a sample, and one that draws lanes is also told of stretches."""

    def __init__(self, clock: Callable[[], float], kept: int = KEPT) -> None:
        self.watchers: set[bytes] = set()
        self.brief: set[bytes] = set()  # of the watchers
        self.sampled: set[bytes] = set()  # of the brief ones
        self.stretched: set[bytes] = set()  # of the sampled ones
        self._whole = False  # some are not brief
        self.ended: deque[Task] = deque(maxlen=kept)
        # What happened since the last batch. For those who are told of each task, one maybe more
        # than once, the newest last:
        self._all: list[Task] = []
        # and for brief watchers:
        self._fresh: dict[bytes, Task] = {}  # live tasks of which they were not told
        self._told: set[bytes] = set()  # tasks that they believe to be live
        self._moved: list[Task] = []  # told, or failed: to be told one by one
        self._counted: dict[tuple[str, str, int], int] = {}
        # Quick tasks that are alike and not in `_counted` yet; with stretches, one worker's.
        self._count = 0
        self._like: TaskSpec | None = None
        self._first: Task  # of them
        self._latest: Task
        self._until = 0.0  # when the last of them may return
        self._quick: list[Task] = []  # the first few of them, for samples
        self._stretches = Stretches()
        self._clock = clock
        self._last = 0.0
        self._interval = INTERVAL

    # -- what happens, for as long as there are watchers ----------------------------------------

    def submitted(self, task: Task) -> None:
        if self.brief:
            self._fresh[task.spec.id] = task
        if self._whole:
            self._all.append(task)

    def moved(self, task: Task) -> None:
        """It has its arguments, is on its way to a worker, or came back."""
        if self._told and task.spec.id in self._told:
            self._moved.append(task)
        if self._whole:
            self._all.append(task)

    def end(self, task: Task) -> None:
        self.ended.append(task)
        if not self.watchers:
            return
        if self._whole:
            self._all.append(task)
        if self.brief:
            spec = task.spec
            if self._fresh.pop(spec.id, None) is None or task.state is not TaskState.FINISHED:
                self._moved.append(task)
                return
            if task.again:  # it was told of, or counted, when it ended first
                return
            like = self._like
            if (
                like is None
                or spec.name != like.name
                or spec.cell != like.cell
                or spec.kind != like.kind
                or (
                    self.stretched
                    and (task.worker is not self._first.worker or task.returned > self._until)
                )
            ):
                self._sum_up()
                self._like, self._first = spec, task
                self._until = task.started + SPAN
            self._count += 1
            self._latest = task
            if self.sampled and len(self._quick) <= FEW:
                self._quick.append(task)

    def _sum_up(self) -> None:
        if self._like is not None and self._count:
            key = self._like.cell, self._like.name, self._like.kind
            self._counted[key] = self._counted.get(key, 0) + self._count
            if self.stretched:
                self._stretches.add(self._first, self._latest, self._count)
        self._count, self._like = 0, None

    # -- who watches ----------------------------------------------------------------------------

    def watch(
        self,
        client: bytes,
        live: Iterable[Task],
        brief: bool = False,
        sample: bool = False,
        stretches: bool = False,
    ) -> list[tuple[bytes, Events]]:
        """Add a watcher, or let it watch another way; its first batch holds the live tasks. What
        happened before goes first, in the old way."""
        out = self.flush()
        self.watchers.add(client)
        tasks = list(live)
        (self.sampled.add if brief and sample else self.sampled.discard)(client)
        (self.stretched.add if brief and sample and stretches else self.stretched.discard)(client)
        if brief:
            self.brief.add(client)
            self._told.update(t.spec.id for t in tasks)
        else:
            self.brief.discard(client)
        self._tidy()
        out.append((client, Events(EventBatch([info(t) for t in tasks], self._clock()))))
        return out

    def unwatch(self, client: bytes) -> None:
        self.watchers.discard(client)
        self.brief.discard(client)
        self.sampled.discard(client)
        self.stretched.discard(client)
        self._tidy()

    def _tidy(self) -> None:
        """Let go of what nobody is to be told any more."""
        if not self.brief:
            self._fresh.clear()
            self._told.clear()
            self._moved.clear()
            self._sum_up()
            self._counted.clear()
            self._interval = INTERVAL
        if not self.sampled:
            self._quick.clear()
        if not self.stretched:
            self._stretches.take()
        self._whole = len(self.brief) < len(self.watchers)
        if not self._whole:
            self._all.clear()

    # -- batches --------------------------------------------------------------------------------

    def due(self, now: float) -> list[tuple[bytes, Events]]:
        """The next batch for each watcher, if there is something in it and it is time."""
        if not self._changed() or now - self._last < self._interval:
            return []
        return self._batches(now, INTERVAL)

    def next_due(self, now: float) -> float | None:
        return max(0.0, self._last + self._interval - now) if self._changed() else None

    def flush(self) -> list[tuple[bytes, Events]]:
        """The same, now: so that what is asked for next is not older than what was told."""
        return self._batches(self._clock(), 0.0) if self._changed() else []

    def _changed(self) -> bool:
        return bool(self._fresh or self._count or self._all or self._moved or self._counted)

    def _batches(self, now: float, patience: float) -> list[tuple[bytes, Events]]:
        """A fresh task younger than `patience` is left to the next batch: it may be over then."""
        self._last = now
        out = []
        if self._all:
            tasks = {t.spec.id: t for t in self._all}.values()
            self._all = []
            whole = Events(EventBatch([info(t) for t in tasks], now))
            out += [(client, whole) for client in self.watchers if client not in self.brief]
        if self.brief:
            infos = self._one_by_one(now, patience)
            self._sum_up()
            counted, self._counted = self._counted, {}
            quick, self._quick = self._quick, []
            stretches = self._stretches.take() if self.stretched else []
            many = sum(counted.values()) > FEW
            self._interval = BUSY_INTERVAL if many else INTERVAL
            if infos or counted:
                brief = Events(EventBatch(infos, now, finished=_numbers(counted)))
                out += [(client, brief) for client in self.brief - self.sampled]
                if self.sampled:
                    some = _sample(quick, counted)
                    told = [*infos, *(info(t) for t in some)]
                    sampled = EventBatch(told, now, finished=_numbers(counted))
                    out += [(client, Events(sampled)) for client in self.sampled - self.stretched]
                    if self.stretched:
                        with_them = replace(sampled, stretches=stretches if many else [])
                        out += [(client, Events(with_them)) for client in self.stretched]
        return out

    def _one_by_one(self, now: float, patience: float) -> list[TaskInfo]:
        told, moved = self._told, {t.spec.id: t for t in self._moved}
        self._moved = []
        for task in list(self._fresh.values()):
            if now - task.submitted >= patience:
                moved[task.spec.id] = self._fresh.pop(task.spec.id)
        for key, task in moved.items():
            (told.add if task.state in LIVE_STATES else told.discard)(key)
        return [info(t) for t in moved.values()]


def _numbers(counted: dict[tuple[str, str, int], int]) -> list[Finished]:
    return [Finished(cell, name, _KINDS[kind], n) for (cell, name, kind), n in counted.items() if n]


def _sample(quick: list[Task], counted: dict[tuple[str, str, int], int]) -> list[Task]:
    """Those to tell of one by one, which are taken off the numbers."""
    all_of_them = sum(counted.values()) <= FEW
    alike = dict.fromkeys(counted, FEW if all_of_them else ALIKE)
    some: list[Task] = []
    for task in quick:
        key = task.spec.cell, task.spec.name, task.spec.kind
        if alike.get(key, 0) and (all_of_them or len(some) < SAMPLE):
            alike[key] -= 1
            counted[key] -= 1
            some.append(task)
    return some


def info(task: Task) -> TaskInfo:
    """A task as the views see it."""
    spec = task.spec
    worker = task.worker
    seen: dict[str, None] = {d[:24].hex(): None for d in spec.deps}
    return TaskInfo(
        spec.id.hex(),
        spec.name,
        _KINDS[spec.kind],
        task.state.name,
        spec.cell,
        spec.parent.hex(),
        spec.actor.hex(),
        str(worker.pid) if worker is not None else "",
        list(seen),
        task.submitted,
        task.started,
        task.ended,
        task.error,
        task.ready,
        task.called,
        task.returned,
        task.taken,
        task.made,
    )
