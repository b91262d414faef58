"""Looking again for a moment before going to sleep.

A process that sleeps in `poll` takes 10 to 30 us to be woken, more where its core is idle: for
a task that somebody waits for, which passes through the head twice, most of the whole. So whoever
was answered soon for `ROW` times in a row looks again and again for a `MOMENT`, and sleeps only
then. One wait that takes longer ends that, so that little is lost on who waits for longer tasks,
for an answer now and then, or for nothing at all.

The head and idle workers do so, a driver doesn't: of the two ends of a socket one should sleep, or
on few cores those that look keep the one that works from its core. For the same reason each look
ends with an offer of the core to others. Measured on 2 cores, in turn with no spinning: tasks one
at a time 2.0 x, chains 2.4 x, actor calls one at a time 1.8 x; many at once, and
tasks of 1 to 4 ms in a window of four, no difference. It costs where the cores have other work:
tasks of 0.3 ms in a window of four 0.92 x, one at a time beside two busy processes about 0.6 x.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

MOMENT = 0.0001  # seconds
SOON = 2 * MOMENT  # that took a sleep and being woken
ROW = 8


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


class Spinner:
    """Around the `poll` of a poll object, in whatever unit that counts. Used by one thread."""

    def __init__(self, poll: Callable[[float | None], list[Any]]) -> None:
        self._poll = poll
        self._able = _cores() > 1
        self._short = 0  # waits in a row that were

    def wait(self, timeout: float | None) -> list[Any]:
        """What `poll(timeout)` gives, perhaps without sleeping."""
        poll, clock = self._poll, time.perf_counter
        if self._short >= ROW and timeout != 0:
            offer = os.sched_yield
            end = clock() + MOMENT
            while True:
                events = poll(0)
                if events:
                    return events
                if clock() >= end:
                    break
                offer()
        began = clock()
        events = poll(timeout)
        self._short = self._short + 1 if self._able and clock() - began < SOON else 0
        return events
