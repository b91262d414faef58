"""ActorPool, where Ray 2.60 fails: several returns and mixed orders."""

from __future__ import annotations

from typing import Any

import pytest

import raykernel as ray
from raykernel.util import ActorPool

pytestmark = pytest.mark.usefixtures("session")


@ray.remote
class Doubler:
    def double(self, value: int) -> int:
        return 2 * value

    @ray.method(num_returns=2)
    def two(self, value: int) -> tuple[int, int]:
        return value, value + 1


def double(actor: Any, value: int) -> Any:
    return actor.double.remote(value)


def test_several_returns_come_unordered_too() -> None:
    pool = ActorPool([Doubler.remote()])
    results = pool.map_unordered(lambda actor, value: actor.two.remote(value), range(3))
    assert sorted(results) == [[0, 1], [1, 2], [2, 3]]


def test_after_results_in_any_order_the_oldest_left_is_next() -> None:
    pool = ActorPool([Doubler.remote(), Doubler.remote()])
    for value in range(6):
        pool.submit(double, value)
    taken = [pool.get_next_unordered() for _ in range(3)]
    rest = [pool.get_next() for _ in range(3)]
    assert rest == sorted(rest)
    assert sorted(taken + rest) == [0, 2, 4, 6, 8, 10]


def test_map_drops_what_was_submitted_before() -> None:
    pool = ActorPool([Doubler.remote()])
    for value in (1, 2, 3):
        pool.submit(double, value)
    assert list(pool.map(double, [4, 5])) == [8, 10]


def test_a_function_that_fails_to_submit_costs_no_actor() -> None:
    pool = ActorPool([Doubler.remote()])
    with pytest.raises(ZeroDivisionError):
        pool.submit(lambda actor, value: value / 0, 1)
    assert list(pool.map(double, [1])) == [2]
