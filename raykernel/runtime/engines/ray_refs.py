"""What this process refers to, by our ids: Ray's references, and how many of our refs there are.

Finalizers run anywhere, also in the middle of Ray's code: what they drop is noted, and dropped for
Ray at the next call that comes along.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any


class Entry:
    """One object, or one actor's handle. `name` and `actor` are for what is said of failures."""

    __slots__ = ("actor", "count", "kind", "name", "ref")

    def __init__(
        self, ref: Any, count: int, name: str = "", actor: bytes = b"", kind: str = ""
    ) -> None:
        self.ref = ref
        self.count = count
        self.name = name
        self.actor = actor
        self.kind = kind


class Refs:
    """Thread-safe."""

    def __init__(self, gone: Callable[[bytes], None]) -> None:
        self._gone = gone  # called once an id has no instance left
        self._entries: dict[bytes, Entry] = {}
        self._dropped: deque[bytes] = deque()
        self._lock = threading.RLock()  # guards counts; taken by no finalizer
        self.drop = self._dropped.append

    def __contains__(self, object_id: bytes) -> bool:
        return object_id in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def counts(self) -> list[tuple[bytes, int]]:
        return [(object_id, entry.count) for object_id, entry in list(self._entries.items())]

    def get(self, object_id: bytes) -> Entry | None:
        return self._entries.get(object_id)

    def of(self, ids: Iterable[bytes]) -> dict[bytes, Any]:
        """Ray's references of these, to be sent along."""
        found = {}
        for object_id in ids:
            entry = self._entries.get(object_id)
            if entry is not None:
                found[object_id] = entry.ref
        return found

    def new(self, object_id: bytes, entry: Entry) -> None:
        with self._lock:
            self._entries[object_id] = entry

    def add(self, object_id: bytes) -> bool:
        """One instance more; False if nothing is known of it here."""
        with self._lock:
            entry = self._entries.get(object_id)
            if entry is None:
                return False
            entry.count += 1
            return True

    def take(self, object_id: bytes, entry: Entry) -> None:
        """The same of what may not be known here: `entry` then counts as one instance."""
        with self._lock:
            known = self._entries.setdefault(object_id, entry)
            if known is not entry:
                known.count += 1

    def adopt(self, refs: Mapping[bytes, Any]) -> list[bytes]:
        """References that came along: they stay for as long as there are instances, from the next
        `shed` on."""
        with self._lock:
            for object_id, ref in refs.items():
                if object_id not in self._entries:
                    self._entries[object_id] = Entry(ref, 0)
        return list(refs)

    def shed(self, ids: Iterable[bytes]) -> None:
        """What came along and was not wanted goes."""
        with self._lock:
            for object_id in ids:
                entry = self._entries.get(object_id)
                if entry is not None and entry.count <= 0:
                    del self._entries[object_id]

    def settle(self) -> None:
        """Drop for Ray what was dropped here."""
        dropped = self._dropped
        while dropped:
            with self._lock:
                try:
                    object_id = dropped.popleft()
                except IndexError:
                    return
                entry = self._entries.get(object_id)
                if entry is None:
                    continue
                entry.count -= 1
                last = entry.count <= 0
                if last:
                    del self._entries[object_id]
            if last:
                self._gone(object_id)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._dropped.clear()
