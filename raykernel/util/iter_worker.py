"""The actor behind a shard of a parallel iterator."""

from __future__ import annotations

import itertools
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .iter_local import LocalIterator
from .iter_metrics import SharedMetrics


class ParallelIteratorWorker:
    """Iterates over `item_generator`: an iterable, or a function that makes one.

    With `repeat` it begins again at the end, for ever. Actors for `from_actors` derive from it.
    What asks for items raises StopIteration at the end, which a caller sees as a failed call.
    """

    def __init__(self, item_generator: Any, repeat: bool) -> None:
        self.item_generator = item_generator
        self.repeat = repeat
        self._items: Iterator[Any] = iter(())
        self._slices: defaultdict[int, deque[Any]] = defaultdict(deque)
        self._turn = 0  # the slice that the next item belongs to

    def par_iter_init(
        self, transforms: list[Callable[[LocalIterator[Any]], LocalIterator[Any]]]
    ) -> None:
        """Begin at the start, with these operators."""
        iterator: LocalIterator[Any] = LocalIterator(self._source, SharedMetrics())
        for transform in transforms:
            iterator = transform(iterator)
        self._items = iter(iterator)
        self._slices.clear()
        self._turn = 0

    def par_iter_next(self) -> Any:
        """The next item."""
        return next(self._items)

    def par_iter_next_batch(self, batch_ms: float) -> list[Any]:
        """What there is within `batch_ms` milliseconds: at least one item."""
        return _batch(self.par_iter_next, batch_ms)

    def par_iter_slice(self, step: int, start: int) -> Any:
        """The next of the items number `start`, `start + step`, ... The slices of one step may be
        read in any order: what belongs to others is kept for them."""
        mine = self._slices[start]
        while not mine:
            self._slices[self._turn].append(next(self._items))
            self._turn = (self._turn + 1) % step
        return mine.popleft()

    def par_iter_slice_batch(self, step: int, start: int, batch_ms: float) -> list[Any]:
        """What there is of a slice within `batch_ms` milliseconds: at least one item."""
        return _batch(lambda: self.par_iter_slice(step, start), batch_ms)

    def _source(self) -> Iterator[Any]:
        for turn in itertools.count():
            empty = True
            for item in self._open():
                empty = False
                yield item
            if not self.repeat or (empty and not turn):
                return

    def _open(self) -> Iterable[Any]:
        made: Iterable[Any] = (
            self.item_generator() if callable(self.item_generator) else self.item_generator
        )
        return made


def _batch(take: Callable[[], Any], batch_ms: float) -> list[Any]:
    deadline = time.monotonic() + batch_ms / 1000
    items = [take()]
    while time.monotonic() < deadline:
        try:
            items.append(take())
        except StopIteration:
            break
    return items


__all__ = ["ParallelIteratorWorker"]
