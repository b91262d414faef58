"""Large values: shared, read without a copy, pinned while looked at, and given back."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from raykernel import api


def store() -> dict[str, Any]:
    engine = api.engine()
    assert engine is not None
    found: dict[str, Any] = engine.query("store")
    return found


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def mapping(arena: str) -> list[tuple[int, int]]:
    """The address ranges at which this process has the arena mapped."""
    ranges = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if line.endswith(arena):
            first, _, last = line.split()[0].partition("-")
            ranges.append((int(first, 16), int(last, 16)))
    return ranges


def address(array: Any) -> int:
    pointer: int = array.__array_interface__["data"][0]
    return pointer


def lies_in_arena(array: Any) -> bool:
    arena = api.engine().client.welcome.arena  # type: ignore[union-attr]
    return any(a <= address(array) < b for a, b in mapping(arena))


def test_get_gives_a_view_into_the_arena_and_no_copy(shared_session: ModuleType) -> None:
    ray = shared_session
    array = np.arange(100_000.0)
    ref = ray.put(array)
    first, second = ray.get(ref), ray.get(ref)
    assert lies_in_arena(first)
    assert address(first) == address(second)
    assert (first == array).all()
    with pytest.raises(ValueError, match="read-only"):
        first[0] = 1


def test_a_task_sees_its_large_arguments_without_a_copy(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def look(array: Any, again: Any) -> tuple[bool, bool, bool]:
        from tests.integration.test_memory import address, lies_in_arena

        return lies_in_arena(array), array.flags.writeable, address(array) == address(again)

    ref = ray.put(np.ones(100_000))
    assert ray.get(look.remote(ref, ref)) == (True, False, True)


def test_a_tasks_large_result_is_a_view_too(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def make() -> Any:
        return {"a": np.full(100_000, 7.0), "b": np.arange(50_000)}

    value = ray.get(make.remote())
    assert lies_in_arena(value["a"])
    assert lies_in_arena(value["b"])
    assert value["a"].sum() == 700_000


def test_memory_is_not_reused_while_a_view_lives(shared_session: ModuleType) -> None:
    ray = shared_session
    view = ray.get(ray.put(np.full(200_000, 3.0)))
    gc.collect()
    for _ in range(20):
        ray.put(np.zeros(200_000))
    assert (view == 3.0).all()
    part = view[1000:2000]
    del view
    gc.collect()
    for _ in range(20):
        ray.put(np.zeros(200_000))
    assert (part == 3.0).all()


def test_memory_returns_to_the_baseline(shared_session: ModuleType) -> None:
    ray = shared_session
    gc.collect()
    assert soon(lambda: store()["used"] == 0)
    before = store()["objects"]

    @ray.remote
    def echo(value: Any) -> Any:
        return value

    for _ in range(5):
        refs = [ray.put(np.ones(50_000)) for _ in range(20)]
        nested = ray.put(refs)
        values = ray.get([echo.remote(ref) for ref in refs])
        inner = ray.get(ray.get(nested))
        assert all((v == 1).all() for v in values + inner)
    del refs, nested, values, inner
    gc.collect()
    assert soon(lambda: store()["used"] == 0 and store()["objects"] == before)


def test_a_dead_workers_views_and_half_written_blocks_are_given_back(
    shared_session: ModuleType,
) -> None:
    ray = shared_session

    @ray.remote
    class Holder:
        def keep(self, array: Any) -> int:
            self.array = array
            return len(array)

    holder = Holder.remote()
    ref = ray.put(np.ones(100_000))
    assert ray.get(holder.keep.remote(ref)) == 100_000
    del ref
    gc.collect()
    assert store()["used"] > 0
    ray.kill(holder)
    assert soon(lambda: store()["used"] == 0)


def gone(ray: ModuleType, ref: Any) -> bool:
    """Whether nobody but `ref` itself holds its object any more."""
    gc.collect()
    rows: Any = api.engine().query("memory")  # type: ignore[union-attr]
    (row,) = [row for row in rows if row["object_id"] == ref.hex()]
    return bool(row["references"] == 1)


class Carrier(Exception):
    """An exception with a ref in it."""


def test_a_ref_in_an_exception_keeps_its_object(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def fail() -> None:
        raise Carrier([ray.put(np.full(100_000, 5.0))])

    @ray.remote
    def follow(value: Any) -> None:
        pass

    @ray.remote
    class Stillborn:
        def __init__(self) -> None:
            raise Carrier([ray.put(np.full(100_000, 6.0))])

        def call(self) -> None:
            pass

    before = store()["objects"]

    def carried(ref: Any) -> float:
        with pytest.raises(ray.exceptions.RayError) as caught:
            ray.get(ref)
        cause: Any = caught.value
        while type(cause) is not Carrier:
            cause = cause.cause
        return float(ray.get(cause.args[0][0])[7])

    ref = fail.remote()
    assert carried(ref) == 5.0
    assert carried(follow.remote(ref)) == 5.0
    actor = Stillborn.remote()
    assert carried(actor.call.remote()) == 6.0
    assert carried(actor.call.remote()) == 6.0
    del ref, actor
    gc.collect()
    assert soon(lambda: store()["used"] == 0 and store()["objects"] == before)


def test_closures_actors_and_cancelled_tasks_let_go(shared_session: ModuleType) -> None:
    ray = shared_session
    ref = ray.put(np.ones(100_000))

    @ray.remote
    class Keeper:
        def keep(self, refs: Any) -> None:
            self.refs = refs

    @ray.remote
    def wait(refs: Any, go: Any) -> None:
        pass

    def closing() -> Any:
        @ray.remote
        def inner() -> float:
            return float(ray.get(ref)[0])

        return inner

    keeper = Keeper.remote()
    ray.get(keeper.keep.remote([ref]))
    never = Keeper.options(num_cpus=100).remote()  # waits for ever
    waiting = wait.remote([ref], never.keep.remote(None))
    ray.get(wait.remote({"a": ref}, ref))
    assert not gone(ray, ref)
    ray.cancel(waiting)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(waiting)
    ray.get(keeper.keep.remote(None))
    assert soon(lambda: gone(ray, ref))
    assert ray.get(closing().remote()) == 1.0
    ray.kill(never)
