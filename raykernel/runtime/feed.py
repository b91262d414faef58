"""The head's side of the event feed: what happened to which task, for those who ask.

Live tasks are looked up where they are; ended ones stay in a bounded ring. While somebody
watches, the tasks that changed since the last batch are collected; while nobody does, a change
costs one comparison.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable

from .events import ACTOR, CALL, TASK, EventBatch, Finished, TaskInfo
from .messages import Events
from .records import LIVE_STATES, Task, TaskState

KEPT = 10_000
INTERVAL = 0.1
FEW = 320  # quick tasks in a batch that a watcher with a sample is told of one by one
SAMPLE = 40  # of them, where they are more
_KINDS = (TASK, ACTOR, CALL)


class Feed:
    """Owned by the scheduler. Who watches briefly is told of a task that is quicker than a batch
    as one more of its function: a view that only counts need not read of each. One that draws some
    as well watches with a sample."""

    def __init__(self, clock: Callable[[], float], kept: int = KEPT) -> None:
        self.watchers: set[bytes] = set()
        self.brief: set[bytes] = set()  # of the watchers
        self.sampled: set[bytes] = set()  # of the brief ones
        self.ended: deque[Task] = deque(maxlen=kept)
        # What happened since the last batch, a task maybe more than once: appending is all that
        # is done at the time, as tens of thousands may come and go between two batches.
        self._begun: list[Task] = []
        self._over: list[Task] = []
        self._told: set[bytes] = set()  # tasks that brief watchers believe to be live
        self._clock = clock
        self._last = 0.0

    def note(self, task: Task) -> None:
        """A task was submitted or began."""
        if self.watchers:
            self._begun.append(task)

    def end(self, task: Task) -> None:
        self.ended.append(task)
        if self.watchers:
            self._over.append(task)

    def watch(
        self, client: bytes, live: Iterable[Task], brief: bool = False, sample: bool = False
    ) -> list[tuple[bytes, Events]]:
        """Add a watcher, or let it watch another way; its first batch holds the live tasks. What
        happened before goes first, in the old way."""
        out = self.flush()
        self.watchers.add(client)
        tasks = list(live)
        (self.sampled.add if brief and sample else self.sampled.discard)(client)
        if brief:
            self.brief.add(client)
            self._told.update(t.spec.id for t in tasks)
        else:
            self.brief.discard(client)
        out.append((client, Events(EventBatch([info(t) for t in tasks], self._clock()))))
        return out

    def unwatch(self, client: bytes) -> None:
        self.watchers.discard(client)
        self.brief.discard(client)
        self.sampled.discard(client)
        if not self.brief:
            self._told.clear()
        if not self.watchers:
            self._begun.clear()
            self._over.clear()

    def due(self, now: float) -> list[tuple[bytes, Events]]:
        """The next batch for each watcher, if there is something in it and it is time."""
        if not (self._begun or self._over) or now - self._last < INTERVAL:
            return []
        return self._batches(now)

    def flush(self) -> list[tuple[bytes, Events]]:
        """The same, now: so that what is asked for next is not older than what was told."""
        changed = self._begun or self._over
        return self._batches(self._clock(), all_of_it=True) if changed else []

    def _batches(self, now: float, all_of_it: bool = False) -> list[tuple[bytes, Events]]:
        self._last = now
        begun, over = self._begun, self._over
        self._begun, self._over = [], []
        out = []
        if len(self.brief) < len(self.watchers):
            tasks = {t.spec.id: t for t in (*over, *begun)}.values()
            whole = Events(EventBatch([info(t) for t in tasks], now))
            out += [(client, whole) for client in self.watchers if client not in self.brief]
        if self.brief:
            infos, quick = self._in_brief(begun, over, now, 0.0 if all_of_it else INTERVAL)
            plain = self.brief - self.sampled
            if plain and (infos or quick):
                brief = Events(EventBatch(infos, now, finished=_numbers(quick)))
                out += [(client, brief) for client in plain]
            if self.sampled and (infos or quick):
                some, others = _sample(quick)
                told = [*infos, *(info(t) for t in some)]
                sampled = Events(EventBatch(told, now, finished=_numbers(others)))
                out += [(client, sampled) for client in self.sampled]
        return out

    def _in_brief(
        self, begun: list[Task], over: list[Task], now: float, patience: float
    ) -> tuple[list[TaskInfo], list[Task]]:
        """What is told one by one, and the quick tasks. A live task younger than `patience` is
        left to the next batch: it may be over then."""
        told, finished = self._told, TaskState.FINISHED
        if len(set(map(id, over))) < len(over):  # some were made again, and ended again
            over = list({t.spec.id: t for t in over}.values())
        quick = [t for t in over if t.state is finished]
        if told and quick:
            quick = [t for t in quick if t.spec.id not in told]
        infos = []
        if len(quick) < len(over):
            ended = [t for t in over if t.state not in LIVE_STATES]
            infos = [info(t) for t in ended if t.state is not finished or t.spec.id in told]
            told.difference_update([t.spec.id for t in ended])
        live = [t for t in begun if t.state in LIVE_STATES]
        for task in {t.spec.id: t for t in live}.values():
            if now - task.submitted < patience and task.spec.id not in told:
                self._begun.append(task)
                continue
            told.add(task.spec.id)
            infos.append(info(task))
        return infos, quick

    def next_due(self, now: float) -> float | None:
        return max(0.0, self._last + INTERVAL - now) if self._begun or self._over else None


def _numbers(tasks: list[Task]) -> list[Finished]:
    specs = [task.spec for task in tasks]
    counts = Counter([(spec.cell, spec.name, spec.kind) for spec in specs])
    return [Finished(cell, name, _KINDS[kind], n) for (cell, name, kind), n in counts.items()]


def _sample(tasks: list[Task]) -> tuple[list[Task], list[Task]]:
    """Those to tell of one by one, and the others."""
    if len(tasks) <= FEW:
        return tasks, []
    return tasks[:SAMPLE], tasks[SAMPLE:]


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
