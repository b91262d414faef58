"""Semantics 3 and exact behaviours: wait."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate


def test_ready_and_rest_are_in_the_inputs_order(ray: ModuleType) -> None:
    gate = make_gate(ray)
    slow = [gate.wait.remote() for _ in range(2)]
    fast = [ray.put(i) for i in range(2)]
    refs = [slow[0], fast[0], slow[1], fast[1]]
    ready, rest = ray.wait(refs, num_returns=2, timeout=10)
    assert ready == fast
    assert rest == slow
    ray.get(gate.open.remote())
    ready, rest = ray.wait(refs, num_returns=4, timeout=10)
    assert ready == refs
    assert rest == []


def test_at_most_num_returns_are_ready_even_if_more_are(ray: ModuleType) -> None:
    refs = [ray.put(i) for i in range(5)]
    ready, rest = ray.wait(refs, num_returns=2)
    assert len(ready) == 2
    assert ready == [ref for ref in refs if ref in ready]
    assert rest == [ref for ref in refs if ref not in ready]


def test_num_returns_defaults_to_one(ray: ModuleType) -> None:
    refs = [ray.put(i) for i in range(3)]
    ready, rest = ray.wait(refs)
    assert (len(ready), len(rest)) == (1, 2)


def test_time_up_gives_what_there_is(ray: ModuleType) -> None:
    gate = make_gate(ray)
    refs = [gate.wait.remote(), ray.put(1)]
    ready, rest = ray.wait(refs, num_returns=2, timeout=0.2)
    assert ready == [refs[1]]
    assert rest == [refs[0]]


def test_timeout_zero_polls(ray: ModuleType) -> None:
    gate = make_gate(ray)
    assert ray.wait([gate.wait.remote()], timeout=0)[0] == []


def test_an_empty_list_gives_empty_lists(ray: ModuleType) -> None:
    assert ray.wait([]) == ([], [])


def test_duplicates_are_a_value_error(ray: ModuleType) -> None:
    ref = ray.put(1)
    with pytest.raises(ValueError, match="unique"):
        ray.wait([ref, ref])


@pytest.mark.parametrize("count", [0, -1, 3])
def test_a_senseless_num_returns_is_a_value_error(ray: ModuleType, count: int) -> None:
    with pytest.raises(ValueError, match=r"num_returns|number of objects"):
        ray.wait([ray.put(1), ray.put(2)], num_returns=count)


def test_a_negative_timeout_is_a_value_error(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="timeout"):
        ray.wait([ray.put(1)], timeout=-1)


@pytest.mark.parametrize("thing", [1, None, [1], (1, 2)])
def test_non_lists_and_non_refs_are_type_errors(ray: ModuleType, thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a list"):
        ray.wait(thing)


def test_a_single_ref_is_a_type_error(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match="list of"):
        ray.wait(ray.put(1))


def test_it_does_not_raise_the_tasks_errors(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("not here")

    ref = fail.remote()
    assert ray.wait([ref], timeout=10) == ([ref], [])


def test_generators_can_be_waited_for(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def produce() -> Any:
        ray.get(gate.wait.remote())
        yield 1

    generator = produce.remote()
    assert ray.wait([generator], timeout=0) == ([], [generator])
    ray.get(gate.open.remote())
    assert ray.wait([generator], timeout=30) == ([generator], [])
    assert ray.get(next(generator)) == 1
    assert ray.wait([generator], timeout=30) == ([generator], [])  # ready to say that it ended
    with pytest.raises(StopIteration):
        next(generator)


def test_refs_and_generators_mix(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    def produce() -> Any:
        yield 1

    generator, ref = produce.remote(), ray.put(1)
    ready, rest = ray.wait([generator, ref], num_returns=2, timeout=30)
    assert ready == [generator, ref]
    assert rest == []


def test_what_a_first_wait_left_unasked_comes_with_the_next(ray: ModuleType) -> None:
    """A borrower's first `wait` finds one ready and asks for nothing; the next has to."""

    @ray.remote
    def same(boxed: list[Any]) -> int:
        return ray.get(boxed[0])

    @ray.remote
    def one_by_one(refs: list[Any]) -> list[int]:
        ray.get(refs[0])
        values = []
        while refs:
            ready, refs = ray.wait(refs, timeout=20)
            values += ray.get(ready)
        return values

    refs = [ray.put(0), *(same.remote([ray.put(n)]) for n in (1, 2))]
    assert sorted(ray.get(one_by_one.remote(refs), timeout=30)) == [0, 1, 2]
