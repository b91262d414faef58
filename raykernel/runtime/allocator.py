"""Who owns which bytes of the arena. Sans-IO, used by the head alone.

First fit by address over a sorted list of free ranges, neighbours merged, in units of a page.
Freed ranges stay *warm* (their pages exist and are quicker to write) up to a limit; `cold` names
what should be given back to the machine beyond it. Ranges number in the tens or hundreds: a list
with bisection is quicker than a tree.
"""

from __future__ import annotations

from bisect import bisect_left

PAGE = 4096


class Allocator:
    """Hands out page-aligned ranges of [0, capacity)."""

    def __init__(self, capacity: int, keep_warm: int) -> None:
        self.capacity = capacity - capacity % PAGE
        self.keep_warm = keep_warm
        self.used = 0
        self._starts = [0]
        self._sizes = [self.capacity]
        self._blocks: dict[int, int] = {}
        self._warm: dict[int, int] = {}  # freed blocks with pages, oldest first

    def allocate(self, size: int) -> int | None:
        """The offset of a free range of at least `size` bytes, or None if there is none."""
        need = max(PAGE, -(-size // PAGE) * PAGE)
        offset = self._reuse(need)
        if offset is None:
            offset = self._first_fit(need)
        if offset is None:
            return None
        self._blocks[offset] = need
        self.used += need
        return offset

    def free(self, offset: int) -> list[tuple[int, int]]:
        """Take a block back; returns the (offset, size) ranges whose pages should be discarded."""
        size = self._blocks.pop(offset)
        self.used -= size
        self._warm[offset] = size
        cold = []
        while sum(self._warm.values()) > self.keep_warm:
            start = next(iter(self._warm))
            length = self._warm.pop(start)
            self._insert(start, length)
            cold.append((start, length))
        return cold

    def _reuse(self, need: int) -> int | None:
        """A warm block that fits without wasting more than a quarter; the rest is cut off."""
        best = min(
            ((s, o) for o, s in self._warm.items() if need <= s <= need + need // 4),
            default=None,
        )
        if best is None:
            return None
        size, offset = best
        del self._warm[offset]
        if size > need:
            self._warm[offset + need] = size - need
        return offset

    def _first_fit(self, need: int) -> int | None:
        for attempt in (0, 1):
            for i, size in enumerate(self._sizes):
                if size >= need:
                    start = self._starts[i]
                    if size == need:
                        del self._starts[i], self._sizes[i]
                    else:
                        self._starts[i] += need
                        self._sizes[i] -= need
                    return start
            if attempt == 0:  # warm blocks are free memory too: merge them and look again
                for start, size in self._warm.items():
                    self._insert(start, size)
                self._warm.clear()
        return None

    def _insert(self, start: int, size: int) -> None:
        i = bisect_left(self._starts, start)
        if i < len(self._starts) and start + size == self._starts[i]:
            size += self._sizes[i]
            del self._starts[i], self._sizes[i]
        if i and self._starts[i - 1] + self._sizes[i - 1] == start:
            self._sizes[i - 1] += size
        else:
            self._starts.insert(i, start)
            self._sizes.insert(i, size)
