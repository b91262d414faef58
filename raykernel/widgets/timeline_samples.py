"""How many tasks waited and ran, moment by moment: the timeline's curve. Pure.

A sample is [when, waiting, running], its time in microseconds like that of the bars. One is taken
where the numbers changed; the newest `KEPT` are kept, of which a viewer is told `TOLD` at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from raykernel.runtime.events import TaskInfo

KEPT = 1_200
TOLD = 200

Sample = list[int]


class Samples:
    """A part of `TimelineModel`."""

    def __init__(self) -> None:
        self.kept: deque[Sample] = deque(maxlen=KEPT)
        self._taken = 0
        self._told = 0

    def take(self, when: int, waiting: int, running: int) -> None:
        if not self.kept or self.kept[-1][1:] != [waiting, running]:
            self._keep([when, waiting, running])

    def recall(self, tasks: Iterable[TaskInfo], us: Callable[[float], int]) -> None:
        """Take samples of the past, from what these tasks say of themselves. `us` is a moment's
        microseconds."""
        steps: dict[int, list[int]] = {}
        for task in tasks:
            begin = task.started or task.ended
            for moment, waiting, running in (
                (task.submitted, 1, 0),
                (begin, -1, 1 if task.started else 0),
                (task.ended, 0, -1 if task.started else 0),
            ):
                if moment:
                    step = steps.setdefault(us(moment), [0, 0])
                    step[0] += waiting
                    step[1] += running
        every = max(1, len(steps) // (KEPT // 2))
        waiting = running = 0
        for n, when in enumerate(sorted(steps)):
            waiting += steps[when][0]
            running += steps[when][1]
            if n % every == 0 or n == len(steps) - 1:
                self._keep([when, max(0, waiting), max(0, running)])

    def _keep(self, sample: Sample) -> None:
        self.kept.append(sample)
        self._taken += 1

    def newest(self) -> list[Sample]:
        """For a viewer that knows none."""
        self._told = self._taken
        return list(self.kept)[-TOLD:]

    def fresh(self) -> list[Sample]:
        """Those that viewers have not been told of, as far as one tells of them."""
        count = min(self._taken - self._told, TOLD)
        self._told = self._taken
        return list(self.kept)[-count:] if count else []
