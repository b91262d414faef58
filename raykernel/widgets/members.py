"""The tasks behind a card of the graph, one byte each, for the cards that are unfolded.

An unfolded card shows a cell for each of its tasks, in the order of their submission, row by row.
How many there are in a row is fixed when it is unfolded, so that no cell ever moves. Only unfolded
cards travel: whole in a snapshot (half a byte a task), and as changed cells in a delta, or whole
again where that is shorter. Pure.
"""

from __future__ import annotations

import base64
import math
from typing import Any

MOST = 100_000  # tasks drawn one by one, per card; further ones are only counted


class Members:
    """`ids` holds None for a task that was forgotten, or is only known by number."""

    __slots__ = ("changed", "columns", "ids", "states")

    def __init__(self) -> None:
        self.states = bytearray()
        self.ids: list[str | None] = []
        self.columns = 0  # 0: folded
        self.changed: set[int] = set()

    def add(self, task: str, state: int) -> int:
        """The task's place, -1 if there are too many."""
        place = len(self.states)
        if place >= MOST:
            return -1
        self.states.append(state)
        self.ids.append(task)
        if self.columns:
            self.changed.add(place)
        return place

    def add_nameless(self, count: int, state: int) -> None:
        """Tasks of which there is only a number."""
        place = len(self.states)
        count = min(count, MOST - place)
        self.states.extend(bytes([state]) * count)
        self.ids.extend([None] * count)
        if self.columns:
            self.changed.update(range(place, place + count))

    def change(self, place: int, state: int) -> None:
        if place >= 0:
            self.states[place] = state
            if self.columns:
                self.changed.add(place)

    def unfold(self) -> None:
        self.columns = self.columns or max(16, math.ceil(math.sqrt(3 * len(self.states))))
        self.changed.clear()

    def fold(self) -> None:
        self.columns = 0
        self.changed.clear()

    def whole(self) -> list[Any]:
        """[tasks, in a row, their states packed]"""
        self.changed.clear()
        return [len(self.states), self.columns, pack(self.states)]

    def changes(self) -> list[Any] | None:
        """The same, or [tasks, in a row, [place, state, ...]]; None if nothing changed."""
        if not self.changed:
            return None
        if 8 * len(self.changed) > len(self.states) // 2:
            return self.whole()
        flat: list[int] = []
        for place in sorted(self.changed):
            flat += (place, self.states[place])
        self.changed.clear()
        return [len(self.states), self.columns, flat]


def pack(states: bytes | bytearray) -> str:
    """Two states a byte, the first in the upper half, as base64."""
    padded = bytes(states) + b"\0" * (len(states) % 2)
    upper = int.from_bytes(padded[0::2], "big") << 4
    both = upper | int.from_bytes(padded[1::2], "big")
    return base64.b64encode(both.to_bytes(len(padded) // 2, "big")).decode()
