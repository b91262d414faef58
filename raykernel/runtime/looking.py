"""Looking at values where they lie: views into the arena, or into a file.

A large value is not copied: what is unpickled from it are views, and as long as one of them lives,
its memory is pinned for this process. One view of its bytes is kept for each value that was looked
at, so that it is opened once. When the head needs room it asks for what nobody looks at; such a
value stays ready, and its place is AWAY: to look at it is to ask for it again.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from raykernel.raised import from_record

from . import files
from . import messages as m
from .guard import Guard
from .serialize import Buffer, deserialize
from .shm import Arena
from .waiting import Waiting


class Looking(Waiting):
    """See the head comment."""

    welcome: m.Welcome
    arena: Arena

    def __init__(
        self, path: str, guard: Guard | None, on_message: Callable[[Any], None] | None
    ) -> None:
        super().__init__(path, guard, on_message)
        self._views: dict[bytes, memoryview] = {}  # guarded by the send lock
        self._put_away: set[bytes] = set()  # large ones stored from here: kept here once looked at
        self._loading: set[bytes] = set()  # about to be looked at: not to be let go

    def load(self, value: m.Value, timeout: float | None = None) -> Any:
        """Unpickle a value that was got. Large ones are views into the arena, or into a file.

        Blocks only if the value was let go meanwhile, or lost. Raises Timeout, ConnectionLost, and
        the error that took the place of a value that was lost.
        """
        if value.offset == m.INLINE:
            return deserialize(value.data)
        return deserialize(self._look_at(value, timeout))

    def raw(self, value: m.Value) -> Buffer:
        """The bytes of a value as they are stored. As `load` otherwise."""
        return value.data if value.offset == m.INLINE else self._look_at(value, None)

    def _look_at(self, value: m.Value, timeout: float | None) -> Buffer:
        """The bytes of a value. They stay while somebody has a view of them."""
        object_id = value.id
        deadline = None if timeout is None else time.perf_counter() + timeout
        self._loading.add(object_id)
        try:
            while True:
                with self.guard, self._send_lock:
                    value = self._values.get(object_id, value)
                    view = self._views.get(object_id)
                    if view is None and value.offset not in (m.INLINE, m.AWAY):
                        view = self._open(value)
                        if view is not None and object_id in self._values:
                            self._views[object_id] = view
                if view is not None:
                    return view
                if value.error:
                    raise from_record(value.data)
                if value.offset == m.INLINE:
                    return value.data
                if value.offset != m.AWAY:
                    self._away(value)
                self._await_again(object_id, deadline)
        finally:
            self._loading.discard(object_id)

    def _open(self, value: m.Value) -> memoryview | None:
        """A view of a value where it lies; None if its file is lost."""
        if value.offset >= 0:
            entry = (value.offset,)
            return self.arena.view(value.offset, value.size, lambda: self._out.append(entry))
        try:
            return files.view(self.welcome.spill, value.data.decode(), value.size)
        except OSError:
            return None

    def _away(self, value: m.Value) -> m.Value:
        """A value's file can't be read: ask for it once it is somewhere else."""
        with self.guard, self._send_lock:
            away = msgspec.structs.replace(value, data=b"", offset=m.AWAY)
            self._values[value.id] = away
            self._wanted.add(value.id)
            self._out.append(m.Missing(value.id, value.data.decode()))
        return away

    def _await_again(self, object_id: bytes, deadline: float | None) -> None:
        """Wait for a value that is ready, and not here. Asked for as often as it takes: the head
        may answer a question from before with no more than that it is ready."""
        with self.guard:
            self.before_wait()
            try:
                while True:
                    seen = self._turn
                    with self._send_lock:
                        if self._values[object_id].offset != m.AWAY:
                            return
                        if object_id not in self._wanted:
                            self._wanted.add(object_id)
                            self._out.append(m.Want([object_id]))
                    self.flush()
                    self._wait_turn(seen, deadline)
            finally:
                self.after_wait()

    def _let_go(self, message: m.LetGo) -> None:
        """Give up the large values nobody looks at here. They stay ready: to look at one again is
        to ask for it again."""
        if message.collect:
            gc.collect()
        with self.guard, self._send_lock:
            for object_id in message.ids:
                value = self._values.get(object_id)
                if value is None or value.offset < 0 or object_id in self._loading:
                    continue
                self._values[object_id] = msgspec.structs.replace(value, offset=m.AWAY)
                if self._views.pop(object_id, None) is None:
                    self._out.append((value.offset,))
        self._out.append(m.LetGone())
        self._answered = True

    def _drop_values(self, ids: Iterable[bytes]) -> list[int]:
        """This process has no ref to them any more. Returns the places to be unpinned: all but of
        what is still looked at, which its last view unpins. Under the send lock."""
        unpinned = []
        if self._put_away:
            self._put_away.difference_update(ids)
        for object_id in ids:
            value = self._values.pop(object_id, None)
            if value is not None and value.offset != m.INLINE:
                if object_id in self._views:
                    # its finalizer may queue the unpin while we are at it: in the next round
                    del self._views[object_id]
                    self._again = True
                elif value.offset >= 0:
                    unpinned.append(value.offset)
        return unpinned

    def _let_all_go(self) -> None:
        self._views.clear()
        self._values.clear()
        self.arena.close()

    # -- what lies where -----------------------------------------------------------------------

    def placed(self) -> dict[int, bytes]:
        """The objects here that lie in the arena, by their place."""
        return {value.offset: i for i, value in list(self._values.items()) if value.offset >= 0}

    def place_of(self, address: int) -> int | None:
        """The place of the object in the arena that this process sees at `address`."""
        return self.arena.place(address)
