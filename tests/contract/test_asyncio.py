"""Semantics 11: asyncio, in drivers and in async actors."""

from __future__ import annotations

import asyncio
import concurrent.futures
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate


def test_a_ref_can_be_awaited(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    async def main() -> Any:
        return await echo.remote(3)

    assert asyncio.run(main()) == 3


def test_a_ref_can_be_awaited_twice(ray: ModuleType) -> None:
    async def main() -> Any:
        ref = ray.put(4)
        return await ref, await ref

    assert asyncio.run(main()) == (4, 4)


def test_awaiting_raises_the_tasks_error(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("awaited")

    async def main() -> None:
        await fail.remote()

    with pytest.raises(ValueError, match="awaited"):
        asyncio.run(main())


def test_refs_can_be_gathered(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    async def main() -> Any:
        return await asyncio.gather(*[echo.remote(n) for n in range(10)])

    assert asyncio.run(main()) == list(range(10))


def test_wait_for_times_out(ray: ModuleType) -> None:
    gate = make_gate(ray)

    async def main() -> None:
        await asyncio.wait_for(gate.wait.remote(), 0.05)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(main())


def test_asyncio_wait_takes_the_refs_futures(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    async def main() -> Any:
        futures = [asyncio.wrap_future(echo.remote(n).future()) for n in range(3)]
        done, pending = await asyncio.wait(futures)
        return sorted(f.result() for f in done), len(pending)

    assert asyncio.run(main()) == ([0, 1, 2], 0)


def test_a_concurrent_future_can_be_had(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    futures = [echo.remote(n).future() for n in range(20)]
    assert all(isinstance(f, concurrent.futures.Future) for f in futures)
    assert [f.result(timeout=30) for f in futures] == list(range(20))


def test_a_concurrent_future_carries_the_error(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("future")

    with pytest.raises(KeyError, match="future"):
        fail.remote().future().result(timeout=30)


def test_a_future_of_what_is_there_is_done(ray: ModuleType) -> None:
    assert ray.put(1).future().result(timeout=30) == 1


def test_an_async_actor_awaits_refs(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    @ray.remote
    class Sum:
        async def of(self, n: int) -> int:
            return sum(await asyncio.gather(*[echo.remote(i) for i in range(n)]))

        async def boxed(self, box: list[Any]) -> Any:
            return await box[0]

    actor = Sum.remote()
    assert ray.get(actor.of.remote(5)) == 10
    assert ray.get(actor.boxed.remote([ray.put("in a box")])) == "in a box"


def test_cancelling_the_awaiting_task_leaves_the_ref_usable(ray: ModuleType) -> None:
    gate = make_gate(ray)

    async def main() -> Any:
        ref = gate.wait.remote()

        async def wait() -> Any:
            return await ref

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gate.open.remote()
        return await ref

    assert asyncio.run(main()) == "open"


def test_results_come_while_the_loop_does_other_things(ray: ModuleType) -> None:
    gate = make_gate(ray)

    async def main() -> Any:
        waiting = asyncio.ensure_future(_value(gate.wait.remote()))
        await asyncio.sleep(0)
        assert not waiting.done()
        await gate.open.remote()
        return await waiting

    assert asyncio.run(main()) == "open"


async def _value(ref: Any) -> Any:
    return await ref


def test_get_inside_an_async_actor_works(ray: ModuleType) -> None:
    @ray.remote
    class Blocking:
        async def get(self, box: list[Any]) -> Any:
            return ray.get(box[0])

    assert ray.get(Blocking.remote().get.remote([ray.put(6)])) == 6
