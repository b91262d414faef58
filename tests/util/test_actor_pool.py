"""ActorPool: work goes to whichever actor is free."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate
from tests.util.conftest import Util


def make_actor(ray: ModuleType) -> Any:
    @ray.remote
    class Doubler:
        def double(self, value: int) -> int:
            return 2 * value

        def fail(self, value: int) -> None:
            raise ValueError(f"no {value}")

        @ray.method(num_returns=2)
        def two(self, value: int) -> tuple[int, int]:
            return value, value + 1

        def wait(self, gate: Any) -> str:
            answer: str = ray.get(gate.wait.remote())
            return answer

    return Doubler.remote()


def double(actor: Any, value: int) -> Any:
    return actor.double.remote(value)


@pytest.fixture
def pool(ray: ModuleType, util: Util) -> Any:
    return util("actor_pool").ActorPool([make_actor(ray), make_actor(ray)])


def test_map_keeps_the_order_of_the_values(pool: Any) -> None:
    assert list(pool.map(double, range(10))) == [2 * i for i in range(10)]


def test_map_unordered_gives_every_result_once(pool: Any) -> None:
    assert sorted(pool.map_unordered(double, range(10))) == [2 * i for i in range(10)]


def test_what_is_ready_overtakes_what_is_not(ray: ModuleType, pool: Any) -> None:
    gate = make_gate(ray)
    pool.submit(lambda actor, value: actor.wait.remote(value), gate)
    pool.submit(double, 4)
    assert pool.get_next_unordered(timeout=30) == 8
    ray.get(gate.open.remote())
    assert pool.get_next_unordered(timeout=30) == "open"


def test_results_come_in_the_order_of_submission(ray: ModuleType, pool: Any) -> None:
    for value in range(5):
        pool.submit(double, value)
    assert [pool.get_next() for _ in range(5)] == [0, 2, 4, 6, 8]
    assert not pool.has_next()


def test_with_nothing_submitted_there_is_no_next(pool: Any) -> None:
    assert not pool.has_next()
    with pytest.raises(StopIteration, match="No more results to get"):
        pool.get_next()
    with pytest.raises(StopIteration, match="No more results to get"):
        pool.get_next_unordered()


@pytest.mark.parametrize("take", ["get_next", "get_next_unordered"])
def test_a_result_late_is_a_timeout_and_can_be_taken_later(
    ray: ModuleType, pool: Any, take: str
) -> None:
    gate = make_gate(ray)
    pool.submit(lambda actor, value: actor.wait.remote(value), gate)
    with pytest.raises(TimeoutError):
        getattr(pool, take)(timeout=0.1)
    assert pool.has_next()
    ray.get(gate.open.remote())
    assert getattr(pool, take)(timeout=30) == "open"


def test_a_late_result_can_be_given_up(ray: ModuleType, pool: Any) -> None:
    gate = make_gate(ray)
    pool.submit(lambda actor, value: actor.wait.remote(value), gate)
    with pytest.raises(TimeoutError, match="has been ignored"):
        pool.get_next(timeout=0.1, ignore_if_timedout=True)
    assert not pool.has_next()
    assert pool.has_free()
    ray.get(gate.open.remote())
    assert list(pool.map(double, [1, 2])) == [2, 4]


def test_several_returns_come_as_a_list(pool: Any) -> None:
    results = pool.map(lambda actor, value: actor.two.remote(value), range(3))
    assert list(results) == [[0, 1], [1, 2], [2, 3]]


def test_a_failed_call_raises_and_frees_its_actor(pool: Any) -> None:
    pool.submit(lambda actor, value: actor.fail.remote(value), 7)
    with pytest.raises(ValueError, match="no 7"):
        pool.get_next()
    assert pool.has_free()
    assert list(pool.map(double, range(4))) == [0, 2, 4, 6]


def test_idle_actors_can_leave_and_join(ray: ModuleType, util: Util) -> None:
    first, second = make_actor(ray), make_actor(ray)
    pool = util("actor_pool").ActorPool([first])
    pool.submit(double, 1)
    assert not pool.has_free()
    assert pool.pop_idle() is None
    pool.push(second)
    assert pool.has_free()
    with pytest.raises(ValueError, match="already belongs"):
        pool.push(second)
    with pytest.raises(ValueError, match="already belongs"):
        pool.push(first)
    assert pool.get_next() == 2
    assert {pool.pop_idle(), pool.pop_idle()} == {first, second}
    assert pool.pop_idle() is None


def test_an_actor_pushed_takes_up_what_waits(ray: ModuleType, util: Util) -> None:
    pool = util("actor_pool").ActorPool([])
    pool.submit(double, 3)
    assert not pool.has_next()
    pool.push(make_actor(ray))
    assert pool.get_next() == 6
