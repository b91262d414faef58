"""What takes the object store's memory and who keeps it, for the memory view: asked for while
somebody looks. Who holds what in the user's words is found by the `look` that is handed in, since
a notebook knows its variables and the dashboard does not.

A look walks through the user's variables, which takes longer the more there are; it is repeated at
a distance that keeps it below a `SHARE` of the time. Not thread-safe: the view guards it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from . import memory_still
from .subject import Quiet

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

ROWS = 250  # objects that viewers are told of, the largest
HOLDERS = 6  # of one object
EVERY = 1.0  # seconds between two looks, at least
SHARE = 0.03

#: What may keep an object, as the view's filter names them.
KINDS = ("variable", "output", "task", "actor", "object", "other")


class Holder(NamedTuple):
    kind: str  # one of KINDS
    text: str


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """An object: `where` it lies, what `made` it, its live views (`pins`) and who holds it.

    `object` is its hex id, "" for memory that is still looked at though its object is gone.
    """

    object: str
    size: int
    where: str  # "pending", "inline" (in the head), "memory" or "disk"
    made: str
    pins: int
    holders: list[Holder]


@dataclass(frozen=True, slots=True)
class Look:
    """One moment: all objects, the largest first, and the store's numbers (see `Engine.query`)."""

    objects: list[MemoryRow]
    store: dict[str, Any]
    session: str


class MemoryModel(Quiet):
    """`rows` are in the static form."""

    kind = "memory"
    rests = False

    def __init__(
        self,
        look: Callable[[Engine], Look],
        rows: int = 20,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.version = 0
        self.poll_every = EVERY
        self.rows = rows
        self.seen: Look | None = None
        self.last: Look | None = None  # of a session that has ended: for the file
        self._look = look
        self._clock = clock

    @property
    def live(self) -> int:
        return 0  # what is kept changes with variables too, of which no feed tells

    def poll(self, engine: Engine | None) -> bool:
        before, self.seen = self.seen, None
        self.last = before or self.last
        if engine is not None:
            began = self._clock()
            try:
                self.seen = self._look(engine)
            except RuntimeError:  # a container changed while it was looked through
                self.seen = before
            self.poll_every = max(EVERY, (self._clock() - began) / SHARE)
        if self.seen == before:
            return False
        self.version += 1
        return True

    def snapshot(self) -> dict[str, Any]:
        told: dict[str, Any] = {"version": self.version, "session": "", "kinds": KINDS}
        if self.seen is None:
            return told
        objects = self.seen.objects
        return {
            **told,
            "session": self.seen.session,
            "store": self.seen.store,
            "count": len(objects),
            "size": sum(row.size for row in objects),
            "objects": [
                [
                    row.object,
                    row.size,
                    row.where,
                    row.made,
                    row.pins,
                    [*row.holders[:HOLDERS], *_rest(row.holders)],
                ]
                for row in objects[:ROWS]
            ],
        }

    def bundle(self, view: str = "") -> dict[str, str]:
        return memory_still.bundle(self.seen or self.last, self.rows, view, self.seen is None)


def _rest(holders: list[Holder]) -> list[Holder]:
    left = len(holders) - HOLDERS
    return [Holder("other", f"and {left:,} more")] if left > 0 else []
