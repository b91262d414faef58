"""The object table: values, who refers to them, who waits for them, where they lie. Sans-IO.

An object lives while its `count` is above zero. References are counted where they are:

* in processes: each `ObjectRef` instance counts one, reported as AddRef/Release by its client
  (the refs a submission returns count without a message). A client's references die with it.
* in tasks: arguments count from submission until the task's end.
* in objects: refs inside a value count while the containing object lives.

Whoever unpickles a ref still holds the container (as an argument, or as its own reference) until
its AddRef is on the way, on the same stream as the later Release of the container: so a count
never touches zero while somebody is about to hold on.

Memory in the arena is *pinned* by each delivery to a client until the client says that the last
view is gone, or dies. A block is free when its object is gone and nobody has it pinned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .allocator import Allocator
from .ids import is_handle
from .instructions import Discard, Instruction
from .messages import ErrorRecord, Value
from .records import Client, Object, Task
from .wire import encode_one

Settled = Callable[[Task, Value], None]


class ObjectTable:
    """Called by the scheduler only; appends to its instructions."""

    def __init__(
        self,
        allocator: Allocator,
        out: list[Instruction],
        settled: Settled,
        handles_gone: Callable[[bytes], None],
    ) -> None:
        self.objects: dict[bytes, Object] = {}
        self.allocator = allocator
        self.full_outboxes: set[Client] = set()
        self._out = out
        self._settled = settled  # a task's argument got its value
        self._handles_gone = handles_gone  # the last handle of this actor is gone
        self._pins: dict[bytes, int] = {}  # pins of objects that are gone already
        self._blocks: dict[bytes, int] = {}  # their offsets

    # -- references ----------------------------------------------------------------------------

    def create(self, object_id: bytes, task: Task | None, holder: Client | None) -> Object:
        """A new object, without a value, held once by `holder`."""
        entry = self.objects[object_id] = Object(task)
        if holder is not None:
            entry.count = 1
            holder.held[object_id] = 1
        return entry

    def hold(self, client: Client, ids: Iterable[bytes]) -> None:
        """One reference more from `client`. An id that is not known (any more) becomes a lost
        object, so that a later `get` says so."""
        for object_id in ids:
            entry = self.objects.get(object_id)
            if entry is None:
                entry = self.lost(object_id)
            entry.count += 1
            client.held[object_id] = client.held.get(object_id, 0) + 1

    def release(self, client: Client, ids: Iterable[bytes]) -> None:
        held = client.held
        for object_id in ids:
            mine = held.get(object_id, 0)
            if not mine:
                continue
            entry = self.objects[object_id]
            if mine > 1:
                held[object_id] = mine - 1
            else:
                del held[object_id]
                if entry.waiters and client in entry.waiters:
                    entry.waiters.remove(client)  # who has no ref has no use for the value
            entry.count -= 1
            if entry.count == 0:
                self._free(object_id, entry)

    def lost(self, object_id: bytes) -> Object:
        entry = self.objects[object_id] = Object(None)
        record = ErrorRecord(
            "actor_died" if is_handle(object_id) else "lost",
            "the object is not known to this session: it was freed, or belongs to another session",
        )
        entry.value = error_value(object_id, record)
        return entry

    def incref(self, object_id: bytes) -> Object:
        entry = self.objects.get(object_id)
        if entry is None:
            entry = self.lost(object_id)
        entry.count += 1
        return entry

    def decref(self, object_id: bytes) -> None:
        entry = self.objects[object_id]
        entry.count -= 1
        if entry.count == 0:
            self._free(object_id, entry)

    def _free(self, object_id: bytes, entry: Object) -> None:
        """Forget an object and, without recursion, what only it contained."""
        stack = [(object_id, entry)]
        while stack:
            object_id, entry = stack.pop()
            del self.objects[object_id]
            value = entry.value
            if value is None:
                if is_handle(object_id):
                    self._handles_gone(object_id[:16])
                continue
            if value.offset >= 0:
                if entry.pins:
                    self._pins[object_id] = entry.pins
                    self._blocks[object_id] = value.offset
                else:
                    self.free_block(value.offset)
            for inner in value.contained:
                other = self.objects[inner]
                other.count -= 1
                if other.count == 0:
                    stack.append((inner, other))

    # -- values --------------------------------------------------------------------------------

    def settle(self, object_id: bytes, value: Value, writer: Client | None) -> None:
        """The object has its value: hand it to those who wait. A second value is dropped."""
        if value.offset >= 0 and writer is not None:
            writer.blocks.discard(value.offset)
        entry = self.objects.get(object_id)
        if entry is None or entry.value is not None:
            if value.offset >= 0:
                self.free_block(value.offset)
            return
        entry.value = value
        for inner in value.contained:
            self.incref(inner)
        waiters, entry.waiters = entry.waiters, None
        if waiters:
            for client in waiters:
                if client.connected:
                    self.deliver(client, entry, value)
        dependents, entry.dependents = entry.dependents, None
        if dependents:
            for task in dependents:
                self._settled(task, value)

    def want(self, client: Client, ids: Iterable[bytes]) -> None:
        for object_id in ids:
            entry = self.objects.get(object_id)
            if entry is None:
                entry = self.lost(object_id)
                value = entry.value
                assert value is not None
                del self.objects[object_id]
                self._queue(client, value)
            elif entry.value is not None:
                self.deliver(client, entry, entry.value)
            elif entry.waiters is None:
                entry.waiters = [client]
            elif client not in entry.waiters:
                entry.waiters.append(client)

    def deliver(self, client: Client, entry: Object, value: Value) -> None:
        if value.offset >= 0:
            self.pin(client, entry, value.id)
        self._queue(client, value)

    def _queue(self, client: Client, value: Value) -> None:
        if not client.outbox:
            self.full_outboxes.add(client)
        client.outbox.append(value)

    # -- memory --------------------------------------------------------------------------------

    def pin(self, client: Client, entry: Object, object_id: bytes) -> None:
        entry.pins += 1
        client.pins[object_id] = client.pins.get(object_id, 0) + 1

    def unpin(self, client: Client, object_id: bytes) -> None:
        mine = client.pins.get(object_id, 0)
        if mine > 1:
            client.pins[object_id] = mine - 1
        elif mine == 1:
            del client.pins[object_id]
        else:
            return
        self._unpin(object_id, 1)

    def _unpin(self, object_id: bytes, n: int) -> None:
        pins = self._pins.get(object_id)
        if pins is None:
            self.objects[object_id].pins -= n
        elif pins > n:  # (there may be a lost object of this id by now: the pins aren't its)
            self._pins[object_id] = pins - n
        else:
            del self._pins[object_id]
            self.free_block(self._blocks.pop(object_id))

    def allocate(self, client: Client, size: int) -> int | None:
        offset = self.allocator.allocate(size)
        if offset is not None:
            client.blocks.add(offset)
        return offset

    def abandon(self, client: Client, offset: int) -> None:
        if offset in client.blocks:
            client.blocks.remove(offset)
            self.free_block(offset)

    def free_block(self, offset: int) -> None:
        for start, size in self.allocator.free(offset):
            self._out.append(Discard(start, size))

    def drop_client(self, client: Client) -> None:
        """The process is gone: so are its references, pins and half-written blocks."""
        for offset in client.blocks:
            self.free_block(offset)
        client.blocks.clear()
        for object_id, n in client.pins.items():
            self._unpin(object_id, n)
        client.pins.clear()
        held, client.held = client.held, {}
        for object_id, n in held.items():
            entry = self.objects.get(object_id)
            if entry is not None:
                entry.count -= n
                if entry.count == 0:
                    self._free(object_id, entry)


def error_value(object_id: bytes, record: ErrorRecord) -> Value:
    return Value(object_id, encode_one(record), error=True)
