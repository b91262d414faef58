"""Results as they come: `as_completed` for refs there are, `map_unordered` for refs to be made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef


def as_completed(
    refs: Sequence[ObjectRef[Any]],
    *,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
    **kwargs: Any,
) -> Completed:
    """The values of `refs` (the refs, with `yield_obj_refs`), each batch of `chunk_size` as soon as
    that many are ready. With `async for` each as soon as it is ready, and the loop goes on.

    Within a batch they come in the order given: `chunk_size=1` is the order of completion. Other
    keywords go to `ray.wait`. A failed task's error is raised when its turn comes. Raises
    ValueError for a `chunk_size` below 1.
    """
    _check(chunk_size, kwargs)
    return Completed(list(refs), chunk_size, yield_obj_refs, kwargs)


def as_each_completes(
    refs: Sequence[ObjectRef[Any]], *, yield_obj_refs: bool = False, **kwargs: Any
) -> Completed:
    """The values of `refs` (the refs, with `yield_obj_refs`), each as soon as it is there, also by
    `async for`. This is `ray.as_completed`; see `ray.util.as_completed`."""
    return as_completed(refs, yield_obj_refs=yield_obj_refs, **{"chunk_size": 1, **kwargs})


class Completed(Iterator[Any]):
    """What `as_completed` returns, for `for` and for `async for`."""

    def __init__(
        self, refs: list[ObjectRef[Any]], chunk_size: int, as_refs: bool, kwargs: dict[str, Any]
    ) -> None:
        self._refs = refs
        self._as_refs = as_refs
        self._values = _as_completed(refs, chunk_size, as_refs, kwargs)

    def __next__(self) -> Any:
        self._refs = []  # they are the generator's now
        return next(self._values)

    def __aiter__(self) -> AsyncIterator[Any]:
        refs, self._refs = self._refs, []
        self._values = iter(())
        return _as_completed_in_loop(refs, self._as_refs)


async def _as_completed_in_loop(refs: list[ObjectRef[Any]], as_refs: bool) -> AsyncIterator[Any]:
    import asyncio

    if len(set(refs)) != len(refs):
        raise ValueError("as_completed requires refs that are not equal to each other")
    ready: asyncio.Queue[ObjectRef[Any]] = asyncio.Queue()
    left = set(refs)
    del refs
    for ref in left:
        ref.add_done_callback(ready.put_nowait)
    try:
        while left:
            ref = await ready.get()
            left.remove(ref)
            yield ref if as_refs else await ref
    finally:
        for ref in left:
            ref.remove_done_callback(ready.put_nowait)


def map_unordered(
    fn: Any,
    items: Iterable[Any],
    *,
    backpressure_size: int | None = 100,
    chunk_size: int = 10,
    yield_obj_refs: bool = False,
    **kwargs: Any,
) -> Iterator[Any]:
    """`fn.remote(item)` for every item, and the results as `as_completed` gives them.

    At most `backpressure_size` tasks are unfinished at a time (None: any number), so `items` may
    be endless. Raises ValueError for a `backpressure_size` or `chunk_size` below 1.
    """
    if backpressure_size is not None and backpressure_size < 1:
        raise ValueError("backpressure_size must be positive.")
    _check(chunk_size, kwargs)
    return _map_unordered(fn, items, backpressure_size, chunk_size, yield_obj_refs, kwargs)


def _check(chunk_size: int, kwargs: dict[str, Any]) -> None:
    if chunk_size < 1:
        raise ValueError("`chunk_size` must be >= 1")
    if "num_returns" in kwargs:
        raise ValueError("Use the `chunk_size` argument instead of `num_returns`.")


def _as_completed(
    refs: list[ObjectRef[Any]], chunk_size: int, as_refs: bool, kwargs: dict[str, Any]
) -> Iterator[Any]:
    while refs:
        ready, refs = ray.wait(refs, num_returns=min(chunk_size, len(refs)), **kwargs)
        yield from _results(ready, as_refs)


def _map_unordered(
    fn: Any,
    items: Iterable[Any],
    most: int | None,
    chunk_size: int,
    as_refs: bool,
    kwargs: dict[str, Any],
) -> Iterator[Any]:
    refs: list[ObjectRef[Any]] = []
    for item in items:
        refs.append(fn.remote(item))
        while most is not None and len(refs) >= most:
            ready, refs = ray.wait(refs, num_returns=min(chunk_size, len(refs)), **kwargs)
            yield from _results(ready, as_refs)
    yield from _as_completed(refs, chunk_size, as_refs, kwargs)


def _results(ready: list[ObjectRef[Any]], as_refs: bool) -> Iterator[Any]:
    while ready:  # let each go before the next is taken
        ref = ready.pop(0)
        yield ref if as_refs else ray.get(ref)


__all__ = ["as_completed", "map_unordered"]
