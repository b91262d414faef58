"""Semantics 5 and exact behaviours: generators of refs."""

from __future__ import annotations

import asyncio
import gc
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.contract.signals import make_counter, make_gate, wait_until


def test_a_generator_streams_without_being_told(ray: ModuleType) -> None:
    @ray.remote
    def count(n: int) -> Any:
        yield from (i for i in range(n))

    generator = count.remote(5)
    assert isinstance(generator, ray.ObjectRefGenerator)
    refs = list(generator)
    assert all(isinstance(ref, ray.ObjectRef) for ref in refs)
    assert ray.get(refs) == list(range(5))


def test_refs_come_as_values_are_produced(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def produce(box: list[Any]) -> Any:
        yield "first"
        ray.get(box[0].wait.remote())
        yield "second"

    generator = produce.remote([gate])
    assert ray.get(next(generator)) == "first"
    ray.get(gate.open.remote())
    assert ray.get(next(generator)) == "second"
    with pytest.raises(StopIteration):
        next(generator)


def test_after_the_end_it_stays_at_the_end(ray: ModuleType) -> None:
    @ray.remote
    def one() -> Any:
        yield 1

    generator = one.remote()
    next(generator)
    for _ in range(3):
        with pytest.raises(StopIteration):
            next(generator)


def test_a_failure_in_mid_stream_is_one_ref_more_that_raises(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> Any:
        yield 1
        yield 2
        raise ValueError("mid-stream")

    refs = list(fail.remote())
    assert ray.get(refs[:2]) == [1, 2]
    assert len(refs) == 3
    with pytest.raises(ValueError, match="mid-stream"):
        ray.get(refs[2])


def test_a_failure_before_the_first_item_is_one_ref_that_raises(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> Any:
        if True:
            raise ValueError("at once")
        yield 1

    (ref,) = fail.remote()
    with pytest.raises(ValueError, match="at once"):
        ray.get(ref)


def test_a_yielded_exception_is_a_value(ray: ModuleType) -> None:
    @ray.remote
    def give() -> Any:
        yield ValueError("a value")
        yield 2

    first, second = give.remote()
    assert isinstance(ray.get(first), ValueError)
    assert ray.get(second) == 2


def test_an_empty_generator_ends_at_once(ray: ModuleType) -> None:
    @ray.remote
    def nothing() -> Any:
        yield from ()

    assert list(nothing.remote()) == []


def test_large_items_arrive(ray: ModuleType) -> None:
    @ray.remote
    def arrays() -> Any:
        for n in range(3):
            yield np.full(200_000, n)

    assert [int(ray.get(ref)[0]) for ref in arrays.remote()] == [0, 1, 2]


def test_dynamic_gives_a_ref_to_a_generator_of_refs(ray: ModuleType) -> None:
    @ray.remote(num_returns="dynamic")
    def several(n: int) -> Any:
        yield from (i for i in range(n))

    ref = several.remote(3)
    assert isinstance(ref, ray.ObjectRef)
    refs = ray.get(ref)
    assert isinstance(refs, ray.DynamicObjectRefGenerator)
    assert ray.get(list(refs)) == [0, 1, 2]


def test_dynamic_on_something_else_is_a_value_error(ray: ModuleType) -> None:
    for how in ("dynamic", "streaming"):
        with pytest.raises(ValueError, match="generator"):

            @ray.remote(num_returns=how)
            def plain() -> int:
                return 1


def test_another_num_returns_on_a_generator_gives_that_many(ray: ModuleType) -> None:
    @ray.remote(num_returns=2)
    def two() -> Any:
        yield 1
        yield 2

    a, b = two.remote()
    assert ray.get([a, b]) == [1, 2]


def test_a_streaming_generator_cannot_be_an_argument(ray: ModuleType) -> None:
    @ray.remote
    def count() -> Any:
        yield 1

    @ray.remote
    def take(value: Any) -> None:
        pass

    generator = count.remote()
    with pytest.raises(TypeError):
        take.remote(generator)
    with pytest.raises(TypeError):
        ray.put(generator)


def test_backpressure_holds_the_producer(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(num_cpus=0, _generator_backpressure_num_objects=2)
    def produce() -> Any:
        for n in range(10):
            ray.get(counter.add.remote())
            yield n

    generator = produce.remote()
    first = next(generator)
    wait_until(lambda: ray.get(counter.value.remote()) >= 3)
    assert ray.get(counter.value.remote()) <= 4
    assert ray.get([first, *generator]) == list(range(10))
    assert ray.get(counter.value.remote()) == 10


def test_backpressure_of_zero_is_rejected(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="_generator_backpressure_num_objects"):

        @ray.remote(_generator_backpressure_num_objects=0)
        def produce() -> Any:
            yield 1


def test_backpressure_of_a_threaded_actor(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_concurrency=2)
    class Source:
        @ray.method(_generator_backpressure_num_objects=1)
        def produce(self, n: int) -> Any:
            for i in range(n):
                ray.get(counter.add.remote())
                yield i

    source = Source.remote()
    generator = source.produce.remote(5)
    assert ray.get(list(generator)) == list(range(5))
    assert ray.get(counter.value.remote()) == 5


def test_an_async_actor_streams(ray: ModuleType) -> None:
    @ray.remote
    class Source:
        async def count(self, n: int) -> Any:
            for i in range(n):
                await asyncio.sleep(0)
                yield i

    source = Source.remote()
    assert [ray.get(ref) for ref in source.count.remote(4)] == [0, 1, 2, 3]


def test_an_async_generators_failure_is_one_ref_more(ray: ModuleType) -> None:
    @ray.remote
    class Source:
        async def fail(self) -> Any:
            yield 1
            raise ValueError("in the stream")

    first, second = Source.remote().fail.remote()
    assert ray.get(first) == 1
    with pytest.raises(ValueError, match="in the stream"):
        ray.get(second)


def test_a_threaded_actor_streams_several_at_once(ray: ModuleType) -> None:
    @ray.remote(max_concurrency=3)
    class Source:
        def count(self, n: int) -> Any:
            yield from (i for i in range(n))

    source = Source.remote()
    generators = [source.count.remote(3) for _ in range(3)]
    assert [[ray.get(ref) for ref in g] for g in generators] == [[0, 1, 2]] * 3


def test_it_can_be_iterated_asynchronously(ray: ModuleType) -> None:
    @ray.remote
    def count(n: int) -> Any:
        yield from (i for i in range(n))

    async def collect() -> list[int]:
        return [await ref async for ref in count.remote(4)]

    assert asyncio.run(collect()) == [0, 1, 2, 3]


def test_a_retry_does_not_repeat_what_was_produced(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=2, retry_exceptions=True)
    def flaky() -> Any:
        tries = ray.get(counter.add.remote())
        yield 0
        yield 1
        if tries < 3:
            raise ValueError("again")
        yield 2

    assert [ray.get(ref) for ref in flaky.remote()] == [0, 1, 2]
    assert ray.get(counter.value.remote()) == 3


def test_completed_is_ready_at_the_end(ray: ModuleType) -> None:
    @ray.remote
    def count() -> Any:
        yield from (i for i in range(3))

    generator = count.remote()
    ready, _ = ray.wait([generator.completed()], timeout=30)
    assert ready == [generator.completed()]
    assert ray.get(list(generator)) == [0, 1, 2]


def test_a_generator_task_can_consume_another(ray: ModuleType) -> None:
    @ray.remote
    def count(n: int) -> Any:
        yield from (i for i in range(n))

    @ray.remote
    def double(n: int) -> Any:
        for ref in count.remote(n):
            yield 2 * ray.get(ref)

    assert [ray.get(ref) for ref in double.remote(3)] == [0, 2, 4]


def test_items_outlive_the_generator(ray: ModuleType) -> None:
    @ray.remote
    def arrays() -> Any:
        for n in range(2):
            yield np.full(200_000, n)

    refs = list(arrays.remote())
    gc.collect()
    assert [int(ray.get(ref)[5]) for ref in refs] == [0, 1]
