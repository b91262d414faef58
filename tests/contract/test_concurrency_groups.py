"""Exact behaviours: concurrency groups."""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate


def make_threaded(ray: ModuleType) -> Any:
    @ray.remote(concurrency_groups={"io": 2, "compute": 1})
    class Threaded:
        def __init__(self) -> None:
            self.local = threading.local()

        @ray.method(concurrency_group="io")
        def io_thread(self) -> int:
            return threading.get_ident()

        @ray.method(concurrency_group="compute")
        def compute_thread(self) -> int:
            return threading.get_ident()

        def default_thread(self) -> int:
            return threading.get_ident()

        @ray.method(concurrency_group="compute")
        def wait(self, box: list[Any]) -> Any:
            return ray.get(box[0].wait.remote())

        @ray.method(concurrency_group="compute")
        def remember(self, value: int) -> None:
            self.local.value = value

        @ray.method(concurrency_group="compute")
        def recall(self) -> Any:
            return getattr(self.local, "value", None)

        def recall_elsewhere(self) -> Any:
            return getattr(self.local, "value", None)

    return Threaded


def make_async(ray: ModuleType) -> Any:
    @ray.remote(concurrency_groups={"io": 2, "compute": 4})
    class Async:
        @ray.method(concurrency_group="io")
        async def io(self) -> int:
            return threading.get_ident()

        @ray.method(concurrency_group="compute")
        async def compute(self) -> int:
            return threading.get_ident()

        async def default(self) -> int:
            return threading.get_ident()

        @ray.method(concurrency_group="io")
        async def block(self, box: list[Any]) -> Any:
            return await box[0].wait.remote()

    return Async


def test_each_group_has_threads_of_its_own(ray: ModuleType) -> None:
    actor = make_threaded(ray).remote()
    io = set(ray.get([actor.io_thread.remote() for _ in range(10)]))
    compute = set(ray.get([actor.compute_thread.remote() for _ in range(10)]))
    default = set(ray.get([actor.default_thread.remote() for _ in range(10)]))
    assert len(io) <= 2
    assert len(compute) == 1
    assert len(default) == 1
    assert not io & compute
    assert not io & default
    assert not compute & default


def test_a_busy_group_does_not_hold_up_the_others(ray: ModuleType) -> None:
    gate = make_gate(ray)
    actor = make_threaded(ray).remote()
    blocked = actor.wait.remote([gate])
    behind = actor.compute_thread.remote()
    ray.get([actor.io_thread.remote(), actor.default_thread.remote()])
    assert ray.wait([behind], timeout=0.1)[0] == []
    ray.get(gate.open.remote())
    assert ray.get(blocked) == "open"
    ray.get(behind)


def test_the_group_can_be_chosen_at_the_call(ray: ModuleType) -> None:
    actor = make_threaded(ray).remote()
    io = {ray.get(actor.io_thread.remote()) for _ in range(4)}
    moved = {
        ray.get(actor.default_thread.options(concurrency_group="compute").remote())
        for _ in range(4)
    }
    assert moved == {ray.get(actor.compute_thread.remote())}
    assert not moved & io


def test_threads_last_so_that_thread_locals_survive(ray: ModuleType) -> None:
    actor = make_threaded(ray).remote()
    ray.get(actor.remember.remote(7))
    assert ray.get(actor.recall.remote()) == 7
    assert ray.get(actor.recall_elsewhere.remote()) is None


def test_async_groups_have_loops_of_their_own(ray: ModuleType) -> None:
    actor = make_async(ray).remote()
    io = set(ray.get([actor.io.remote() for _ in range(6)]))
    compute = set(ray.get([actor.compute.remote() for _ in range(6)]))
    default = set(ray.get([actor.default.remote() for _ in range(6)]))
    assert len(io) == len(compute) == len(default) == 1
    assert len(io | compute | default) == 3


def test_a_full_async_group_does_not_hold_up_the_others(ray: ModuleType) -> None:
    gate = make_gate(ray)
    actor = make_async(ray).remote()
    blocked = [actor.block.remote([gate]) for _ in range(3)]
    ray.get([actor.compute.remote(), actor.default.remote()])
    ray.get(gate.open.remote())
    assert ray.get(blocked) == ["open"] * 3


def test_a_methods_unknown_group_is_told_when_the_actor_is_made(ray: ModuleType) -> None:
    @ray.remote(concurrency_groups={"io": 1})
    class Grouped:
        @ray.method(concurrency_group="nowhere")
        def ping(self) -> None:
            pass

    with pytest.raises(AssertionError):
        Grouped.remote()


def test_async_actors_cannot_be_held_to_an_order(ray: ModuleType) -> None:
    @ray.remote(allow_out_of_order_execution=False)
    class Async:
        async def ping(self) -> None:
            pass

    with pytest.raises(ValueError, match="async"):
        Async.remote()
