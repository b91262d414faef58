"""The streams at the beginning of local iterators: items that actors of a ParallelIterator send.

Each of them waits no longer than the reader's patience, and then says NotReady.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import raykernel as ray
from raykernel.refs import ObjectRef

from . import iter_metrics
from .iter_streams import NotReady, patience

if TYPE_CHECKING:
    from .iter_local import LocalIterator

    Transform = Callable[["LocalIterator[Any]"], "LocalIterator[Any]"]


class ActorSet:
    """Actors (`ParallelIteratorWorker`s) and what they are to do with their items."""

    def __init__(self, actors: list[Any], transforms: list[Transform]) -> None:
        self.actors = actors
        self.transforms = transforms

    def init_actors(self) -> None:
        """Begin at the start. Blocks until the actors have."""
        ray.get([actor.par_iter_init.remote(self.transforms) for actor in self.actors])

    def with_transform(self, transform: Transform) -> ActorSet:
        return ActorSet(self.actors, [*self.transforms, transform])


def begin(actor_sets: list[ActorSet]) -> list[Any]:
    """All actors of the sets, at their start."""
    for actor_set in actor_sets:
        actor_set.init_actors()
    return [actor for actor_set in actor_sets for actor in actor_set.actors]


def rounds(actor_sets: list[ActorSet]) -> Iterator[Any]:
    """Lists of one item from each actor that has one left."""
    active = begin(actor_sets)
    while active:
        refs = [actor.par_iter_next.remote() for actor in active]
        while ray.wait(refs, num_returns=len(refs), timeout=patience())[1]:
            yield NotReady()
        items = []
        for actor, ref in list(zip(active, refs, strict=True)):
            try:
                items.append(ray.get(ref))
            except StopIteration:
                active.remove(actor)
        if items:
            yield items


def as_ready(actor_sets: list[ActorSet], batch_ms: float, num_async: int) -> Iterator[Any]:
    """Items as they come, `num_async` requests to each actor under way."""
    running: dict[ObjectRef[Any], Any] = {}
    actors = begin(actor_sets)
    for _ in range(num_async):
        running.update({_next(actor, batch_ms): actor for actor in actors})
    while running:
        ready, _ = ray.wait(list(running), timeout=patience())
        if not ready:
            yield NotReady()
            continue
        actor = running.pop(ready[0])
        try:
            items = _items(ready[0], batch_ms)
        except StopIteration:
            continue
        running[_next(actor, batch_ms)] = actor
        for item in items:
            iter_metrics.current().current_actor = actor
            yield item


def shard(actor_set: ActorSet, batch_ms: float, num_async: int) -> Iterator[Any]:
    """One actor's items in order, `num_async` requests under way."""
    (actor,) = begin([actor_set])
    running = deque(_next(actor, batch_ms) for _ in range(num_async))
    while running:
        if not ray.wait([running[0]], timeout=patience())[0]:
            yield NotReady()
            continue
        ref = running.popleft()
        try:
            items = _items(ref, batch_ms)
        except StopIteration:
            return
        running.append(_next(actor, batch_ms))
        yield from items


class Partition:
    """The iterable of a repartitioned shard: every `step`-th item of each of the `actors`, which
    have begun already, as they come."""

    def __init__(self, actors: list[Any], step: int, start: int, batch_ms: float) -> None:
        self._actors = actors
        self._slice = {"step": step, "start": start, "batch_ms": batch_ms}

    def __iter__(self) -> Iterator[Any]:
        running = {self._ask(actor): actor for actor in self._actors}
        while running:
            (ref,), _ = ray.wait(list(running))
            actor = running.pop(ref)
            try:
                items = ray.get(ref)
            except StopIteration:
                continue
            running[self._ask(actor)] = actor
            yield from items

    def _ask(self, actor: Any) -> ObjectRef[Any]:
        ref: ObjectRef[Any] = actor.par_iter_slice_batch.remote(**self._slice)
        return ref


def _next(actor: Any, batch_ms: float) -> ObjectRef[Any]:
    if batch_ms:
        ref: ObjectRef[Any] = actor.par_iter_next_batch.remote(batch_ms)
    else:
        ref = actor.par_iter_next.remote()
    return ref


def _items(ref: ObjectRef[Any], batch_ms: float) -> list[Any]:
    """Raises StopIteration at the end of the actor's items."""
    value = ray.get(ref)
    return list(value) if batch_ms else [value]
