"""Semantics 5: tasks."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter, make_gate


def test_calling_a_remote_function_directly_is_a_type_error(ray: ModuleType) -> None:
    @ray.remote
    def f() -> None:
        pass

    with pytest.raises(TypeError, match=r"f\.remote\(\)"):
        f()


def test_a_function_can_be_redefined(ray: ModuleType) -> None:
    @ray.remote
    def f() -> int:
        return 1

    first = f

    @ray.remote
    def f() -> int:
        return 2

    assert ray.get([first.remote(), f.remote()]) == [1, 2]


def test_functions_may_be_mutually_recursive(ray: ModuleType) -> None:
    @ray.remote
    def is_even(n: int) -> bool:
        return True if n == 0 else ray.get(is_odd.remote(n - 1))

    @ray.remote
    def is_odd(n: int) -> bool:
        return False if n == 0 else ray.get(is_even.remote(n - 1))

    assert ray.get(is_even.remote(5)) is False


def test_closures_and_lambdas_are_functions_too(ray: ModuleType) -> None:
    factor = 3
    times = ray.remote(lambda n: n * factor)
    assert ray.get(times.remote(4)) == 12


def test_nested_tasks_deeper_than_the_cpus_do_not_deadlock(ray: ModuleType) -> None:
    @ray.remote
    def down(n: int) -> int:
        return 0 if n == 0 else 1 + ray.get(down.remote(n - 1))

    assert ray.get(down.remote(12)) == 12


def test_a_task_can_define_and_run_tasks(ray: ModuleType) -> None:
    @ray.remote
    def outer() -> list[int]:
        @ray.remote
        def inner(n: int) -> int:
            return n * n

        return ray.get([inner.remote(n) for n in range(3)])

    assert ray.get(outer.remote()) == [0, 1, 4]


def test_num_returns_gives_as_many_refs(ray: ModuleType) -> None:
    @ray.remote(num_returns=3)
    def three() -> Any:
        return 1, 2, 3

    a, b, c = three.remote()
    assert ray.get([c, b, a]) == [3, 2, 1]
    assert ray.get(three.options(num_returns=1).remote()) == (1, 2, 3)


def test_num_returns_zero_gives_none(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(num_returns=0)
    def none() -> None:
        ray.get(counter.add.remote())

    assert none.remote() is None


@pytest.mark.parametrize("given", [(1,), (1, 2, 3)])
def test_a_mismatch_of_returns_is_a_value_error(ray: ModuleType, given: Any) -> None:
    @ray.remote(num_returns=2)
    def two() -> Any:
        return given

    a, b = two.remote()
    for ref in (a, b):
        with pytest.raises(ValueError, match="num_returns"):
            ray.get(ref)


def test_options_override_the_decorators(ray: ModuleType) -> None:
    @ray.remote(num_cpus=2, name="decorated")
    def name() -> Any:
        return ray.get_runtime_context().get_task_name()

    assert ray.get(name.remote()) == "decorated"
    assert ray.get(name.options(name="other").remote()) == "other"
    assert ray.get(name.remote()) == "decorated"


def test_underscore_remote_takes_args_kwargs_and_options(ray: ModuleType) -> None:
    @ray.remote
    def show(a: int, b: int = 0) -> tuple[int, int]:
        return a, b

    assert ray.get(show._remote(args=[1], kwargs={"b": 2})) == (1, 2)
    assert ray.get(show._remote((1, 2), num_cpus=0.5)) == (1, 2)
    first, second = show._remote(args=(1, 2), num_returns=2)
    assert ray.get([first, second]) == [1, 2]


def test_max_calls_retires_the_worker(ray: ModuleType) -> None:
    @ray.remote(max_calls=1, num_cpus=1)
    def pid() -> int:
        return os.getpid()

    pids = [ray.get(pid.remote()) for _ in range(3)]
    assert len(set(pids)) == 3


def test_a_remote_function_can_be_passed_to_a_task(ray: ModuleType) -> None:
    @ray.remote
    def double(n: int) -> int:
        return 2 * n

    @ray.remote
    def apply(function: Any, n: int) -> int:
        return ray.get(function.remote(n))

    assert ray.get(apply.remote(double, 4)) == 8


def test_dependencies_order_tasks(ray: ModuleType) -> None:
    @ray.remote
    def add(a: int, b: int) -> int:
        return a + b

    total = ray.put(0)
    for n in range(10):
        total = add.remote(total, n)
    assert ray.get(total) == 45


def test_an_oversized_function_is_a_value_error(ray: ModuleType) -> None:
    big = bytes(100 * 2**20)

    @ray.remote
    def f() -> int:
        return len(big)

    with pytest.raises(ValueError, match="too large"):
        f.remote()


def test_an_async_task_is_a_value_error(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="async def"):

        @ray.remote
        async def f() -> None:
            pass


def test_a_task_waits_for_its_arguments_without_a_cpu(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=4)
    def whole(_: Any) -> str:
        return "late"

    @ray.remote(num_cpus=4)
    def other() -> str:
        return "early"

    late = whole.remote(gate.wait.remote())
    assert ray.get(other.remote(), timeout=30) == "early"
    ray.get(gate.open.remote())
    assert ray.get(late) == "late"
