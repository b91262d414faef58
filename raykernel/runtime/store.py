"""The object table: values, who refers to them, who waits for them, where they lie. Sans-IO.

An object lives while its `count` is above zero. References are counted where they are:

* in processes: each `ObjectRef` instance counts one, reported as AddRef/Release by its client
  (the refs a submission returns count without a message). A client's references die with it.
* in tasks: arguments count from submission until the task's end.
* in objects: refs inside a value count while the containing object lives.

Whoever unpickles a ref still holds the container (as an argument, or as its own reference) until
its AddRef is on the way, on the same stream as the later Release of the container: so a count
never touches zero while somebody is about to hold on.

A value lies in the head (small ones), in a block of the arena (blocks.py), or in a file of the
spill folder. A file is read where it is, through a mapping of its own: it needs no pin, for what is
mapped stays readable when its name is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from .allocator import Allocator
from .blocks import Blocks
from .ids import is_handle
from .instructions import Instruction, Unlink
from .messages import AWAY, INLINE, ON_DISK, ErrorRecord, Value
from .records import Client, Object, Task
from .wire import encode_one

Settled = Callable[[Task, Value], None]


class ObjectTable:
    """Called by the scheduler only; appends to its instructions."""

    def __init__(
        self,
        allocator: Allocator,
        out: list[Instruction],
        handles_gone: Callable[[bytes], None],
        large_gone: Callable[[bytes], None],
    ) -> None:
        self.objects: dict[bytes, Object] = {}
        self.blocks = Blocks(allocator, out)
        self.full_outboxes: set[Client] = set()
        self._out = out
        self.settled: Settled  # the scheduler's: an argument of a task got its value
        self._handles_gone = handles_gone  # the last handle of this actor is gone
        self._large_gone = large_gone  # a value that was not inline is gone with its object
        self.disk: dict[str, int] = {}  # sizes of the files that hold an object
        self.on_disk = 0  # bytes in them
        self.read_back = 0  # bytes delivered from them so far

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
            if value.offset != INLINE:
                self.drop_place(value)
                self._large_gone(object_id)
            for inner in value.contained:
                other = self.objects[inner]
                other.count -= 1
                if other.count == 0:
                    stack.append((inner, other))

    # -- values --------------------------------------------------------------------------------

    def settle(self, object_id: bytes, value: Value, writer: Client | None) -> None:
        """The object has its value: hand it to those who wait. A second value is dropped."""
        entry = self.objects.get(object_id)
        if entry is None or entry.value is not None:
            if value.offset != INLINE:
                self.drop_place(value, writer)
            return
        if value.offset != INLINE:
            self._seal(object_id, value, writer)
        entry.value = value
        for inner in value.contained:
            self.incref(inner)
        waiters, entry.waiters = entry.waiters, None
        if waiters:
            look = value.offset == INLINE or not self.blocks.crowded
            for client in waiters:
                if client.connected:
                    self.deliver(client, value, look)
        dependents, entry.dependents = entry.dependents, None
        if dependents:
            for task in dependents:
                self.settled(task, value)

    def want(self, client: Client, ids: Iterable[bytes], look: bool = True) -> None:
        for object_id in ids:
            entry = self.objects.get(object_id)
            if entry is None:
                entry = self.lost(object_id)
                value = entry.value
                assert value is not None
                del self.objects[object_id]
                self._queue(client, value)
            elif entry.value is not None:
                self.deliver(client, entry.value, look)
            elif entry.waiters is None:
                entry.waiters = [client]
            elif client not in entry.waiters:
                entry.waiters.append(client)

    def deliver(self, client: Client, value: Value, look: bool = True) -> None:
        """Send a value. What lies in the arena and need not be looked at yet is only told of:
        then it can still move to disk."""
        if value.offset >= 0 and not look:
            value = replace(value, offset=AWAY)
        elif value.offset != INLINE:
            self.use(client, value)
        self._queue(client, value)

    def use(self, client: Client, value: Value) -> None:
        """A value that is not inline is about to be sent to `client`."""
        if value.offset >= 0:
            self.blocks.pin(client, value.offset)
        else:
            self.read_back += value.size

    def _queue(self, client: Client, value: Value) -> None:
        if not client.outbox:
            self.full_outboxes.add(client)
        client.outbox.append(value)

    # -- places --------------------------------------------------------------------------------

    def _seal(self, object_id: bytes, value: Value, writer: Client | None) -> None:
        if value.offset >= 0:
            self.blocks.seal(value.offset, object_id, writer)
            return
        name = file_of(value)
        if writer is not None:
            writer.files.discard(stem(name))
        self.disk[name] = value.size
        self.on_disk += value.size

    def drop_place(self, value: Value, writer: Client | None = None) -> None:
        """Nobody needs what lies at this value's place (any more)."""
        if value.offset >= 0:
            self.blocks.drop(value.offset, writer)
            return
        name = file_of(value)
        if writer is not None:
            writer.files.discard(stem(name))
        self.on_disk -= self.disk.pop(name, 0)
        self._out.append(Unlink(name))

    def moved(self, object_id: bytes, value: Value) -> None:
        """The object lies in a file now; views of its block may live on."""
        entry = self.objects[object_id]
        assert entry.value is not None
        self.blocks.drop(entry.value.offset)
        entry.value = value
        self._seal(object_id, value, None)

    def forget_value(self, object_id: bytes) -> Object:
        """The only copy is lost: the object waits for a value again."""
        entry = self.objects[object_id]
        value, entry.value = entry.value, None
        assert value is not None
        self.drop_place(value)
        for inner in value.contained:
            self.decref(inner)
        return entry

    def pins(self, entry: Object) -> int:
        value = entry.value
        return 0 if value is None or value.offset < 0 else self.blocks.blocks[value.offset].pins

    def abandon(self, client: Client, offset: int, file: str) -> None:
        """A place that `client` was given holds no object, and never will."""
        if offset >= 0:
            self.blocks.abandon(client, offset)
        elif stem(file) in client.files:
            client.files.remove(stem(file))
            self._out.append(Unlink(file))

    def drop_client(self, client: Client) -> None:
        """The process is gone: so are its references, pins and half-written places."""
        self.blocks.drop_client(client)
        for name in client.files:
            self._out.append(Unlink(name))
        client.files.clear()
        held, client.held = client.held, {}
        for object_id, n in held.items():
            entry = self.objects.get(object_id)
            if entry is not None:
                entry.count -= n
                if entry.count == 0:
                    self._free(object_id, entry)


def file_of(value: Value) -> str:
    """The name of the file in which a value lies."""
    assert value.offset == ON_DISK
    return value.data.decode()


def stem(name: str) -> str:
    """A spill file's name without the suffix that tells its format."""
    return name.partition(".")[0]


def error_value(object_id: bytes, record: ErrorRecord) -> Value:
    """The error as an object's value: it keeps what the refs in the exception refer to."""
    return Value(object_id, encode_one(record), error=True, contained=record.refs)
