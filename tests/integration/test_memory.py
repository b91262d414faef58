"""Large values: shared, read without a copy, pinned while looked at, and given back."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
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


def test_the_store_is_three_tenths_of_the_machines_memory(shared_session: ModuleType) -> None:
    assert store()["capacity"] == pytest.approx(0.3 * psutil.virtual_memory().total, abs=2**20)


class Page:
    """Something of a user's own with a buffer beside its pickle."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce_ex__(self, protocol: Any) -> Any:
        return Page, (pickle.PickleBuffer(self.data),)


def buffers(value: Any) -> list[memoryview]:
    """The memory of each part of one of the values below."""
    if isinstance(value, pa.Table):
        parts = [b for column in value.columns for chunk in column.chunks for b in chunk.buffers()]
    elif isinstance(value, pd.DataFrame):
        parts = [value[name].to_numpy() for name in value]
    elif isinstance(value, Page):
        parts = [value.data]
    elif isinstance(value, (list, dict)):
        return [b for v in (value.values() if type(value) is dict else value) for b in buffers(v)]
    else:
        parts = [value]
    return [memoryview(part) for part in parts if part is not None]


def places(value: Any) -> list[int]:
    """Where the parts of a value lie in the arena; -1 for one that doesn't, or may be written to.

    Found by address, of the memory and of this process's mapping.
    """
    arena = api.engine().client.welcome.arena  # type: ignore[union-attr]
    found = []
    for buffer in buffers(value):
        at = address(np.asarray(buffer))
        inside = [at - low for low, high in mapping(arena) if low <= at < high]
        found.append(inside[0] if inside and buffer.readonly else -1)
    return found


GRID = np.arange(250_000).reshape(500, 500)
VALUES: dict[str, Any] = {
    "array": GRID,
    "transposed": GRID.T,
    "every other column": GRID[:, ::2],
    "records": np.zeros(20_000, [("a", "i4"), ("b", "f8")]),
    "nested": {"a": [GRID, GRID[::-3]], "b": Page(bytearray(200_000))},
    "table": pa.table({"a": GRID.ravel(), "b": pa.array(GRID.ravel(), mask=GRID.ravel() < 9)}),
    "frame": pd.DataFrame({"a": GRID.ravel(), "b": GRID.ravel() / 2}),
    "pickle 5 buffer": Page(bytearray(300_000)),
}


def test_get_tasks_and_actors_see_large_values_where_they_lie(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def look(value: Any, *, again: Any) -> Any:
        from tests.integration.test_memory import places

        assert places(value) == places(again)
        return places(value)

    @ray.remote
    class Viewer:
        def __init__(self, values: Any) -> None:
            self.values = values

        def look(self, *values: Any) -> Any:
            from tests.integration.test_memory import places

            return [places(value) for value in (self.values, *values)]

    refs = {name: ray.put(value) for name, value in VALUES.items()}
    here = {name: places(ray.get(ref)) for name, ref in refs.items()}
    assert all(found and min(found) >= 0 for found in here.values()), here
    for name, ref in refs.items():
        assert places(ray.get(ref)) == here[name]
    assert ray.get([look.remote(ref, again=ref) for ref in refs.values()]) == list(here.values())
    viewer = Viewer.remote(refs["nested"])
    assert ray.get(viewer.look.remote(*refs.values())) == [here["nested"], *here.values()]


def test_writing_into_a_view_raises(shared_session: ModuleType) -> None:
    ray = shared_session
    for name in ("array", "every other column"):
        array = ray.get(ray.put(VALUES[name]))
        assert (array == VALUES[name]).all()
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    with pytest.raises(TypeError, match="read-only"):
        ray.get(ray.put(VALUES["pickle 5 buffer"])).data[0] = 1
    assert not any(b.is_mutable for b in ray.get(ray.put(VALUES["table"]))["b"].chunk(0).buffers())


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


def test_no_view_of_whatever_kind_sees_its_memory_reused(shared_session: ModuleType) -> None:
    """In this process and in another, where only a part is looked at and all refs are gone."""
    ray = shared_session

    class Viewer:
        def keep(self, array: Any, page: Any, table: Any) -> None:
            self.parts = [
                array[7:9], memoryview(page.data)[70:90], table["a"].slice(7, 2),
                array.reshape(2, -1).T[3:5].view("i8"), iter(array),
            ]  # fmt: skip

        def read(self) -> Any:
            array, page, column, turned, each = self.parts
            return array.tolist(), set(page), column.to_pylist(), turned.size, next(each)

    assert soon(lambda: store()["used"] == 0)
    values = np.full(100_000, 3.0), Page(b"\3" * 800_000), pa.table({"a": np.full(100_000, 3.0)})
    mine, other = Viewer(), ray.remote(Viewer).remote()
    refs = [ray.put(value) for value in values]
    mine.keep(*ray.get(refs))
    ray.get(other.keep.remote(*refs))
    del refs, values
    gc.collect()
    for _ in range(40):
        ray.put(np.zeros(100_000))
    expected = ([3.0, 3.0], {3}, [3.0, 3.0], 4, 3.0)
    assert mine.read() == expected
    assert ray.get(other.read.remote()) == expected
    assert store()["pinned_objects"] == 3
    del mine
    ray.kill(other)
    assert soon(lambda: store()["used"] == 0)


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


@pytest.mark.parametrize("how", ["ray.kill", "SIGKILL"])
def test_a_dead_workers_views_are_given_back(shared_session: ModuleType, how: str) -> None:
    ray = shared_session

    @ray.remote
    class Holder:
        def keep(self, array: Any) -> int:
            self.array = array[5:]
            return os.getpid()

    holder = Holder.remote()
    ref = ray.put(np.ones(100_000))
    pid = ray.get(holder.keep.remote(ref))
    del ref
    gc.collect()
    assert store()["used"] > 0
    if how == "SIGKILL":
        os.kill(pid, signal.SIGKILL)
    else:
        ray.kill(holder)
    assert soon(lambda: store()["used"] == 0)


def test_what_a_task_held_when_its_worker_died_is_given_back(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote(max_retries=0)
    def die(array: Any) -> None:
        kept = ray.put(np.ones(100_000)), ray.get(ray.put(np.ones(100_000))), array
        os.kill(os.getpid(), signal.SIGKILL if len(kept) else 0)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(die.remote(ray.put(np.ones(100_000))))
    assert soon(lambda: store()["used"] == 0)


def gone(ray: ModuleType, ref: Any) -> bool:
    """Whether nobody but `ref` itself holds its object any more."""
    gc.collect()
    rows: Any = api.engine().query("memory")  # type: ignore[union-attr]
    (row,) = [row for row in rows if row["object_id"] == ref.hex()]
    return bool(row["references"] == 1)


def test_a_ref_that_comes_back_to_its_maker_is_let_go_with_all_it_showed(
    shared_session: ModuleType,
) -> None:
    ray = shared_session
    before = store()["objects"]

    def through_boxes(value: Any) -> None:
        box = ray.put(value)
        for _ in range(3):
            box = ray.put([box])
            store()  # the instance just dropped is known to be gone
        for _ in range(3):
            box = ray.get(box)[0]
            store()
        assert ray.get(box)[7] == 1.0
        assert ray.get(box)[8] == 1.0

    through_boxes(np.ones(100_000))
    through_boxes(np.ones(10))
    assert soon(lambda: store()["used"] == 0 and store()["objects"] == before)
    client: Any = api.engine().client  # type: ignore[union-attr]
    assert (len(client._values), len(client._put_away)) == (0, 0)


class Carrier(Exception):
    """An exception with a ref in it."""


def test_a_ref_in_an_exception_keeps_its_object(shared_session: ModuleType) -> None:
    ray = shared_session

    @ray.remote
    def fail() -> None:
        refs = [ray.put(np.full(100_000, 5.0))]
        raise Carrier(refs)

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
