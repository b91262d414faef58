"""Sets of byte ranges: sorted, disjoint, neighbours merged. Sans-IO, a part of the allocator.

Ranges number in the tens or hundreds: lists with bisection are quicker than a tree. Each range
remembers a stamp, when it was last touched; merged ranges have the later one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator


class Ranges:
    """A set of ranges. `total` is the sum of their sizes."""

    def __init__(self) -> None:
        self.total = 0
        self._starts: list[int] = []
        self._sizes: list[int] = []
        self._stamps: list[int] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(zip(self._starts, self._sizes, strict=True))

    def add(self, start: int, size: int, stamp: int = 0) -> None:
        """Add a range that overlaps none of those here."""
        self.total += size
        i = bisect_right(self._starts, start)
        if i < len(self._starts) and start + size == self._starts[i]:
            size += self._sizes[i]
            stamp = max(stamp, self._stamps[i])
            del self._starts[i], self._sizes[i], self._stamps[i]
        if i and self._starts[i - 1] + self._sizes[i - 1] == start:
            self._sizes[i - 1] += size
            self._stamps[i - 1] = max(stamp, self._stamps[i - 1])
        else:
            self._starts.insert(i, start)
            self._sizes.insert(i, size)
            self._stamps.insert(i, stamp)

    def cut(self, start: int, size: int) -> list[tuple[int, int]]:
        """Take out whatever lies inside a range; returns the pieces taken."""
        end = start + size
        i = bisect_right(self._starts, start) - 1
        if i < 0 or self._starts[i] + self._sizes[i] <= start:
            i += 1
        taken = []
        while i < len(self._starts) and self._starts[i] < end:
            left, right = self._starts[i], self._starts[i] + self._sizes[i]
            stamp = self._stamps[i]
            a, b = max(left, start), min(right, end)
            taken.append((a, b - a))
            self.total -= b - a
            del self._starts[i], self._sizes[i], self._stamps[i]
            for piece, length in ((left, a - left), (b, right - b)):
                if length:
                    self._starts.insert(i, piece)
                    self._sizes.insert(i, length)
                    self._stamps.insert(i, stamp)
                    i += 1
        return taken

    def first(self, size: int) -> int | None:
        """The first place for `size` bytes."""
        for i, length in enumerate(self._sizes):
            if length >= size:
                return self._starts[i]
        return None

    def best(self, size: int) -> tuple[int, int] | None:
        """The smallest range of at least `size` bytes: (its size, its start)."""
        fitting = [(n, s) for s, n in zip(self._starts, self._sizes, strict=True) if n >= size]
        return min(fitting, default=None)

    def oldest(self) -> tuple[int, int]:
        """The range that was touched longest ago."""
        i = self._stamps.index(min(self._stamps))
        return self._starts[i], self._sizes[i]
