"""How many tasks of one kind may be begun before one of them ends. Sans-IO.

A task that waits in `get` gives its CPU back, and another one starts. If that is one more of the
same function, it soon waits too, and a thousand calls of a function that waits become a thousand
processes. So of each kind (function and depth of nesting) as many may be *begun*, running and
waiting together, as there is room for on the CPUs. What they wait for is another function, or one
level deeper: a kind of its own, with a limit of its own, so recursion goes on.

Should they wait for each other (a barrier), one more is let in after `DELAY` seconds, the next
after twice that, and so on: slow, but never stuck. This is what Ray's worker cap does.

    ready queue ── its kind is full ──▶ parked ── one of the kind ended, or time is up ──▶ begun

A kind of which none waits is limited by the CPUs alone, and so are actors' constructors. Nothing is
counted while no task of a shape waits.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from .messages import CREATION
from .records import Task, TaskState, Worker

DELAY = 1.0
_SOME = 128
_DOUBLINGS = 20  # beyond which the delay stays as it is

Kind = tuple[bytes, int]


class Parked:
    """Ready tasks of one kind that is full, and when the next of them goes all the same."""

    __slots__ = ("due", "tasks")

    def __init__(self, due: float) -> None:
        self.tasks: deque[Task] = deque()
        self.due = due

    def take(self, tasks: list[Task]) -> None:
        """Park tasks from the queue; those that were given back to it are first again."""
        newest = self.tasks[0].submitted if self.tasks else float("inf")
        self.tasks.extend([t for t in tasks if t.submitted >= newest])
        self.tasks.extendleft([t for t in reversed(tasks) if t.submitted < newest])

    def give_back(self, queue: deque[Task]) -> None:
        """None of the kind waits: some go to the front of the queue, where quick ones are sent
        several deep. Only some, so that a kind that waits now and then costs no more than that."""
        self.due = float("inf")
        some = min(_SOME, len(self.tasks))
        queue.extendleft(reversed([self.tasks.popleft() for _ in range(some)]))


class Cap:
    """The limit of one shape's kinds. `limit` is None for tasks that need no CPU."""

    __slots__ = ("_kinds", "_waiting", "limit", "parked")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.parked: dict[Kind, Parked] = {}
        self._waiting: dict[Worker, Kind] = {}  # those whose task waits in `get`
        self._kinds: Counter[Kind] = Counter()  # of them

    @property
    def counts(self) -> bool:
        """Whether there is anything to look at."""
        return bool(self.parked) or (bool(self._waiting) and self.limit is not None)

    def waits(self, worker: Worker, task: Task) -> None:
        kind = self._waiting[worker] = kind_of(task)
        self._kinds[kind] += 1

    def goes_on(self, worker: Worker) -> None:
        kind = self._waiting.pop(worker, None)
        if kind is not None:
            self._kinds[kind] -= 1
            if not self._kinds[kind]:
                del self._kinds[kind]

    def tasks(self) -> Iterator[Task]:
        for parked in self.parked.values():
            yield from parked.tasks

    def candidates(
        self, leases: Iterable[Worker], queue: deque[Task], now: float
    ) -> Iterator[Task]:
        """The tasks that may begin, parked ones first. Those of full kinds leave the queue.

        Asking for the next one means that the last one was begun; leaving off, that it wasn't.
        """
        limit = self.limit
        assert limit is not None
        kinds = self._kinds
        count = _Begun(leases)
        for kind, parked in list(self.parked.items()):
            if kind not in kinds:
                parked.give_back(queue)
            while _next(parked.tasks) and kind in kinds:
                if count[kind] >= limit and now < parked.due:
                    parked.due = min(parked.due, now + _delay(count[kind] - limit))
                    break
                yield parked.tasks[0]
                parked.tasks.popleft()
                parked.due = float("inf")
                count.one_more(kind)
            if not parked.tasks:
                del self.parked[kind]
        full: dict[Kind, list[Task]] = {}
        try:
            while _next(queue):
                task = queue[0]
                kind = kind_of(task)
                if task.spec.kind != CREATION and kind in kinds and count[kind] >= limit:
                    if kind not in self.parked:
                        self.parked[kind] = Parked(now + _delay(count[kind] - limit))
                    full.setdefault(kind, []).append(queue.popleft())
                    continue
                yield task
                queue.popleft()
                count.one_more(kind)
        finally:
            for kind, tasks in full.items():
                self.parked[kind].take(tasks)

    def next_due(self, now: float) -> float:
        """When the next parked task goes all the same. What is due already waits for room."""
        return min((p.due for p in self.parked.values() if p.due > now), default=float("inf"))


class _Begun:
    """How many tasks of a kind run or wait, counted when that is first asked."""

    def __init__(self, leases: Iterable[Worker]) -> None:
        self._leases = leases
        self._counts: Counter[Kind] | None = None

    def __getitem__(self, kind: Kind) -> int:
        if self._counts is None:
            running = (w.first for w in self._leases)
            self._counts = Counter(kind_of(task) for task in running if task is not None)
        return self._counts[kind]

    def one_more(self, kind: Kind) -> None:
        if self._counts is not None:
            self._counts[kind] += 1


def _delay(over: int) -> float:
    """Seconds until one more is let in, `over` the limit."""
    return DELAY * 2.0 ** min(over, _DOUBLINGS)


def kind_of(task: Task) -> Kind:
    return task.spec.function, task.depth


def _next(tasks: deque[Task]) -> bool:
    """Whether a ready task is first, after what was cancelled is dropped."""
    while tasks:
        if tasks[0].state is TaskState.READY:
            return True
        tasks.popleft()
    return False
