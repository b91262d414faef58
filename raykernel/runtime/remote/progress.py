"""Progress bars of large objects on their way, for those that take more than a moment. Sans-IO."""

from __future__ import annotations

import itertools

from raykernel.runtime.events import BarInfo

from .outbox import Transfer

_PATIENCE = 1.0  # seconds an object may take without a word
_EVERY = 0.5

_numbers = itertools.count(1)


class Progress:
    """One direction of one driver. `where` is as in "from the head"."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._id = ""
        self._begun = 0.0
        self._told = 0.0
        self._passed = 0  # bytes of objects that are through
        self._sizes: dict[int, int] = {}

    def look(self, transfers: list[Transfer], now: float) -> list[BarInfo]:
        """What to show now: nothing, most of the time."""
        if not transfers and not self._sizes:
            return []
        if not self._sizes:
            self._begun, self._told, self._passed = now, 0.0, 0
        alive = {id(each): each for each in transfers}
        for key in [key for key in self._sizes if key not in alive]:
            self._passed += self._sizes.pop(key)
        for key, each in alive.items():
            self._sizes[key] = each.size
        if not alive:
            shown, self._id = self._id, ""
            return [self._bar(shown, now, self._passed, True)] if shown else []
        if now - self._begun < _PATIENCE or now - self._told < _EVERY:
            return []
        self._told = now
        if not self._id:
            self._id = f"transfer-{id(self):x}-{next(_numbers)}"
        return [self._bar(self._id, now, self._passed + sum(t.position for t in transfers), False)]

    def _bar(self, shown: str, now: float, n: int, closed: bool) -> BarInfo:
        total = self._passed + sum(self._sizes.values())
        return BarInfo(
            shown, desc=f"MiB of objects {self._where}", n=_mib(n), total=_mib(total), unit="MiB",
            elapsed=now - self._begun, closed=closed,
        )  # fmt: skip


def _mib(size: int) -> float:
    return round(size / 2**20, 1)
