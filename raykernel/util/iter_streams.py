"""The operators of parallel iterators, as functions of a stream that return a stream.

A stream is an iterable of items, among which there may be `NotReady`s: they say that nothing can
be had without waiting longer than the reader is ready to, and pass through every operator. How
long that is, is the reader's to say (`patience`), since streams are pulled: None is for ever.

Everything here stands at the top of the module, so that iterators travel by name.
"""

from __future__ import annotations

import contextlib
import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef

from . import iter_metrics

Stream = Iterable[Any]


class _NextValueNotReady(Exception):
    """In a stream instead of an item: there is none at the moment."""


NotReady = _NextValueNotReady

_patience: ContextVar[float | None] = ContextVar("raykernel_iter_patience", default=None)

#: Seconds the reader lets a source block before it yields a NotReady; None for ever.
patience = _patience.get


@contextlib.contextmanager
def patient_for(seconds: float | None) -> Iterator[None]:
    token = _patience.set(seconds)
    try:
        yield
    finally:
        _patience.reset(token)


def for_each(fn: Callable[[Any], Any], stream: Stream) -> Iterator[Any]:
    for item in stream:
        yield item if isinstance(item, NotReady) else fn(item)


def for_each_concurrently(
    fn: Callable[[Any], Any], most: int, options: dict[str, Any] | None, stream: Stream
) -> Iterator[Any]:
    """Each call a task with these options, at most `most` at once (0: all); order of completion."""
    task: Any = ray.remote(**options)(_call) if options else ray.remote(_call)
    running: list[ObjectRef[Any]] = []
    for item in stream:
        if isinstance(item, NotReady):
            yield item
            continue
        running.append(task.remote(fn, item))
        if most and len(running) >= most:
            yield _first(running)
    while running:
        yield _first(running)


def _call(fn: Callable[[Any], Any], item: Any) -> Any:
    return fn(item)


def _first(running: list[ObjectRef[Any]]) -> Any:
    """The value of the first ref to be ready, which leaves the list."""
    (ready,), rest = ray.wait(running)
    running[:] = rest
    return ray.get(ready)


def keep(fn: Callable[[Any], bool], stream: Stream) -> Iterator[Any]:
    """Drop the items for which `fn` is false."""
    for item in stream:
        if isinstance(item, NotReady) or fn(item):
            yield item


def batch(size: int, stream: Stream) -> Iterator[Any]:
    items: list[Any] = []
    for item in stream:
        if isinstance(item, NotReady):
            yield item
            continue
        items.append(item)
        if len(items) >= size:
            yield items
            items = []
    if items:
        yield items


def flatten(stream: Stream) -> Iterator[Any]:
    for item in stream:
        if isinstance(item, NotReady):
            yield item
        else:
            yield from item


def shuffle(size: int, seed: int | None, stream: Stream) -> Iterator[Any]:
    """Give out a random one of `size` items held back, for each that comes in."""
    chance = random.Random(seed)
    held: list[Any] = []
    for item in stream:
        if isinstance(item, NotReady):
            yield item
            continue
        held.append(item)
        if len(held) >= size:
            yield held.pop(chance.randrange(len(held)))
    while held:
        yield held.pop(chance.randrange(len(held)))


def with_source_actor(stream: Stream) -> Iterator[Any]:
    """(the actor that an item came from, the item)"""
    for item in stream:
        if isinstance(item, NotReady):
            yield item
            continue
        actor = iter_metrics.current().current_actor
        if actor is None:
            raise ValueError("Could not identify source actor of item")
        yield actor, item


class Duplicates:
    """One stream for several readers; holds what the slowest has yet to read.

    A reader with limited patience is told to wait while it is ahead of another; one without gets
    on, and the rest is held for as long as the others take.
    """

    def __init__(self, stream: Iterator[Any], readers: int) -> None:
        self._stream = stream
        self._held: list[deque[Any] | None] = [deque() for _ in range(readers)]

    def read(self, index: int) -> Iterator[Any]:
        mine = self._held[index]
        assert mine is not None
        try:
            while True:
                if not mine and not self._pull(index):
                    return
                if mine:
                    yield mine.popleft()
                else:
                    yield NotReady()
        finally:
            self._held[index] = None

    def _pull(self, index: int) -> bool:
        """Get an item for everybody, unless the reader should wait. False at the end."""
        others = [held for i, held in enumerate(self._held) if i != index and held is not None]
        if patience() is not None and any(others):
            return True
        for item in self._stream:
            if not isinstance(item, NotReady):
                for held in self._held:
                    if held is not None:
                        held.append(item)
            return True
        return False
