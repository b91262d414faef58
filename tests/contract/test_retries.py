"""Exact behaviours: retries of tasks and of actors' calls."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter


def test_max_retries_covers_crashes(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=2)
    def crash_twice() -> str:
        if ray.get(counter.add.remote()) <= 2:
            os._exit(1)
        return "third time"

    assert ray.get(crash_twice.remote()) == "third time"
    assert ray.get(counter.value.remote()) == 3


def test_without_retries_a_crash_is_a_worker_crashed_error(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=0)
    def crash() -> None:
        ray.get(counter.add.remote())
        os._exit(1)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(crash.remote())
    assert ray.get(counter.value.remote()) == 1


def test_exceptions_are_not_retried_by_default(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote
    def fail() -> None:
        ray.get(counter.add.remote())
        raise ValueError("once")

    with pytest.raises(ValueError, match="once"):
        ray.get(fail.remote())
    assert ray.get(counter.value.remote()) == 1


def test_retry_exceptions_true_retries_every_exception(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=3, retry_exceptions=True)
    def fail_twice() -> str:
        if ray.get(counter.add.remote()) <= 2:
            raise ValueError("not yet")
        return "done"

    assert ray.get(fail_twice.remote()) == "done"


def test_retry_exceptions_takes_a_list(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=5, retry_exceptions=[ZeroDivisionError])
    def fail(kind: type[Exception]) -> None:
        ray.get(counter.add.remote())
        raise kind("again")

    with pytest.raises(ValueError, match="again"):
        ray.get(fail.remote(ValueError))
    assert ray.get(counter.value.remote()) == 1
    with pytest.raises(ZeroDivisionError):
        ray.get(fail.remote(ZeroDivisionError))
    assert ray.get(counter.value.remote()) == 7


def test_subclasses_of_the_listed_exceptions_count(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=1, retry_exceptions=[ArithmeticError])
    def fail() -> None:
        ray.get(counter.add.remote())
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ray.get(fail.remote())
    assert ray.get(counter.value.remote()) == 2


def test_options_can_change_the_retries(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote
    def fail() -> None:
        ray.get(counter.add.remote())
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - the number of tries is the point
        ray.get(fail.options(max_retries=4, retry_exceptions=True).remote())
    assert ray.get(counter.value.remote()) == 5


def make_shaky(ray: ModuleType) -> Any:
    @ray.remote
    class Shaky:
        def __init__(self, counter: Any) -> None:
            self.counter = counter

        def fail(self, times: int) -> int:
            n: int = ray.get(self.counter.add.remote())
            if n <= times:
                raise ValueError("not yet")
            return n

        @ray.method(max_task_retries=1, retry_exceptions=True)
        def once_more(self, times: int) -> Any:
            return self.fail(times)

        def crash(self, times: int) -> int:
            n: int = ray.get(self.counter.add.remote())
            if n <= times:
                os._exit(1)
            return n

        @ray.method(retry_exceptions=[KeyError])
        def picky(self, kind: type[Exception]) -> None:
            ray.get(self.counter.add.remote())
            raise kind("x")

    return Shaky


def test_an_actors_exceptions_are_retried_when_asked(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_task_retries=3).remote(counter)
    with pytest.raises(ValueError, match="not yet"):
        ray.get(shaky.fail.remote(2))
    assert ray.get(counter.value.remote()) == 1
    assert ray.get(shaky.fail.options(retry_exceptions=True).remote(3)) == 4


def test_the_methods_max_task_retries_goes_before_the_classs(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_task_retries=5).remote(counter)
    with pytest.raises(ValueError, match="not yet"):
        ray.get(shaky.once_more.remote(100))
    assert ray.get(counter.value.remote()) == 2


def test_the_calls_max_task_retries_goes_before_the_methods(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).remote(counter)
    with pytest.raises(ValueError, match="not yet"):
        ray.get(shaky.once_more.options(max_task_retries=3).remote(100))
    assert ray.get(counter.value.remote()) == 4


def test_an_actors_retry_exceptions_takes_a_list(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_task_retries=2).remote(counter)
    with pytest.raises(ValueError, match="x"):
        ray.get(shaky.picky.remote(ValueError))
    assert ray.get(counter.value.remote()) == 1
    with pytest.raises(KeyError):
        ray.get(shaky.picky.remote(KeyError))
    assert ray.get(counter.value.remote()) == 4


def test_an_actors_crashed_calls_are_retried_with_restarts(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_restarts=2, max_task_retries=2).remote(counter)
    assert ray.get(shaky.crash.remote(2)) == 3


def test_the_last_crash_of_an_actor_that_restarts_is_unavailable(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_restarts=-1, max_task_retries=1).remote(counter)
    with pytest.raises(ray.exceptions.ActorUnavailableError):
        ray.get(shaky.crash.remote(100))
    assert ray.get(counter.value.remote()) == 2


def test_the_last_crash_of_an_actor_that_does_not_is_died(ray: ModuleType) -> None:
    counter = make_counter(ray)
    shaky = make_shaky(ray).options(max_restarts=1, max_task_retries=5).remote(counter)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(shaky.crash.remote(100))
    assert ray.get(counter.value.remote()) == 2


def test_crashes_and_exceptions_share_the_budget(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_restarts=-1, max_task_retries=2)
    class Both:
        @ray.method(retry_exceptions=True)
        def work(self) -> None:
            n = ray.get(counter.add.remote())
            if n == 1:
                os._exit(1)
            raise ValueError("again")

    both = Both.remote()
    with pytest.raises(ValueError, match="again"):
        ray.get(both.work.remote())
    assert ray.get(counter.value.remote()) == 3


def test_an_async_actors_exceptions_are_retried_too(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_task_retries=3)
    class Async:
        @ray.method(retry_exceptions=True)
        async def work(self) -> int:
            n: int = await counter.add.remote()
            if n <= 2:
                raise ValueError("not yet")
            return n

    assert ray.get(Async.remote().work.remote()) == 3
