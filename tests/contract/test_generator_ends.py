"""Generators: fixed and "dynamic" returns, ends that failed, streams that share a cap."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter, make_gate, wait_until


def test_a_generator_may_fill_a_fixed_number_of_returns(ray: ModuleType) -> None:
    @ray.remote(num_returns=2)
    def count(n: int) -> Iterator[int]:
        yield from range(n)

    assert ray.get(count.remote(2)) == [0, 1]
    assert ray.get(count.remote(3)) == [0, 1], "what is too much is not drawn"
    assert ray.get(count.options(num_returns=1).remote(1)) == 0
    first, second = count.remote(1)
    assert ray.get(first) == 0
    with pytest.raises(ValueError, match="1"):
        ray.get(second)


def test_what_a_generator_made_before_it_failed_stays(ray: ModuleType) -> None:
    @ray.remote(max_retries=0)
    def fail() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    first, second, third = fail.options(num_returns=3).remote()
    assert ray.get(first) == 1
    for ref in second, third:
        with pytest.raises(KeyError):
            ray.get(ref)


def test_a_dynamic_generators_failure_is_its_last_ref(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(num_returns="dynamic", max_retries=1)
    def fail_once(counter: Any) -> Iterator[int]:
        yield 1
        if ray.get(counter.add.remote()) == 1:
            raise KeyError("two")
        yield 2

    refs = iter(ray.get(fail_once.remote(counter)))
    assert ray.get(next(refs)) == 1
    with pytest.raises(KeyError):
        ray.get(next(refs))
    with pytest.raises(StopIteration):
        next(refs)

    again = fail_once.options(retry_exceptions=[KeyError]).remote(make_counter(ray))
    assert [ray.get(ref) for ref in ray.get(again)] == [1, 2]


def test_a_stream_that_was_stopped_ends_with_why(ray: ModuleType) -> None:
    @ray.remote(max_retries=0)
    def endless() -> Iterator[int]:
        yield 0
        while True:
            pass

    stream = endless.remote()
    assert ray.get(next(stream)) == 0
    assert not stream.next_ready()
    ray.cancel(stream, force=True)
    ray.wait([stream])
    assert stream.next_ready()
    assert not stream.is_finished()
    why = (ray.exceptions.TaskCancelledError, ray.exceptions.WorkerCrashedError)
    with pytest.raises(why):
        ray.get(stream.completed())
    with pytest.raises(why):
        ray.get(next(stream))
    with pytest.raises(StopIteration):
        next(stream)
    assert stream.is_finished()
    assert not stream.next_ready()


def test_the_streams_of_an_actor_may_share_a_cap(ray: ModuleType) -> None:
    seen = make_counter(ray)

    @ray.remote(max_concurrency=2, _actor_generator_backpressure_num_objects=3)
    class Source:
        def items(self, seen: Any) -> Iterator[int]:
            for i in range(4):
                ray.get(seen.add.remote())
                yield i

    source = Source.remote()
    streams = [source.items.remote(seen) for _ in range(2)]
    wait_until(lambda: ray.get(seen.value.remote()) == 3)
    ready, _ = ray.wait(streams)
    ray.get(next(ready[0]))
    wait_until(lambda: ray.get(seen.value.remote()) == 4)
    while streams:  # one of them may have all the room: take what there is
        ready, _ = ray.wait(streams)
        try:
            ray.get(next(ready[0]))
        except StopIteration:
            streams.remove(ready[0])
    assert ray.get(seen.value.remote()) == 8


def test_a_cap_of_streams_is_a_number_above_zero(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="must be > 0"):

        @ray.remote(_actor_generator_backpressure_num_objects=0)
        class Source:
            pass


def test_refs_tell_their_task_and_call_back(ray: ModuleType) -> None:
    @ray.remote
    def task() -> str:
        found: str = ray.get_runtime_context().get_task_id()
        return found

    ref = task.remote()
    assert ref.task_id().hex() == ray.get(ref)
    said: list[Any] = []
    ref._on_completed(said.append)
    wait_until(lambda: said == [ref.task_id().hex()])


def test_a_future_can_be_made_for_a_loop_that_does_not_run_yet(ray: ModuleType) -> None:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        assert loop.run_until_complete(ray.put(3).as_future()) == 3
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_cancelling_reaches_the_body_of_a_generator_with_fixed_returns(ray: ModuleType) -> None:
    gate, began = make_gate(ray), make_counter(ray)

    @ray.remote(num_returns=2)
    def two(gate: Any, began: Any) -> Iterator[int]:
        yield 1
        ray.get(began.add.remote())
        ray.get(gate.wait.remote())
        yield 2

    first, second = two.remote(gate, began)
    wait_until(lambda: ray.get(began.value.remote()) == 1)
    ray.cancel(first)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second, timeout=30)


def test_what_follows_the_last_yield_runs(ray: ModuleType) -> None:
    tail = make_counter(ray)

    @ray.remote(num_returns=2)
    def two(tail: Any) -> Iterator[int]:
        yield 1
        yield 2
        ray.get(tail.add.remote())

    assert ray.get(two.remote(tail)) == [1, 2]
    wait_until(lambda: ray.get(tail.value.remote()) == 1)


def test_a_tasks_generator_takes_nothing_from_its_caller(ray: ModuleType) -> None:
    @ray.remote
    def once() -> Any:
        yield 1

    async def ask(generator: Any) -> None:
        with pytest.raises(NotImplementedError):
            await generator.asend(2)
        with pytest.raises(NotImplementedError):
            await generator.athrow(ValueError())

    generator = once.remote()
    asyncio.run(ask(generator))
    with pytest.raises(NotImplementedError):
        generator.send(2)
    with pytest.raises(NotImplementedError):
        generator.throw(ValueError())
    assert [ray.get(ref) for ref in generator] == [1]
