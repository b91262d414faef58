"""Deep and wide: what a small machine must bear."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest


def test_five_hundred_nested_tasks_on_two_cpus(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def depth(n: int) -> int:
        return 0 if n == 0 else 1 + ray.get(depth.remote(n - 1))

    assert ray.get(depth.remote(500)) == 500


def test_a_hundred_thousand_pending_tasks(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def one() -> int:
        return 1

    assert sum(ray.get([one.remote() for _ in range(100_000)])) == 100_000


def test_a_thousand_actors(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote(num_cpus=0)
    class Counter:
        def __init__(self, start: int) -> None:
            self.n = start

        def add(self) -> int:
            self.n += 1
            return self.n

    actors = [Counter.remote(i) for i in range(1000)]
    assert ray.get([a.add.remote() for a in actors]) == list(range(1, 1001))


def test_a_task_with_ten_thousand_ref_arguments(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def echo(i: int) -> int:
        return i

    @ray.remote
    def total(*numbers: int) -> int:
        return sum(numbers)

    assert ray.get(total.remote(*[echo.remote(i) for i in range(10_000)])) == 49_995_000


def test_an_actor_with_a_hundred_thousand_queued_calls(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    counter = Counter.remote()
    assert ray.get([counter.add.remote() for _ in range(100_000)]) == list(range(1, 100_001))


@pytest.mark.timeout(180)
def test_a_result_of_one_gibibyte(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def large() -> object:
        return np.ones(2**27)

    array = ray.get(large.remote())
    assert array.nbytes == 2**30
    assert array[0] == array[-1] == 1.0
