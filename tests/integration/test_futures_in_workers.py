"""A task that waits for a future, and not in `get`: its worker still hears of it."""

from __future__ import annotations

import time
from types import ModuleType

import pytest

from raykernel import api


def test_a_future_resolves_inside_a_task(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def one() -> int:
        return 1

    @ray.remote
    def outer() -> int:
        result: int = one.remote().future().result(timeout=30)
        return result

    assert ray.get(outer.remote()) == 1


def test_a_task_that_waits_for_a_future_can_be_cancelled(ray_session: ModuleType) -> None:
    ray = ray_session

    @ray.remote
    def sleep() -> None:
        time.sleep(600)

    @ray.remote
    def outer() -> None:
        sleep.remote().future().result(timeout=600)

    ref = outer.remote()
    engine = api.engine()
    assert engine is not None
    deadline = time.monotonic() + 20
    while not any(t.name == "sleep" and t.state == "RUNNING" for t in engine.query("tasks")):
        assert time.monotonic() < deadline
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=20)
