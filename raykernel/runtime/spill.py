"""Room for new objects: who waits for it, what moves to disk to make it. Sans-IO.

A request for memory that finds none waits in line. Meanwhile objects that nobody looks at move to
files of the spill folder, the one used longest ago first, as many as the line needs; and processes
that hold deliveries of the others are asked to give up those that nobody looks at (`LetGo`), which
makes these movable too. Nothing else waits: a file is read where it is, so bringing an object back
takes no room, and no two readers can compete for it. The page cache makes that as quick as memory
while there is memory.

    Allocate ─▶ room? ─ yes ─▶ Reply(offset)
                  └ no ─▶ line ─▶ Spill … spilled ─▶ block free ─▶ Reply(offset)
                            └ nothing to move for `GRACE` seconds ─▶ a file, or an error

Who gets a file to write to: whatever is larger than the arena; the result of a task, which must not
be lost; and who is short of room only because running tasks look at their arguments. A `put` that
finds all memory held by views gets an error that names the largest and who holds them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from . import holdings
from . import messages as m
from .allocator import pages
from .blocks import Block
from .dispatch import POKE
from .instructions import Send, SignalWorker, Spill, Unlink
from .records import Client, Worker
from .wire import encode_one

if TYPE_CHECKING:
    from .scheduler import Scheduler

#: Seconds in which nothing has moved until a request is given up.
GRACE = 1.0
_ASK_AGAIN = 0.2  # seconds between two rounds of asking for what nobody looks at
_AT_ONCE = 256 * 2**20  # bytes on their way to disk at once, unless one request needs more
_NAMED = 3  # holders named in an error


class Request:
    """Somebody waits for memory."""

    __slots__ = ("client", "message")

    def __init__(self, client: Client, message: m.Allocate) -> None:
        self.client = client
        self.message = message


class Room:
    """Called by the scheduler only."""

    def __init__(self, core: Scheduler, enabled: bool) -> None:
        self.enabled = enabled
        self.waiting: deque[Request] = deque()
        self.moving: dict[str, int] = {}  # files being written: from which block
        self.spilled_bytes = 0  # so far
        self.spilled_objects = 0
        self._core = core
        self._blocks = core.store.blocks
        self._files = 0
        self._asked: dict[bytes, int] = {}  # clients that have yet to answer: how many times
        self._next_ask = 0.0
        self._rounds = 0  # of asking, since something moved
        self._stuck = 0.0  # since when nothing has moved, 0: it does
        self._hopeless = -1  # `changes` of the blocks when a request was given up
        self._trouble = ""  # why writing a file failed
        self._full = False  # it was for lack of disk space
        self._warned = False  # that the arena's file system is too small

    @property
    def troubled(self) -> bool:
        """Whether moving objects has failed since the last request came."""
        return bool(self._trouble)

    # -- requests ------------------------------------------------------------------------------

    def allocate(self, client: Client, message: m.Allocate) -> None:
        if message.broken:
            self._blocks.give_back()
            self._warn_of_small_memory()
            if self.enabled:
                self._give_file(client, message)
            else:
                self._refuse(client, message, "the file system of the object store is full")
            return
        if message.size > self._blocks.allocator.capacity:
            if self.enabled:
                self._give_file(client, message)
            else:
                self._refuse(client, message, "it is larger than the object store")
            return
        if not self.waiting and self._serve(client, message):
            return
        self._trouble = ""  # the disk may have space again
        self.waiting.append(Request(client, message))  # `pump` comes when the turn ends

    def _warn_of_small_memory(self) -> None:
        if self._warned or not self.enabled:
            return
        self._warned = True
        where = self._core.welcome
        self._core.reports.warn(
            f"The file system of the object store ({where.arena}) is full before the store is: "
            f"large objects go to mapped files in {where.spill} instead, which is slower. Free "
            "memory there, give it more (Docker: --shm-size), or start with a smaller "
            "object_store_memory."
        )

    def _serve(self, client: Client, message: m.Allocate) -> bool:
        offset = self._blocks.allocate(client, message.size)
        if offset is None:
            return False
        self._reply(client, message, encode_one(offset))
        return True

    def _reply(self, client: Client, message: m.Allocate, data: bytes) -> None:
        self._core.out.append(Send(client.id, m.Reply(message.request, data)))

    def _give_file(self, client: Client, message: m.Allocate) -> None:
        name = self._new_file()
        client.files.add(name)
        self._reply(client, message, encode_one(name))

    def _new_file(self) -> str:
        self._files += 1
        return f"object-{self._files:06d}"

    def pump(self) -> None:
        """Serve the line as far as there is room, and make more. Cheap when nobody waits."""
        while self.waiting:
            first = self.waiting[0]
            if not first.client.connected or self._serve(first.client, first.message):
                self.waiting.popleft()
                self._stuck = 0.0
                continue
            self._make_room()
            if self.moving:
                self._stuck = 0.0
                return
            now = self._core.clock()
            self._stuck = self._stuck or now
            hopeless = self._hopeless == self._blocks.changes
            patient = not (self._trouble or hopeless) and now - self._stuck < GRACE
            if patient and (self._asked or self._looked_at()):
                if now >= self._next_ask:
                    self._ask(now)
                return
            self.waiting.popleft()
            self._give_up(first)
        self._stuck = 0.0
        self._rounds = 0

    def _looked_at(self) -> bool:
        """Whether room may come yet, by itself or if somebody lets go."""
        blocks = self._blocks.blocks.values()
        return any(b.pins or not b.owner for b in blocks)

    # -- moving --------------------------------------------------------------------------------

    def _make_room(self) -> None:
        """Move what nobody looks at, as much as the line needs."""
        if not self.enabled or self._trouble:
            return
        needs = [pages(r.message.size) for r in self.waiting]
        wanted = max(needs[0], min(sum(needs), _AT_ONCE))
        coming = sum(self._blocks.blocks[o].size for o in self.moving.values())
        if coming >= wanted:
            return
        for offset, block in self._blocks.recent.items():
            if block.pins or block.moving:
                continue
            coming += self._move(offset, block)
            if coming >= wanted:
                return

    def _move(self, offset: int, block: Block) -> int:
        value = self._core.store.objects[block.owner].value
        assert value is not None
        block.moving = self._new_file()
        self.moving[block.moving] = offset
        self._core.out.append(Spill(block.moving, offset, value.size))
        return block.size

    def spilled(self, file: str, name: str) -> None:
        """The block was copied to `name`, which is `file` and a suffix."""
        offset = self.moving.pop(file)
        block = self._blocks.blocks[offset]
        store = self._core.store
        if block.owner:
            value = store.objects[block.owner].value
            assert value is not None
            self.spilled_bytes += value.size
            self.spilled_objects += 1
            on_disk = m.Value(
                block.owner, name.encode(), offset=m.ON_DISK, size=value.size,
                contained=value.contained,
            )  # fmt: skip
            store.moved(block.owner, on_disk)
        else:  # its object is gone meanwhile
            self._core.out.append(Unlink(name))
        self._blocks.moved(offset)
        self._rounds = 0

    def spill_failed(self, file: str, why: str, full: bool) -> None:
        """The block could not be copied: the object stays where it is."""
        offset = self.moving.pop(file)
        self._blocks.moved(offset)
        self._trouble, self._full = why, full

    # -- asking --------------------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        """Ask everybody to give up what nobody looks at there."""
        self._next_ask = now + _ASK_AGAIN
        self._rounds += 1
        for client in self._core.clients.values():
            blocks = self._blocks.blocks
            ids = [blocks[o].owner for o in client.pins if blocks[o].owner]
            if not ids and (self._rounds == 1 or not client.pins):
                continue
            self._asked[client.id] = self._asked.get(client.id, 0) + 1
            self._core.out.append(Send(client.id, m.LetGo(ids, self._rounds > 1)))
            if isinstance(client, Worker):
                self._core.out.append(SignalWorker(client.id, POKE))

    def let_gone(self, client: Client, message: m.LetGone) -> None:
        left = self._asked.get(client.id, 0)
        if left > 1:
            self._asked[client.id] = left - 1
        else:
            self._asked.pop(client.id, None)

    def drop_client(self, client: Client) -> None:
        self._asked.pop(client.id, None)
        if self.waiting:
            self.waiting = deque(r for r in self.waiting if r.client is not client)

    # -- time ----------------------------------------------------------------------------------

    def next_due(self, now: float) -> float | None:
        """Seconds until `pump` should look again, None if only an event can change anything."""
        if not self.waiting or self.moving:
            return None
        return max(0.0, min(self._next_ask, self._stuck + GRACE) - now)

    # -- giving up -----------------------------------------------------------------------------

    def _give_up(self, request: Request) -> None:
        """There is no room in memory, and there will be none."""
        client, message = request.client, request.message
        if not self._trouble:
            self._hopeless = self._blocks.changes
        need = pages(message.size)
        if not self.enabled:
            self._refuse(client, message, "moving objects to disk is switched off")
        elif self._trouble:
            why = f"no object can be moved to disk ({self._core.welcome.spill}): {self._trouble}"
            self._refuse(client, message, why, "disk" if self._full else "")
        elif message.result or self._held_for_long() + need <= self._blocks.allocator.capacity:
            self._give_file(client, message)
        else:
            self._refuse(client, message, "none can be moved to disk, as programs look at them")

    def _held_for_long(self) -> int:
        """Bytes of blocks that are looked at, other than as arguments of running tasks."""
        held: set[int] = set()
        for client in self._core.clients.values():
            passing: set[bytes] = set()
            if isinstance(client, Worker):
                passing.update(d for t in client.inflight.values() for d in t.spec.deps)
            held.update(o for o in client.pins if self._blocks.blocks[o].owner not in passing)
        return sum(self._blocks.blocks[offset].size for offset in held)

    def _refuse(self, client: Client, message: m.Allocate, why: str, kind: str = "") -> None:
        used, capacity = self._blocks.allocator.used, self._blocks.allocator.capacity
        text = (
            f"no room for an object of {message.size:,} bytes: {used:,} of the object store's "
            f"{capacity:,} bytes are in use, and {why}."
        )
        largest = holdings.largest(self._core, _NAMED)
        if largest:
            text += f" The largest objects in memory: {'; '.join(largest)}."
        text += (
            " Drop references to large objects and to values got from them (del, or let them go "
            "out of scope), or start the session with a larger object_store_memory."
        )
        self._core.out.append(Send(client.id, m.Reply(message.request, error=text, kind=kind)))

    # -- what is told --------------------------------------------------------------------------

    def figures(self) -> dict[str, Any]:
        """Bytes and counts, for the state queries."""
        store, blocks = self._core.store, self._blocks.blocks.values()
        return {
            "capacity": self._blocks.allocator.capacity,
            "used": self._blocks.allocator.used,
            "objects": len(store.objects),
            "in_memory": len(self._blocks.recent),
            "pinned": sum(b.size for b in blocks if b.pins),
            "pinned_objects": sum(b.pins > 0 for b in blocks),
            "on_disk": store.on_disk,
            "on_disk_objects": len(store.disk),
            "spilled": self.spilled_bytes,
            "spilled_objects": self.spilled_objects,
            "restored": store.read_back,
            "waiting": len(self.waiting),
            "lineage": self._core.lineage.cost,
            "remade": self._core.lineage.remade,
        }
