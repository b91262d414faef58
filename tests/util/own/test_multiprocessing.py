"""multiprocessing.Pool, where raykernel does more than Ray."""

from __future__ import annotations

import pickle
import queue
import threading
from typing import Any

import pytest

import raykernel as ray
from raykernel.util.multiprocessing import Pool

pytestmark = pytest.mark.usefixtures("session")


def test_an_error_tells_where_it_was_raised() -> None:
    def fail() -> None:
        raise ValueError("here")

    with Pool(1) as pool, pytest.raises(ValueError, match="here") as raised:
        pool.apply(fail)
    assert "in fail" in str(raised.value.__cause__)


def test_an_error_that_cannot_be_pickled_is_described() -> None:
    def fail() -> None:
        error = ValueError("here")
        error.lock = threading.Lock()
        raise error

    with Pool(1) as pool, pytest.raises(RuntimeError, match=r"ValueError\('here'\)"):
        pool.apply(fail)


def test_an_initializer_that_fails_fails_the_pool() -> None:
    def fail() -> None:
        raise ValueError("not ready")

    with pytest.raises(ray.exceptions.RayActorError, match="not ready"):
        Pool(1, initializer=fail)


def test_a_callback_may_wait_for_more_work() -> None:
    done = threading.Event()
    found: list[int] = []

    with Pool(2) as pool:

        def again(value: int) -> None:
            found.append(pool.apply(abs, (value - 10,)))
            done.set()

        pool.apply_async(abs, (-3,), callback=again)
        assert done.wait(30)
    assert found == [7]


def test_error_callbacks_get_the_exception_itself() -> None:
    def fail_at_three(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    errors: queue.SimpleQueue[BaseException] = queue.SimpleQueue()
    values: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with Pool(2) as pool:
        pool.apply_async(fail_at_three, (3,), callback=values.put, error_callback=errors.put)
        pool.map_async(fail_at_three, range(5), callback=values.put, error_callback=errors.put)
        found = [errors.get(timeout=30), errors.get(timeout=30)]
        pool.close()
        pool.join()
    assert [repr(error) for error in found] == ["ValueError('three')"] * 2
    assert values.empty()
    assert errors.empty()


def test_a_pool_stays_where_it_is() -> None:
    with Pool(1) as pool, pytest.raises(NotImplementedError):
        pickle.dumps(pool)


def test_refs_among_the_arguments_count_as_their_values() -> None:
    with Pool(1) as pool:
        assert pool.map(abs, [ray.put(-1), ray.put(-2)]) == [1, 2]


def test_a_task_can_have_a_pool() -> None:
    @ray.remote
    def inner() -> list[int]:
        with Pool(2) as pool:
            return pool.map(abs, [-1, -2, -3])

    assert ray.get(inner.remote(), timeout=60) == [1, 2, 3]
