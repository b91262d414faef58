"""Ray's documented patterns of objects: how large values travel, and how they do not."""

from __future__ import annotations

import weakref
from types import ModuleType
from typing import Any

import numpy as np
import pytest


def test_an_object_passed_by_ref_inside_a_container(ray: ModuleType) -> None:
    @ray.remote
    def total(block: Any) -> int:
        return int(block.sum())

    @ray.remote
    def relay(box: dict[str, Any]) -> tuple[bool, int, Any]:
        ref = box["block"]
        return isinstance(ref, ray.ObjectRef), ray.get(total.remote(ref)), ref

    block = ray.put(np.ones(40_000, dtype=int))
    was_ref, result, same = ray.get(relay.remote({"block": block}))
    assert (was_ref, result, same) == (True, 40_000, block)


def test_a_large_object_is_captured_by_its_ref(ray: ModuleType) -> None:
    """Function and class keep the object, though the driver has no ref of its own left."""

    def make_readers() -> tuple[Any, Any]:
        table = ray.put(np.arange(2_000_000))

        @ray.remote
        def look_up(n: int) -> int:
            return int(ray.get(table)[n])

        @ray.remote
        class Reader:
            def look_up(self, n: int) -> int:
                return int(ray.get(table)[n])

        return look_up, Reader

    look_up, reader_class = make_readers()
    reader = reader_class.remote()
    assert ray.get([look_up.remote(5), reader.look_up.remote(6)]) == [5, 6]


def test_a_large_argument_is_put_once_and_shared(ray: ModuleType) -> None:
    """All tasks see the one object, which nobody can change under the others."""

    @ray.remote
    def spoil(block: Any) -> tuple[int, str]:
        try:
            block[0] = 1
        except ValueError as error:
            return int(block.sum()), str(error)
        return int(block.sum()), "changed"

    block = ray.put(np.zeros(100_000))
    for total, refusal in ray.get([spoil.remote(block) for _ in range(5)]):
        assert total == 0
        assert "read-only" in refusal


def test_stages_are_chained_by_refs_alone(ray: ModuleType) -> None:
    """The driver passes every result on without fetching it."""

    @ray.remote
    def load(n: int) -> Any:
        return np.full(20_000, n)

    @ray.remote
    def double(block: Any) -> Any:
        return block * 2

    @ray.remote
    def total(*blocks: Any) -> int:
        return int(sum(block.sum() for block in blocks))

    assert ray.get(total.remote(*[double.remote(load.remote(n)) for n in range(5)])) == 400_000


@pytest.mark.parametrize("streaming", [True, False])
def test_generators_reduce_heap_memory(ray: ModuleType, streaming: bool) -> None:
    """A task that yields its large results is never held to more than the last and the next."""

    @ray.remote
    def blocks(count: int) -> Any:
        made = []
        most = 0
        for n in range(count):
            block = np.full(30_000, n)
            made.append(weakref.ref(block))
            most = max(most, sum(ref() is not None for ref in made))
            yield block
            del block
        yield most

    task = blocks if streaming else blocks.options(num_returns=7)
    refs = list(task.remote(6))
    *arrays, most = ray.get(refs)
    assert [int(array[-1]) for array in arrays] == list(range(6))
    assert 1 <= most <= 2
