"""Who owns which bytes of the arena. Sans-IO, used by the head alone.

Blocks are whole pages. Free memory is *warm* (its pages exist, and are quicker to write than fresh
ones) or *cold* (they don't, and it takes no memory of the machine's); both are sets of ranges whose
neighbours merge. What is freed is warm. Beyond a limit the warm range that was touched longest ago
is given back to the machine and is cold again: so memory that was once in use doesn't stay taken,
however its ranges have merged since.

    allocate   a warm range, unless it is far larger than what is asked for; then cold ones; then
               any warm one; then what is partly both
"""

from __future__ import annotations

from .ranges import Ranges

PAGE = 4096
_WASTE = 4  # a warm range this many times larger than what is asked for is better left whole


class Allocator:
    """Hands out page-aligned ranges of [0, capacity)."""

    def __init__(self, capacity: int, keep_warm: int) -> None:
        self.capacity = capacity - capacity % PAGE
        self.keep_warm = keep_warm
        self.used = 0
        self._cold = Ranges()
        self._warm = Ranges()
        self._blocks: dict[int, int] = {}
        self._stamp = 0
        if self.capacity:
            self._cold.add(0, self.capacity)

    @property
    def warm(self) -> int:
        """Bytes of free memory whose pages exist."""
        return self._warm.total

    def size_of(self, offset: int) -> int:
        """The whole size of a block."""
        return self._blocks[offset]

    def allocate(self, size: int) -> int | None:
        """The offset of a free range of at least `size` bytes, or None if there is none."""
        need = pages(size)
        if need > self.capacity - self.used:
            return None
        best = self._warm.best(need)
        if best is not None and best[0] <= _WASTE * need:
            offset: int | None = best[1]
        else:
            offset = self._cold.first(need)
            if offset is None and best is not None:
                offset = best[1]
            elif offset is None:
                offset = self._across(need)
        if offset is None:
            return None
        self._warm.cut(offset, need)
        self._cold.cut(offset, need)
        self._blocks[offset] = need
        self.used += need
        return offset

    def _across(self, need: int) -> int | None:
        """A place where warm and cold ranges lie side by side."""
        free = Ranges()
        for ranges in (self._warm, self._cold):
            for start, size in ranges:
                free.add(start, size)
        return free.first(need)

    def free(self, offset: int) -> list[tuple[int, int]]:
        """Take a block back; returns the (offset, size) ranges whose pages should be discarded."""
        size = self._blocks.pop(offset)
        self.used -= size
        self._stamp += 1
        self._warm.add(offset, size, self._stamp)
        return self.cool(self.keep_warm)

    def cool(self, keep: int) -> list[tuple[int, int]]:
        """Keep no more than `keep` bytes warm; the ranges whose pages should be discarded."""
        cold = []
        while self._warm.total > keep:
            start, size = self._warm.oldest()
            size = min(size, -(-(self._warm.total - keep) // PAGE) * PAGE)
            self._warm.cut(start, size)
            self._cold.add(start, size)
            cold.append((start, size))
        return cold


def pages(size: int) -> int:
    """The size of the block that holds `size` bytes."""
    return max(PAGE, -(-size // PAGE) * PAGE)
