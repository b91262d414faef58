"""Semantics 4: put, and what keeps an object alive."""

from __future__ import annotations

import gc
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.contract.signals import make_gate


def test_what_was_put_can_be_got(ray: ModuleType) -> None:
    for value in (1, "text", None, [1, {"a": (2, 3)}], b"x" * 1_000_000):
        assert ray.get(ray.put(value)) == value


def test_put_of_a_ref_is_a_type_error(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match="not allowed"):
        ray.put(ray.put(1))


def test_an_unserializable_value_is_a_type_error(ray: ModuleType) -> None:
    import threading

    with pytest.raises(TypeError, match=r"[Cc]ould not serialize"):
        ray.put(threading.Lock())


def test_a_value_is_a_snapshot(ray: ModuleType) -> None:
    box = [1]
    ref = ray.put(box)
    box.append(2)
    assert ray.get(ref) == [1]


def test_refs_inside_a_value_keep_their_objects_alive(ray: ModuleType) -> None:
    outer = ray.put([ray.put(np.ones(1_000_000))])
    gc.collect()
    (inner,) = ray.get(outer)
    del outer
    assert ray.get(inner).sum() == 1_000_000


def test_a_ref_in_an_actors_state_keeps_its_object_alive(ray: ModuleType) -> None:
    @ray.remote
    class Keeper:
        def keep(self, box: list[Any]) -> None:
            self.box = box

        def read(self) -> Any:
            return ray.get(self.box[0])

    keeper = Keeper.remote()
    ref = ray.put(b"x" * 500_000)
    ray.get(keeper.keep.remote([ref]))
    del ref
    gc.collect()
    assert len(ray.get(keeper.read.remote())) == 500_000


def test_a_ref_in_a_closure_keeps_its_object_alive(ray: ModuleType) -> None:
    def make_reader() -> Any:
        captured = ray.put("kept")
        return ray.remote(lambda: ray.get(captured))

    reader = make_reader()
    assert ray.get(reader.remote()) == "kept"
    gc.collect()
    assert ray.get(reader.remote()) == "kept"


def test_an_argument_lives_until_its_task_has_run(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    def size(value: Any, _: Any) -> int:
        return len(value)

    result = size.remote(ray.put(b"x" * 500_000), gate.wait.remote())
    gc.collect()
    ray.get(gate.open.remote())
    assert ray.get(result) == 500_000


def test_a_ref_a_task_returns_in_a_list_outlives_the_task(ray: ModuleType) -> None:
    @ray.remote
    def make() -> list[Any]:
        return [ray.put("from inside")]

    (inner,) = ray.get(make.remote())
    assert ray.get(inner) == "from inside"


def test_a_dropped_result_does_not_disturb_others(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    refs = [echo.remote(n) for n in range(50)]
    kept = refs[::2]
    del refs
    gc.collect()
    assert ray.get(kept) == list(range(0, 50, 2))


def test_refs_are_equal_and_hashable_by_id(ray: ModuleType) -> None:
    @ray.remote
    def same(box: list[Any]) -> list[Any]:
        return box

    ref = ray.put(1)
    (back,) = ray.get(same.remote([ref]))
    assert back == ref
    assert hash(back) == hash(ref)
    assert len({ref, back}) == 1
    assert ref != ray.put(1)
    assert len(ref.hex()) == 2 * len(ref.binary())
    assert ref.hex() in repr(ref)
