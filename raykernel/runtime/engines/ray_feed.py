"""The session's feed: an actor on the cluster that hands workers' notes to the driver, and keeps
what they leave of their failures (ray_remains.py).

It knows nothing of what it passes on, and keeps no more than a bound: a driver that is away for
longer loses the oldest. It lives as long as its driver's job. Methods are coroutines, so that a
driver may wait for news while workers bring them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from raykernel.runtime.engines import ray_connect
from raykernel.runtime.engines.ray_remains import Kept, Parcel

_BATCHES = 10_000
_OBITUARIES = 1000
_STRUCK = 10_000
_QUESTIONS = 500  # in a second, whether something is to be interrupted


class Feed:
    """Made an actor by engines/ray_driver.py."""

    def __init__(self) -> None:
        self._batches: deque[bytes] = deque(maxlen=_BATCHES)
        self._dropped = 0
        self._news = asyncio.Event()
        self._obituaries: dict[bytes, bytes] = {}
        self._struck: dict[bytes, None] = {}  # the oldest first
        self._pause = 1.0
        self._asked, self._asked_since = 0, 0.0  # questions, since when
        self._kept = Kept()
        self._came = asyncio.Event()

    async def note(self, batch: bytes) -> None:
        if len(self._batches) == _BATCHES:
            self._dropped += 1
        self._batches.append(batch)
        self._news.set()

    async def take(self, timeout: float) -> tuple[list[bytes], int]:
        """What came since the last time, as soon as there is something; and how much was lost."""
        if not self._batches:
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), timeout)
            except asyncio.TimeoutError:
                return [], self._dropped
        batches = list(self._batches)
        self._batches.clear()
        return batches, self._dropped

    async def versions(self) -> dict[str, str]:
        """What workers run here."""
        return ray_connect.versions()

    async def strike(self, calls: list[bytes]) -> None:
        """These tasks and calls are to be interrupted."""
        self._struck.update(dict.fromkeys(calls))
        while len(self._struck) > _STRUCK:
            del self._struck[next(iter(self._struck))]

    async def struck(self, calls: list[bytes]) -> tuple[list[bytes], float]:
        """All that are to be interrupted, if there are some of these among them; and the seconds
        after which to ask again, which are more than one where thousands ask."""
        self._asked += 1
        now = time.monotonic()
        if now - self._asked_since > self._pause:
            self._pause = max(1.0, self._asked / _QUESTIONS)
            self._asked, self._asked_since = 0, now
        wanted = any(call in self._struck for call in calls)
        return list(self._struck) if wanted else [], self._pause

    async def bury(self, actor: bytes, record: bytes) -> None:
        """Keep why an actor's constructor failed."""
        self._obituaries[actor] = record
        while len(self._obituaries) > _OBITUARIES:
            del self._obituaries[next(iter(self._obituaries))]

    async def obituary(self, actor: bytes) -> bytes:
        return self._obituaries.get(actor, b"")

    # -- what failed tasks left: see `Kept` --------------------------------------------------------

    async def keep(self, parcels: list[Parcel]) -> None:
        for parcel in parcels:
            self._kept.add(*parcel)
        came, self._came = self._came, asyncio.Event()
        came.set()

    async def header_of(self, task: str, patience: float) -> bytes:
        """As soon as it is here, or b"" after `patience` seconds."""
        await self._await([task], patience)
        return self._kept.header(task)

    async def part_of(self, task: str, offset: int, size: int) -> bytes:
        return self._kept.part(task, offset, size)

    async def headers(
        self, known: list[str], awaited: list[str], patience: float
    ) -> tuple[list[str], dict[str, bytes]]:
        await self._await(awaited, patience)
        return self._kept.headers(set(known))

    async def _await(self, tasks: list[str], patience: float) -> None:
        """Until these have come, for so many seconds at most."""
        end = time.monotonic() + patience
        while not all(map(self._kept.came, tasks)):
            try:
                await asyncio.wait_for(self._came.wait(), end - time.monotonic())
            except asyncio.TimeoutError:
                return
