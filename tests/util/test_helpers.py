"""as_completed and map_unordered: results as they come."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter, make_gate


def test_what_is_ready_comes_first(ray: ModuleType) -> None:
    gate = make_gate(ray)
    refs = [gate.wait.remote(), ray.put(1), ray.put(2)]
    results = ray.util.as_completed(refs, chunk_size=1)
    assert {next(results), next(results)} == {1, 2}
    ray.get(gate.open.remote())
    assert list(results) == ["open"]


def test_refs_come_instead_of_values_if_asked(ray: ModuleType) -> None:
    refs = [ray.put(i) for i in range(15)]
    assert set(ray.util.as_completed(refs, yield_obj_refs=True)) == set(refs)


def test_an_error_is_raised_when_its_turn_comes(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        list(ray.util.as_completed([fail.remote()]))


def test_every_item_is_mapped_once(ray: ModuleType) -> None:
    @ray.remote
    def double(x: int) -> int:
        return 2 * x

    for limits in ({}, {"backpressure_size": 2, "chunk_size": 1}, {"backpressure_size": None}):
        found = ray.util.map_unordered(double, range(25), **limits)
        assert sorted(found) == [2 * x for x in range(25)]


def test_backpressure_limits_what_is_submitted(ray: ModuleType) -> None:
    counter = make_counter(ray)

    def items() -> Any:
        for i in range(100):
            ray.get(counter.add.remote())
            yield i

    identity = ray.remote(lambda x: x)
    results = ray.util.map_unordered(identity, items(), backpressure_size=4, chunk_size=1)
    next(results)
    assert ray.get(counter.value.remote()) <= 5
    assert len(list(results)) == 99


@pytest.mark.parametrize("wrong", [{"chunk_size": 0}, {"num_returns": 2}, {"backpressure_size": 0}])
def test_limits_that_make_no_sense_are_refused(ray: ModuleType, wrong: dict[str, int]) -> None:
    identity = ray.remote(lambda x: x)
    with pytest.raises(ValueError, match="size"):
        list(ray.util.map_unordered(identity, [1], **wrong))
    if "backpressure_size" not in wrong:
        with pytest.raises(ValueError, match="size"):
            list(ray.util.as_completed([ray.put(1)], **wrong))
