"""References that came by unpickling: how long they keep an object, and in how many hands."""

from __future__ import annotations

import gc
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.contract.conftest import QUIET
from tests.contract.signals import make_gate, wait_until


def test_a_value_read_through_a_borrowed_ref_goes_with_the_ref(engine: ModuleType) -> None:
    engine.shutdown()
    engine.init(num_cpus=1, **{**QUIET, "object_store_memory": 100 * 2**20})

    @engine.remote
    def make() -> list[Any]:
        return [engine.put(np.ones(30 * 2**20, dtype=np.uint8))]

    for _ in range(10):  # three times what the store holds
        (inner,) = engine.get(make.remote())
        assert engine.get(inner)[0] == 1
        del inner
        gc.collect()
    engine.shutdown()


def test_a_ref_that_comes_back_can_be_waited_for_at_once(ray: ModuleType) -> None:
    @ray.remote
    def late() -> int:
        time.sleep(0.01)
        return 1

    for _ in range(50):
        outer = ray.put([late.remote()])
        (inner,) = ray.get(outer)
        del outer
        assert ray.get(inner, timeout=20) == 1


def test_dropping_one_of_two_borrowed_refs_leaves_the_other(ray: ModuleType) -> None:
    @ray.remote
    def make() -> list[Any]:
        return [ray.put(np.arange(200_000))]

    outer = make.remote()
    (first,), (second,) = ray.get(outer), ray.get(outer)
    assert first == second
    del first, outer
    gc.collect()
    assert ray.get(second)[-1] == 199_999


def test_what_a_submitted_function_closes_over_outlives_the_function(ray: ModuleType) -> None:
    gate = make_gate(ray)

    def start() -> Any:
        captured = ray.put(np.ones(200_000))

        @ray.remote
        def late(after: Any) -> float:
            return float(ray.get(captured).sum())

        @ray.remote
        class Reader:
            def read(self) -> float:
                return float(ray.get(captured).sum())

        return late.remote(gate.wait.remote()), Reader.remote()

    result, reader = start()
    gc.collect()
    ray.get(gate.open.remote())
    assert ray.get(result) == 200_000
    assert ray.get(reader.read.remote()) == 200_000


def test_a_callback_gets_the_value_or_the_error(ray: ModuleType) -> None:
    @ray.remote
    def half(x: float) -> float:
        return 1 / x

    seen: list[Any] = []
    for ref in (half.remote(2), half.remote(0)):
        ref._on_completed(seen.append)
        ray.wait([ref])
    wait_until(lambda: len(seen) == 2)
    assert 0.5 in seen
    (error,) = (value for value in seen if value != 0.5)
    assert isinstance(error, ray.exceptions.RayTaskError)
    assert isinstance(error.as_instanceof_cause(), ZeroDivisionError)


def test_a_ref_in_an_actor_lives_until_the_actor_drops_it(ray: ModuleType) -> None:
    @ray.remote
    class Holder:
        def hold(self, box: list[Any]) -> None:
            self.box = box

        def size(self) -> int:
            return len(ray.get(self.box[0]))

        def hand_out(self) -> Any:
            return self.box

    holder = Holder.remote()
    ref = ray.put(b"x" * 200_000)
    ray.get(holder.hold.remote([ref]))
    del ref
    (again,) = ray.get(holder.hand_out.remote())
    ray.get(holder.hold.remote([]))
    assert len(ray.get(again)) == 200_000
    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(holder.size.remote())


def test_an_id_made_of_bytes_is_the_same_ref(ray: ModuleType) -> None:
    ref = ray.put(1)
    same = ray.ObjectRef(ref.binary())
    assert same == ref
    assert hash(same) == hash(ref)
    with pytest.raises(ValueError, match="needs to have length"):
        ray.ObjectRef(b"short")
    assert ray.ObjectRef.from_random() != ray.ObjectRef.from_random()
    assert ref.task_id().hex() == ref.binary()[:24].hex()
    assert ref.job_id().hex() == ray.get_runtime_context().get_job_id()
