"""Ray's documented anti-patterns: each gives the right answer, and so does what to do instead.

What is slow about them is for the benchmarks; here it is what a program sees.
"""

from __future__ import annotations

import gc
import os
from types import ModuleType
from typing import Any

import numpy as np
import pytest

_shared = 0


def test_getting_in_a_loop_gives_what_getting_at_the_end_gives(ray: ModuleType) -> None:
    @ray.remote
    def square(x: int) -> int:
        return x * x

    one_by_one = [ray.get(square.remote(i)) for i in range(4)]
    assert one_by_one == ray.get([square.remote(i) for i in range(4)]) == [0, 1, 4, 9]


def test_getting_what_only_travels_on_gives_what_passing_the_ref_gives(ray: ModuleType) -> None:
    @ray.remote
    def make() -> Any:
        return np.ones(200_000)

    @ray.remote
    def add(values: Any) -> float:
        return float(values.sum())

    assert ray.get(add.remote(ray.get(make.remote()))) == ray.get(add.remote(make.remote()))


def test_many_small_tasks_may_be_a_few_batches(ray: ModuleType) -> None:
    @ray.remote
    def double(x: int) -> int:
        return 2 * x

    @ray.remote
    def double_all(batch: list[int]) -> list[int]:
        return [2 * x for x in batch]

    items = list(range(60))
    batches = ray.get([double_all.remote(items[i : i + 20]) for i in range(0, 60, 20)])
    assert [x for batch in batches for x in batch] == ray.get([double.remote(x) for x in items])


def test_a_global_variable_is_each_processs_own(ray: ModuleType) -> None:
    @ray.remote
    class Writer:
        def write(self) -> int:
            global _shared
            _shared += 1
            return _shared

    @ray.remote
    class Shared:
        def __init__(self) -> None:
            self.value = 0

        def add(self) -> int:
            self.value += 1
            return self.value

    writers = [Writer.remote() for _ in range(2)]
    assert ray.get([w.write.remote() for w in writers]) == [1, 1]
    assert _shared == 0
    shared = Shared.remote()
    assert sorted(ray.get([shared.add.remote() for _ in range(2)])) == [1, 2]


def test_a_function_redefined_in_a_loop_is_each_time_another(ray: ModuleType) -> None:
    refs = []
    for i in range(3):

        @ray.remote
        def add(x: int, i: int = i) -> int:
            return x + i

        refs.append(add.remote(10))
    assert ray.get(refs) == [10, 11, 12]


def test_refs_that_a_task_puts_and_returns_outlive_it(ray: ModuleType) -> None:
    @ray.remote
    def put_and_return() -> list[Any]:
        return [ray.put(np.full(50_000, i)) for i in range(3)]

    @ray.remote(num_returns=3)
    def plainly() -> tuple[Any, ...]:
        return tuple(np.full(50_000, i) for i in range(3))

    nested = ray.get(put_and_return.remote())
    gc.collect()
    for one, other in zip(ray.get(nested), ray.get(plainly.remote()), strict=True):
        assert (one == other).all()


def test_a_ref_pickled_by_hand_can_be_got_while_there_is_another(ray: ModuleType) -> None:
    kept = ray.put("kept")
    by_hand = ray.cloudpickle.dumps(kept)

    @ray.remote
    def look(pickled: bytes) -> Any:
        return ray.get(ray.cloudpickle.loads(pickled))

    assert ray.get(look.remote(by_hand)) == "kept"
    assert ray.get(kept) == "kept"


def test_what_is_pickled_by_hand_elsewhere_stays_while_its_process_does(ray: ModuleType) -> None:
    @ray.remote
    class Maker:
        def make(self) -> bytes:
            return bytes(ray.cloudpickle.dumps({"large": ray.put(np.ones(200_000)), "small": 1}))

    maker = Maker.remote()
    made = ray.cloudpickle.loads(ray.get(maker.make.remote()))
    assert ray.get(made["large"]).sum() == 200_000


def test_a_handle_pickled_by_hand_reaches_its_actor(ray: ModuleType) -> None:
    @ray.remote
    class Pid:
        def pid(self) -> int:
            return os.getpid()

    @ray.remote
    def reach(pickled: bytes) -> Any:
        return ray.get(ray.cloudpickle.loads(pickled).pid.remote())

    actor = Pid.remote()
    by_hand = ray.cloudpickle.dumps(actor)
    again = ray.cloudpickle.loads(by_hand)
    pid = ray.get(actor.pid.remote())
    assert (again, hash(again)) == (actor, hash(actor))
    assert [ray.get(again.pid.remote()), ray.get(reach.remote(by_hand))] == [pid, pid]
    del actor, again
    gc.collect()
    assert ray.get(reach.remote(by_hand)) == pid


def test_the_arguments_of_pending_calls_can_be_bounded(ray: ModuleType) -> None:
    """As Ray's "limit pending tasks", by the actor's option: the caller waits and tries again."""

    @ray.remote(max_pending_calls=3)
    class Slow:
        def work(self, i: int) -> int:
            return i

    actor, open_calls, done = Slow.remote(), [], []
    for i in range(12):
        while True:
            try:
                open_calls.append(actor.work.remote(i))
                break
            except ray.exceptions.PendingCallsLimitExceeded:
                ready, open_calls = ray.wait(open_calls)
                done += ray.get(ready)
    assert sorted(done + ray.get(open_calls)) == list(range(12))


def test_an_exception_of_many_arguments_travels(ray: ModuleType) -> None:
    class Refused(Exception):
        def __init__(self, code: int, why: str) -> None:
            super().__init__(code, why)
            self.code, self.why = code, why

    @ray.remote
    def refuse() -> None:
        raise Refused(7, "closed")

    with pytest.raises(Refused) as caught:
        ray.get(refuse.remote())
    assert (caught.value.code, caught.value.why) == (7, "closed")
    assert isinstance(caught.value.cause, Refused)
