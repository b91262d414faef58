"""Refs in an event loop: who gives up leaves nothing behind, and what asyncio offers takes them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import sys
import weakref
from types import ModuleType
from typing import Any

import pytest

from raykernel.runtime import context
from tests.contract.signals import make_gate


@pytest.fixture
def ray(shared_session: ModuleType) -> ModuleType:
    return shared_session


def waiting() -> int:
    """How many callbacks of this process wait for a value."""
    return sum(map(len, context.engine.client._callbacks.values()))


def test_giving_up_leaves_no_callback_and_no_reference(ray: ModuleType) -> None:
    gate = make_gate(ray)
    ref = gate.wait.remote()
    before = waiting()

    async def give_up(ref: Any) -> None:
        for _ in range(20):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ref, 0.001)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(ref, ref), 0.001)
        done, pending = await asyncio.wait([ref], timeout=0.001)
        assert (done, pending) == (set(), {ref})
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(aiter(ray.as_completed([ref]))), 0.001)

    asyncio.run(give_up(ref))
    assert ref.future().cancel()
    assert waiting() == before
    gone = weakref.ref(ref)
    del ref
    gc.collect()  # the errors' tracebacks
    assert gone() is None
    ray.get(gate.open.remote())


def test_giving_up_a_stream_leaves_no_callback(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    def items(box: list[Any]) -> Any:
        yield ray.get(box[0])

    before = waiting()
    stream = items.remote([gate.wait.remote()])

    async def main() -> Any:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(anext(stream), 0.001)
        assert waiting() == before
        await gate.open.remote()
        return [await ref async for ref in stream]

    assert asyncio.run(main()) == ["open"]


@pytest.mark.skipif(
    sys.version_info < (3, 11), reason="asyncio wraps what it waits for before 3.11"
)
def test_asyncio_wait_takes_refs_and_gives_them_back(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    def fail() -> None:
        raise KeyError("waited for")

    async def main() -> None:
        late, ready, failing = gate.wait.remote(), ray.put(3), fail.remote()
        _, pending = await asyncio.wait([late, ready, failing], return_when=asyncio.FIRST_EXCEPTION)
        assert pending == {late}
        assert ready.result() == 3
        with pytest.raises(KeyError, match="waited for"):
            failing.result()
        with pytest.raises(asyncio.InvalidStateError):
            late.result()
        await gate.open.remote()
        assert await late == "open"

    asyncio.run(main())


def test_as_completed_gives_values_as_they_come_and_the_loop_goes_on(ray: ModuleType) -> None:
    gate = make_gate(ray)

    async def main() -> list[Any]:
        seen = []
        async for value in ray.util.as_completed([gate.wait.remote(), ray.put("early")]):
            seen.append(value)
            if value == "early":
                await gate.open.remote()
        return seen

    assert asyncio.run(main()) == ["early", "open"]


def test_as_completed_gives_each_as_soon_as_it_is_there(ray: ModuleType) -> None:
    gate = make_gate(ray)
    values = ray.as_completed([gate.wait.remote(), ray.put("early")])
    assert next(values) == "early"
    ray.get(gate.open.remote())
    assert list(values) == ["open"]


def test_as_completed_raises_where_a_task_failed(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("in its turn")

    async def main() -> None:
        async for _ in ray.as_completed([fail.remote()]):
            pass

    with pytest.raises(KeyError, match="in its turn"):
        asyncio.run(main())


def test_futures_of_refs_can_be_waited_for_together(ray: ModuleType) -> None:
    futures = [ray.put(n).future() for n in range(3)]
    done, _ = concurrent.futures.wait(futures, timeout=30)
    assert sorted(future.result() for future in done) == [0, 1, 2]
