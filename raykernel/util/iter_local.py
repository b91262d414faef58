"""LocalIterator: the end of a parallel iterator that a process reads.

It is a source, a list of operators, and, once reading has begun, the stream they make together
(see iter_streams.py). It can be passed to a task until then, and read in one place.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from . import iter_metrics, iter_streams
from .iter_metrics import MetricsContext, SharedMetrics
from .iter_streams import NotReady, Stream, patient_for

T = TypeVar("T")

#: Seconds a union waits for each of its branches in turn when none has an item.
_POLL_S = 0.02
#: Items that a union takes at a time from a branch of weight "*".
_STAR = 100

Operator = Callable[[Stream], Stream]


class LocalIterator(Generic[T]):
    """An iterator with the operators of a ParallelIterator, which run here, in the reader."""

    def __init__(
        self,
        base_iterator: Callable[[], Iterable[T]],
        shared_metrics: SharedMetrics,
        local_transforms: list[Operator] | None = None,
        name: str | None = None,
    ) -> None:
        self.base_iterator = base_iterator
        self.shared_metrics = shared_metrics
        self.local_transforms = local_transforms or []
        self.name = name or "unknown"
        self._stream: Iterator[Any] | None = None

    @staticmethod
    def get_metrics() -> MetricsContext:
        """The iterator's counters, in a function that it calls. Raises ValueError elsewhere."""
        return iter_metrics.current()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        with patient_for(None):
            while True:
                item = self._pull()
                if not isinstance(item, NotReady):
                    return item  # type: ignore[no-any-return]  # streams are untyped within

    def _pull(self) -> Any:
        """The next item or a NotReady, by the caller's patience. Raises StopIteration."""
        stream = self._stream
        with iter_metrics.using(self.shared_metrics.get()):
            if stream is None:
                made: Stream = self.base_iterator()
                for operator in self.local_transforms:
                    made = operator(made)
                stream = self._stream = iter(made)
            return next(stream)

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"LocalIterator[{self.name}]"

    def transform(self, fn: Callable[[Iterable[Any]], Iterable[Any]]) -> LocalIterator[Any]:
        """`fn` makes an iterable of this one's items; it should let instances of
        `_NextValueNotReady` through."""
        return self._with(fn, ".transform()")

    def for_each(
        self,
        fn: Callable[[T], Any],
        max_concurrency: int = 1,
        resources: dict[str, Any] | None = None,
    ) -> LocalIterator[Any]:
        """`fn` of every item: here, or for another `max_concurrency` than 1 as tasks with the
        options `resources`, so many at once (0: all at once) and in the order in which they end."""
        assert max_concurrency >= 0, "max_concurrency must be non-negative."
        if max_concurrency == 1:
            return self._with(functools.partial(iter_streams.for_each, fn), ".for_each()")
        run = functools.partial(iter_streams.for_each_concurrently, fn, max_concurrency, resources)
        return self._with(run, ".for_each()")

    def filter(self, fn: Callable[[T], bool]) -> LocalIterator[T]:
        """The items for which `fn` is true."""
        return self._with(functools.partial(iter_streams.keep, fn), ".filter()")

    def batch(self, n: int) -> LocalIterator[list[T]]:
        """Lists of `n` items; the last may be shorter."""
        return self._with(functools.partial(iter_streams.batch, n), f".batch({n})")

    def flatten(self) -> LocalIterator[Any]:
        """The items of the items."""
        return self._with(iter_streams.flatten, ".flatten()")

    def shuffle(self, shuffle_buffer_size: int, seed: int | None = None) -> LocalIterator[T]:
        """Mix the items: each is drawn from `shuffle_buffer_size` that are held back."""
        return self._with(
            functools.partial(iter_streams.shuffle, shuffle_buffer_size, seed),
            f".shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})",
        )

    def combine(self, fn: Callable[[T], Iterable[Any]]) -> LocalIterator[Any]:
        """`for_each(fn).flatten()`."""
        made = self.for_each(fn).flatten()
        made.name = self.name + ".combine()"
        return made

    def zip_with_source_actor(self) -> LocalIterator[tuple[Any, T]]:
        """(actor, item) for what comes from `gather_async`; ValueError for anything else."""
        return self._with(iter_streams.with_source_actor, ".zip_with_source_actor()")

    def take(self, n: int) -> list[T]:
        """The next `n` items, or fewer at the end."""
        return [item for _, item in zip(range(n), self, strict=False)]

    def show(self, n: int = 20) -> None:
        """Print the next `n` items."""
        for item in self.take(n):
            print(item)

    def duplicate(self, n: int) -> list[LocalIterator[T]]:
        """`n` iterators with all the items each. In a union they keep step with each other; one
        that is read alone makes this process keep the items for the others."""
        if n < 2:
            raise ValueError("Number of copies must be >= 2")
        copies = iter_streams.Duplicates(_pulls(self), n)
        return [
            LocalIterator(
                functools.partial(copies.read, index),
                SharedMetrics(parents=[self.shared_metrics]),
                name=f"{self.name}.duplicate[{index}]",
            )
            for index in range(n)
        ]

    def union(
        self,
        *others: LocalIterator[T],
        deterministic: bool = False,
        round_robin_weights: list[Any] | None = None,
    ) -> LocalIterator[T]:
        """The items of all: as they are ready, or, if `deterministic`, one of each in turn.

        `round_robin_weights` says how many of each in turn; "*" is all that are ready.
        """
        branches = [self, *others]
        for other in others:
            if not isinstance(other, LocalIterator):
                raise ValueError(f"other must be of type LocalIterator, got {type(other)}")
        if round_robin_weights is not None and len(round_robin_weights) != len(branches):
            raise ValueError("round_robin_weights must be as many as there are iterators")
        weights = round_robin_weights or ([1] * len(branches) if deterministic else None)
        base = (
            functools.partial(_in_turn, branches, weights)
            if weights
            else functools.partial(_as_ready, branches)
        )
        names = ", ".join(map(str, branches))
        metrics = SharedMetrics(parents=[branch.shared_metrics for branch in branches])
        return LocalIterator(base, metrics, name=f"LocalUnion[{names}]")

    def _with(self, operator: Operator, name: str) -> LocalIterator[Any]:
        return LocalIterator(
            self.base_iterator,
            self.shared_metrics,
            [*self.local_transforms, operator],
            self.name + name,
        )


def _pulls(iterator: LocalIterator[Any]) -> Iterator[Any]:
    while True:
        try:
            item = iterator._pull()
        except StopIteration:
            return
        yield item


def _in_turn(branches: list[LocalIterator[Any]], weights: list[Any]) -> Iterator[Any]:
    active = list(zip(map(_pulls, branches), weights, strict=True))
    poll = 0.0
    while active:
        idle = True
        for entry in list(active):
            stream, weight = entry
            wanted = _STAR if weight == "*" else _whole(weight)
            while wanted > 0:
                with patient_for(poll if weight == "*" else iter_streams.patience()):
                    item = next(stream, _END)
                if item is _END:
                    active.remove(entry)
                    break
                if not isinstance(item, NotReady):
                    idle = False
                    wanted -= 1
                    yield item
                elif weight == "*":
                    break
                else:
                    yield item
        poll = _POLL_S if idle else 0.0


_END = object()


def _whole(weight: float) -> int:
    """2.3 as 2 or, with a chance of 0.3, as 3."""
    return int(weight) + (random.random() < weight - int(weight))


def _as_ready(branches: list[LocalIterator[Any]]) -> Iterator[Any]:
    active = [_pulls(branch) for branch in branches]
    wait = 0.0
    while active:
        waiting = True
        for stream in list(active):
            with patient_for(wait):
                item = next(stream, _END)
            if item is _END:
                active.remove(stream)
                waiting = False
            elif not isinstance(item, NotReady):
                yield item
                waiting = False
        wait = _POLL_S if waiting else 0.0
        if waiting and iter_streams.patience() is not None:
            yield NotReady()


__all__ = ["LocalIterator"]
