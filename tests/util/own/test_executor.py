"""RayExecutor: `concurrent.futures` on tasks."""

from __future__ import annotations

import concurrent.futures
import os
import threading
from typing import Any

import pytest

import raykernel as ray
from raykernel.util import RayExecutor
from tests.contract.signals import make_gate, wait_until

pytestmark = pytest.mark.usefixtures("session")


def wait_for(gate: Any) -> str:
    answer: str = ray.get(gate.wait.remote())
    return answer


def test_a_call_runs_in_a_worker_and_its_future_has_the_value() -> None:
    with RayExecutor() as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        assert executor.submit(pow, 2, exp=5).result() == 32
        assert executor.submit(os.getpid).result() != os.getpid()


def test_an_error_is_the_functions_own_and_tells_where() -> None:
    def fail() -> None:
        raise KeyError("gone")

    with RayExecutor() as executor:
        error = executor.submit(fail).exception()
    assert type(error) is KeyError
    assert "in fail" in str(error.__cause__)


def test_what_cannot_be_pickled_fails_its_future_alone() -> None:
    with RayExecutor() as executor:
        bad = executor.submit(lambda lock: lock, threading.Lock())
        good = executor.submit(abs, -1)
        assert isinstance(bad.exception(), TypeError)
        assert good.result() == 1


@pytest.mark.parametrize("chunksize", [1, 3, 100])
def test_map_keeps_the_order(chunksize: int) -> None:
    with RayExecutor() as executor:
        found = executor.map(pow, range(10), range(10), chunksize=chunksize)
        assert list(found) == [x**x for x in range(10)]
        with pytest.raises(ValueError, match="chunksize"):
            executor.map(abs, [1], chunksize=0)


def test_map_times_out() -> None:
    gate = make_gate(ray)
    executor = RayExecutor()
    results = executor.map(wait_for, [gate], timeout=0.05)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    ray.get(gate.open.remote())
    executor.shutdown()


def test_max_workers_limits_what_runs_at_once() -> None:
    gate = make_gate(ray)
    with RayExecutor(max_workers=1) as executor:
        first = executor.submit(wait_for, gate)
        second = executor.submit(wait_for, gate)
        wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
        assert (first.running(), second.running()) == (True, False)
        assert not first.cancel()
        assert second.cancel()
        third = executor.submit(abs, -3)
        ray.get(gate.open.remote())
        assert (first.result(), third.result()) == ("open", 3)
        assert ray.get(gate.waiting.remote()) == 1
    with pytest.raises(ValueError, match="max_workers"):
        RayExecutor(max_workers=0)


def test_shutdown_waits_and_refuses_more() -> None:
    executor = RayExecutor()
    futures = [executor.submit(abs, -i) for i in range(20)]
    executor.shutdown()
    assert [future.done() for future in futures] == [True] * 20
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)
    executor.shutdown()


def test_shutdown_can_drop_what_waits() -> None:
    gate = make_gate(ray)
    executor = RayExecutor(max_workers=1)
    running = executor.submit(wait_for, gate)
    wait_until(running.running)
    waiting = executor.submit(wait_for, gate)
    executor.shutdown(wait=False, cancel_futures=True)
    assert waiting.cancelled()
    ray.get(gate.open.remote())
    assert running.result() == "open"


def test_a_callback_may_wait_for_other_work() -> None:
    found: list[int] = []
    with RayExecutor() as executor:
        executor.submit(abs, -1).add_done_callback(
            lambda future: found.append(ray.get(ray.put(future.result() + 1)))
        )
    assert found == [2]


def test_futures_work_with_the_standard_librarys_functions() -> None:
    with RayExecutor() as executor:
        futures = [executor.submit(abs, -i) for i in range(10)]
        found = {future.result() for future in concurrent.futures.as_completed(futures)}
    assert found == set(range(10))


def test_tasks_have_the_functions_name_and_the_options_given() -> None:
    def who(gate: Any) -> str:
        return wait_for(gate)

    gate = make_gate(ray)
    with RayExecutor(ray_remote_args={"num_cpus": 2}) as executor:
        executor.submit(who, gate)
        wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
        names = {row.name for row in ray.util.state.list_tasks(filters=[("state", "=", "RUNNING")])}
        ray.get(gate.open.remote())
    assert "who" in names
