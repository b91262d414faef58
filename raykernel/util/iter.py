"""Parallel iterators: a stream of items in several shards, each in an actor of its own.

    items -> shard 0 (actor): for_each, filter, batch, ... --\\
             shard 1 (actor): for_each, filter, batch, ... ---> gather -> LocalIterator
             shard 2 (actor): ...                          --/

Operators of a ParallelIterator run in its actors, those of the LocalIterator that a `gather`
returns in the process that reads it. Nothing runs until somebody reads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from operator import methodcaller
from typing import Any, Generic, TypeVar

import raykernel as ray

from . import iter_sources
from .iter_local import LocalIterator
from .iter_metrics import MetricsContext, SharedMetrics
from .iter_sources import ActorSet, Partition
from .iter_streams import _NextValueNotReady
from .iter_worker import ParallelIteratorWorker

T = TypeVar("T")


def from_items(items: list[T], num_shards: int = 2, repeat: bool = False) -> ParallelIterator[T]:
    """The items of a list, dealt out to the shards in turn; with `repeat` over and over."""
    shards = [items[index::num_shards] for index in range(num_shards)]
    kind = type(items[0]).__name__ if items else "None"
    name = f"from_items[{kind}, {len(items)}, shards={num_shards}{_repeat(repeat)}]"
    return from_iterators(shards, repeat, name)


def from_range(n: int, num_shards: int = 2, repeat: bool = False) -> ParallelIterator[int]:
    """0 to n - 1, the shards one part each; with `repeat` over and over."""
    size = n // num_shards
    starts = [*(index * size for index in range(num_shards)), n]
    shards = [range(starts[index], starts[index + 1]) for index in range(num_shards)]
    return from_iterators(shards, repeat, f"from_range[{n}, shards={num_shards}{_repeat(repeat)}]")


def from_iterators(
    generators: Iterable[Any], repeat: bool = False, name: str | None = None
) -> ParallelIterator[Any]:
    """A shard for each iterable, or each function that makes one (since generators can't be sent
    to an actor); with `repeat` over and over."""
    worker: Any = ray.remote(ParallelIteratorWorker)
    actors = [worker.remote(generator, repeat) for generator in generators]
    name = name or f"from_iterators[shards={len(actors)}{_repeat(repeat)}]"
    return from_actors(actors, name)


def from_actors(actors: list[Any], name: str | None = None) -> ParallelIterator[Any]:
    """A shard for each actor, whose class derives from ParallelIteratorWorker."""
    name = name or f"from_actors[shards={len(actors)}]"
    return ParallelIterator([ActorSet(actors, [])], name, [])


def _repeat(repeat: bool) -> str:
    return ", repeat=True" if repeat else ""


class ParallelIterator(Generic[T]):
    """See the module. Can be passed to tasks; read each shard in one place at a time."""

    def __init__(
        self, actor_sets: list[ActorSet], name: str, parent_iterators: list[ParallelIterator[Any]]
    ) -> None:
        self.actor_sets = actor_sets
        self.name = name
        self.parent_iterators = parent_iterators  # whose actors feed these

    def __iter__(self) -> Iterator[T]:
        raise TypeError(
            "You must use it.gather_sync() or it.gather_async() to iterate over the results of a "
            "ParallelIterator."
        )

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        return f"ParallelIterator[{self.name}]"

    # -- in the actors ---------------------------------------------------------------------------

    def transform(self, fn: Callable[[Iterable[Any]], Iterable[Any]]) -> ParallelIterator[Any]:
        """In each shard, `fn` makes an iterable of its items; called once. It should let instances
        of `_NextValueNotReady` through."""
        return self._with(methodcaller("transform", fn), ".transform()")

    def for_each(
        self,
        fn: Callable[[T], Any],
        max_concurrency: int = 1,
        resources: dict[str, Any] | None = None,
    ) -> ParallelIterator[Any]:
        """`fn` of every item, one after the other in each shard. With another `max_concurrency`
        than 1 the calls are tasks with the options `resources`, so many at once for each shard (0:
        all at once), and their order is that in which they end."""
        assert max_concurrency >= 0, "max_concurrency must be non-negative."
        call = methodcaller("for_each", fn, max_concurrency, resources)
        return self._with(call, ".for_each()")

    def filter(self, fn: Callable[[T], bool]) -> ParallelIterator[T]:
        """The items for which `fn` is true."""
        return self._with(methodcaller("filter", fn), ".filter()")

    def batch(self, n: int) -> ParallelIterator[list[T]]:
        """Lists of `n` items of one shard; the last may be shorter."""
        return self._with(methodcaller("batch", n), f".batch({n})")

    def flatten(self) -> ParallelIterator[Any]:
        """The items of the items."""
        return self._with(methodcaller("flatten"), ".flatten()")

    def combine(self, fn: Callable[[T], Iterable[Any]]) -> ParallelIterator[Any]:
        """`for_each(fn).flatten()`."""
        return self._with(methodcaller("combine", fn), ".combine()")

    def local_shuffle(
        self, shuffle_buffer_size: int, seed: int | None = None
    ) -> ParallelIterator[T]:
        """Mix the items of each shard: each is drawn from `shuffle_buffer_size` that are held
        back."""
        return self._with(
            methodcaller("shuffle", shuffle_buffer_size, seed),
            f".local_shuffle(shuffle_buffer_size={shuffle_buffer_size}, seed={seed})",
        )

    def repartition(self, num_partitions: int, batch_ms: float = 0) -> ParallelIterator[T]:
        """The same items in `num_partitions` shards: each shard's are dealt out in turn.

        `batch_ms` is for how many milliseconds items are collected before they are handed on.
        """
        actors = iter_sources.begin(self.actor_sets)
        shards = [Partition(actors, num_partitions, i, batch_ms) for i in range(num_partitions)]
        name = f"{self.name}.repartition[num_partitions={num_partitions}]"
        made = from_iterators(shards, name=name)
        made.parent_iterators = [self]
        return made

    # -- in the reader ---------------------------------------------------------------------------

    def gather_sync(self) -> LocalIterator[T]:
        """An item of each shard in turn, asked for when it is wanted."""
        made = self.batch_across_shards().flatten()
        made.name = f"{self}.gather_sync()"
        return made

    def batch_across_shards(self) -> LocalIterator[list[T]]:
        """Lists of an item of each shard that has one left."""
        base = functools.partial(iter_sources.rounds, self.actor_sets)
        return LocalIterator(base, SharedMetrics(), name=f"{self}.batch_across_shards()")

    def gather_async(self, batch_ms: float = 0, num_async: int = 1) -> LocalIterator[T]:
        """Items of all shards as they come. `num_async` requests to each actor are under way at a
        time, each for what there is within `batch_ms` milliseconds (0: for one item)."""
        _check(batch_ms, num_async)
        base = functools.partial(iter_sources.as_ready, self.actor_sets, batch_ms, num_async)
        return LocalIterator(base, SharedMetrics(), name=f"{self}.gather_async()")

    def take(self, n: int) -> list[T]:
        """The first `n` items, or fewer."""
        return self.gather_sync().take(n)

    def show(self, n: int = 20) -> None:
        """Print the first `n` items."""
        self.gather_sync().show(n)

    # -- shards ----------------------------------------------------------------------------------

    def union(self, other: ParallelIterator[T]) -> ParallelIterator[T]:
        """The shards of both."""
        if not isinstance(other, ParallelIterator):
            raise TypeError(f"other must be of type ParallelIterator, got {type(other)}")
        return ParallelIterator(
            [*self.actor_sets, *other.actor_sets],
            f"ParallelUnion[{self}, {other}]",
            [*self.parent_iterators, *other.parent_iterators],
        )

    def select_shards(self, shards_to_keep: list[int]) -> ParallelIterator[T]:
        """Some of the shards alone, by number."""
        shards = list(self._each_shard())
        assert all(0 <= i < len(shards) for i in shards_to_keep), "Invalid actor index"
        return ParallelIterator(
            [shards[index] for index in shards_to_keep],
            f"{self}.select_shards({len(shards_to_keep)} total)",
            self.parent_iterators,
        )

    def num_shards(self) -> int:
        """How many actors there are."""
        return sum(len(actor_set.actors) for actor_set in self.actor_sets)

    def shards(self) -> list[LocalIterator[T]]:
        """All shards."""
        return [self.get_shard(index) for index in range(self.num_shards())]

    def get_shard(
        self, shard_index: int, batch_ms: float = 0, num_async: int = 1
    ) -> LocalIterator[T]:
        """One shard, which can be passed to a task to read it; see `gather_async`."""
        _check(batch_ms, num_async)
        shards = list(self._each_shard())
        if not 0 <= shard_index < len(shards):
            raise ValueError("Shard index out of range", shard_index, len(shards))
        base = functools.partial(iter_sources.shard, shards[shard_index], batch_ms, num_async)
        return LocalIterator(base, SharedMetrics(), name=f"{self.name}.shard[{shard_index}]")

    def _each_shard(self) -> Iterator[ActorSet]:
        for actor_set in self.actor_sets:
            for actor in actor_set.actors:
                yield ActorSet([actor], actor_set.transforms)

    def _with(
        self, transform: Callable[[LocalIterator[Any]], LocalIterator[Any]], name: str
    ) -> ParallelIterator[Any]:
        return ParallelIterator(
            [actor_set.with_transform(transform) for actor_set in self.actor_sets],
            self.name + name,
            self.parent_iterators,
        )


def _check(batch_ms: float, num_async: int) -> None:
    if num_async < 1:
        raise ValueError("queue depth must be positive")
    if batch_ms < 0:
        raise ValueError("batch time must be positive")


__all__ = [
    "LocalIterator",
    "MetricsContext",
    "ParallelIterator",
    "ParallelIteratorWorker",
    "SharedMetrics",
    "_NextValueNotReady",
    "from_actors",
    "from_items",
    "from_iterators",
    "from_range",
]
