"""The blocks of the arena: who wrote them, which object lies there, who looks. Sans-IO.

A block belongs to the process that asked for it until it is sealed, then to an object. It is
*pinned* by each delivery to a process until that says that its last view is gone, or dies. A block
whose object is gone, or has moved to disk, is free when nobody has it pinned: pins are counted by
block, since one object may lie in two places while old views of it live.

`recent` has the sealed blocks that belong to an object, the one used longest ago first.
"""

from __future__ import annotations

from .allocator import Allocator, pages
from .instructions import Discard, Instruction
from .records import Client


class Block:
    """A piece of the arena."""

    __slots__ = ("moving", "owner", "pins", "size")

    def __init__(self, size: int) -> None:
        self.size = size  # whole pages
        self.owner = b""  # the object that lies here
        self.pins = 0
        self.moving = ""  # the file it is being written to


class Blocks:
    """Called by the object table and by `Room`."""

    def __init__(self, allocator: Allocator, out: list[Instruction]) -> None:
        self.allocator = allocator
        self.blocks: dict[int, Block] = {}
        self.recent: dict[int, Block] = {}
        self.changes = 0  # of who looks and what is free, so far: who waits for room compares
        self._out = out

    @property
    def crowded(self) -> bool:
        """Whether blocks should not be pinned without need: they may have to move soon."""
        return 2 * self.allocator.used > self.allocator.capacity

    def allocate(self, client: Client, size: int) -> int | None:
        """A block to be written by `client`; None if there is no room."""
        offset = self.allocator.allocate(size)
        if offset is not None:
            self.blocks[offset] = Block(pages(size))
            client.blocks.add(offset)
        return offset

    def abandon(self, client: Client, offset: int) -> None:
        """The block will not be written after all."""
        if offset in client.blocks:
            client.blocks.remove(offset)
            self._free(offset)

    def seal(self, offset: int, owner: bytes, writer: Client | None) -> None:
        """The block holds an object now."""
        if writer is not None:
            writer.blocks.discard(offset)
        block = self.blocks[offset]
        block.owner = owner
        self.recent[offset] = block

    def drop(self, offset: int, writer: Client | None = None) -> None:
        """No object lies here (any more)."""
        if writer is not None:
            writer.blocks.discard(offset)
        block = self.blocks[offset]
        block.owner = b""
        self.recent.pop(offset, None)
        if not block.pins and not block.moving:
            self._free(offset)

    def pin(self, client: Client, offset: int) -> None:
        block = self.blocks[offset]
        block.pins += 1
        self.changes += 1
        client.pins[offset] = client.pins.get(offset, 0) + 1
        if block.owner:
            self.recent[offset] = self.recent.pop(offset)

    def unpin(self, client: Client, offset: int) -> None:
        mine = client.pins.get(offset, 0)
        if mine > 1:
            client.pins[offset] = mine - 1
        elif mine == 1:
            del client.pins[offset]
        else:
            return
        self._unpin(offset, 1)

    def _unpin(self, offset: int, n: int) -> None:
        block = self.blocks[offset]
        block.pins -= n
        if not block.pins:
            self.changes += 1
            self._free_if_unused(offset, block)

    def moved(self, offset: int) -> None:
        """Writing it to a file has ended, well or not."""
        block = self.blocks[offset]
        block.moving = ""
        self._free_if_unused(offset, block)

    def _free_if_unused(self, offset: int, block: Block) -> None:
        if not (block.pins or block.owner or block.moving):
            self._free(offset)

    def _free(self, offset: int) -> None:
        del self.blocks[offset]
        self.changes += 1
        self._discard(self.allocator.free(offset))

    def give_back(self) -> None:
        """The machine is short of memory: keep no free pages."""
        self._discard(self.allocator.cool(0))

    def _discard(self, ranges: list[tuple[int, int]]) -> None:
        for start, size in ranges:
            self._out.append(Discard(start, size))

    def drop_client(self, client: Client) -> None:
        """The process is gone: so are its pins and half-written blocks."""
        for offset in client.blocks:
            self._free(offset)
        client.blocks.clear()
        for offset, n in client.pins.items():
            self._unpin(offset, n)
        client.pins.clear()
