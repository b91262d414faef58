"""Named objects: values that the session itself keeps, under a name, whoever leaves. Sans-IO.

A name holds one reference to its object. Given again it holds the new object, and the old one
lives on only as long as others refer to it. Names are told apart by namespace, like actors' names.
"""

from __future__ import annotations

from typing import Any

from .records import Client, Task
from .store import ObjectTable


class NamedObjects:
    """Owned by the scheduler."""

    def __init__(self, store: ObjectTable) -> None:
        self.names: dict[tuple[str, str], bytes] = {}
        self._store = store

    def give(self, namespace: str, name: str, object_id: bytes) -> None:
        """Name an object, instead of the one that had the name."""
        self._store.incref(object_id)
        old = self.names.pop((namespace, name), None)
        self.names[namespace, name] = object_id
        if old is not None:
            self._store.decref(old)

    def take(self, namespace: str, name: str) -> bool:
        """Take a name away; False if there is none."""
        object_id = self.names.pop((namespace, name), None)
        if object_id is not None:
            self._store.decref(object_id)
        return object_id is not None

    def lend(self, client: Client, namespace: str, name: str) -> bytes:
        """The object of that name, b"" if there is none. `client` holds it once from now on, so
        that it can't go before the client has a reference of its own."""
        object_id = self.names.get((namespace, name), b"")
        if object_id:
            self._store.hold(client, [object_id])
        return object_id

    def unfinished(self) -> list[Task]:
        """The tasks that are to make a named object."""
        entries = [self._store.objects[object_id] for object_id in self.names.values()]
        return [e.task for e in entries if e.value is None and e.task is not None]

    def listed(self) -> list[dict[str, Any]]:
        out = []
        for (namespace, name), object_id in self.names.items():
            value = self._store.objects[object_id].value
            out.append(
                {
                    "name": name,
                    "namespace": namespace,
                    "object_id": object_id.hex(),
                    "ready": value is not None,
                    "size": 0 if value is None else max(value.size, len(value.data)),
                }
            )
        return out
