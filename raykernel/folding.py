"""Repeated lines of task output, shown once with how often they came.

    (f pid=7) loading           is shown at once
    (f pid=7) loading … repeated 57 times by 4 workers      when it is over, or time is up

A line folds into the one before it of the same task's function: when its writer said the same just
before, or when another worker did within the time that summaries wait. What was written in between
by others doesn't matter, so lines that all workers write fold however they mix. A single repetition
is shown as it is: saying so would be no shorter.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from raykernel.runtime.events import LogLine

#: Seconds that a summary waits for more to sum up; twice as many after each, up to the second.
WAIT, WAIT_MOST = 1.0, 60.0

#: Lines remembered, the oldest go first.
MEMORY = 1000

_Key = tuple[str, str, str, str]  # cell, stream, function, text
_Writer = tuple[str, str, str]  # cell, stream, worker


@dataclass(slots=True)
class _Said:
    line: LogLine
    since: float
    wait: float = WAIT
    count: int = 0  # repetitions not told of yet
    workers: set[str] = field(default_factory=set)
    last: LogLine | None = None


class Folding:
    """Whole lines go in one at a time, what is to be shown comes out. `now` is in seconds of any
    monotonic clock."""

    def __init__(self) -> None:
        self._said: OrderedDict[_Key, _Said] = OrderedDict()
        self._latest: dict[_Writer, _Key] = {}

    @property
    def holds(self) -> bool:
        """Whether there is a summary that only time will bring out."""
        return any(said.count for said in self._said.values())

    def take(self, line: LogLine, now: float) -> Iterator[LogLine]:
        """The lines to show for a line that was written."""
        key = (line.cell, line.stream, line.name, line.text)
        writer = (line.cell, line.stream, line.worker)
        before = self._latest.get(writer)
        said = self._said.get(key)
        if said is not None and (before == key or said.line.worker != line.worker):
            self._count(said, line, line.times, now)
            self._latest[writer] = key
            return
        if before is not None and before != key:
            yield from self._over(before, line.worker)
        if said is not None:
            yield from self._tell(said, now)
        self._latest[writer] = key
        self._said[key] = said = _Said(line, now)
        self._said.move_to_end(key)
        yield line
        if line.times > 1:
            self._count(said, line, line.times - 1, now)
        while len(self._said) > MEMORY:
            yield from self._tell(self._said.popitem(last=False)[1], now)
        while len(self._latest) > MEMORY:
            del self._latest[next(iter(self._latest))]

    def due(self, now: float, everything: bool = False) -> Iterator[LogLine]:
        """The summaries whose time has come."""
        for key, said in list(self._said.items()):
            if everything or now - said.since >= said.wait:
                if not said.count:
                    del self._said[key]  # it has been quiet: the next one is shown again
                yield from self._tell(said, now)

    @staticmethod
    def _count(said: _Said, line: LogLine, times: int, now: float) -> None:
        if not said.count:
            said.since = now
        said.count += times
        said.workers.add(line.worker)
        said.last = line

    def _over(self, key: _Key, worker: str) -> Iterator[LogLine]:
        """A worker goes on to another line: tell what it alone repeated, to keep the order."""
        said = self._said.get(key)
        if said is not None and said.workers == {worker}:
            yield from self._tell(said, said.since)

    @staticmethod
    def _tell(said: _Said, now: float) -> Iterator[LogLine]:
        if not said.count or said.last is None:
            return
        last = said.last
        text = last.text
        if said.count > 1:
            others = f" by {len(said.workers)} workers" if len(said.workers) > 1 else ""
            text = f"{text.rstrip()} … repeated {said.count:,} times{others}\n"
        yield LogLine(last.cell, last.task, last.name, last.worker, last.stream, text)
        said.count = 0
        said.workers.clear()
        said.since = now
        said.wait = min(WAIT_MOST, 2 * said.wait)
