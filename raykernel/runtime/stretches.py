"""Where and when quick tasks ran, for a view that draws lanes.

Tasks that follow each other closely in a lane come as one stretch with a count, so that what is
told grows with time and lanes and not with tasks. A stretch ends after `SPAN`, longer where there
are many lanes. A part of the feed (feed.py).
"""

from __future__ import annotations

from .events import Stretch
from .records import Task

SPAN = 0.01  # seconds
LANES = 16  # with more the span grows likewise


class Stretches:
    def __init__(self) -> None:
        self._open: dict[tuple[bytes, str], Stretch] = {}  # by lane and cell
        self._all: list[Stretch] = []
        self._span = SPAN

    def add(self, first: Task, last: Task, count: int) -> None:
        """So many tasks of one function and one worker, in the order in which they ended."""
        spec, worker = first.spec, first.worker
        if worker is None or not first.started:
            return
        started = min(first.started, last.started)  # calls may overlap
        returned = max(first.returned, last.returned)
        key = (spec.actor or worker.id, spec.cell)
        stretch = self._open.get(key)
        if stretch is None or returned - stretch.started > self._span:
            stretch = self._open[key] = Stretch(
                spec.cell,
                spec.name,
                spec.actor.hex(),
                str(worker.pid),
                0,
                first.submitted,
                started,
                returned,
            )
            self._all.append(stretch)
        stretch.count += count
        stretch.started = min(stretch.started, started)
        stretch.returned = max(stretch.returned, returned)
        stretch.mixed |= spec.name != stretch.name

    def take(self) -> list[Stretch]:
        """All since the last time."""
        self._span = SPAN * max(1.0, len(self._open) / LANES)
        self._open.clear()
        taken, self._all = self._all, []
        return taken
