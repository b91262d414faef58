"""Semantics 12: threads of the driver."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any


def test_the_api_works_from_any_thread(ray: ModuleType) -> None:
    @ray.remote
    def double(n: int) -> int:
        return 2 * n

    @ray.remote
    class Adder:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    adder = Adder.remote()

    def work(n: int) -> Any:
        ref = ray.put(n)
        ray.wait([ref])
        ray.get(adder.add.remote())
        return ray.get(double.remote(ref))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(40))) == [2 * n for n in range(40)]
    assert ray.get(adder.add.remote()) == 41


def test_threads_may_wait_for_the_same_object(ray: ModuleType) -> None:
    from tests.contract.signals import make_gate

    gate = make_gate(ray)
    ref = gate.wait.remote()
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(ray.get, ref) for _ in range(5)]
        ray.get(gate.open.remote())
        assert [w.result(timeout=30) for w in waiting] == ["open"] * 5


def test_a_tasks_own_threads_may_use_the_api(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    @ray.remote
    def threaded() -> Any:
        with ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda n: ray.get(echo.remote(n)), range(8)))

    assert ray.get(threaded.remote(), timeout=60) == list(range(8))
