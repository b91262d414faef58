"""Much work leaves nothing behind."""

from __future__ import annotations

import gc
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import psutil
import pytest

import raykernel
from raykernel import api
from raykernel.runtime import session
from tests.integration.test_memory import soon, store


def uss(pid: int) -> int:
    """A process's own memory in bytes, without what it shares."""
    return int(psutil.Process(pid).memory_full_info().uss)


def test_a_hundred_thousand_tasks_and_ten_thousand_puts_leave_nothing() -> None:
    """The head's table, shared memory and the memory of head and driver are as before."""
    ray = raykernel
    ray.init(num_cpus=2)
    try:
        head = session.read(api.engine().session).pid  # type: ignore[union-attr]

        @ray.remote
        def nothing(x: Any) -> Any:
            return x

        def round_of(tasks: int, puts: int) -> None:
            for _ in range(tasks // 5_000):
                assert len(ray.get([nothing.remote(i) for i in range(5_000)])) == 5_000
            for _ in range(puts // 200):
                refs = [ray.put(np.ones(13_000)) for _ in range(100)]
                boxes = [ray.put([ref]) for ref in refs]
                assert ray.get(ray.get(boxes[7])[0])[0] == 1.0
                del refs, boxes

        round_of(20_000, 1_000)  # the ring of ended tasks is full now, memory has been touched
        before = uss(head), uss(os.getpid())
        round_of(100_000, 10_000)
        gc.collect()
        assert soon(lambda: store()["objects"] == 0)
        figures = store()
        assert (figures["used"], figures["on_disk"], figures["lineage"]) == (0, 0, 0)
        arena = Path(api.engine().client.welcome.arena)  # type: ignore[union-attr]
        assert arena.stat().st_blocks * 512 <= 2**28 + 2**20  # no more than is kept warm
        grown = uss(head) - before[0], uss(os.getpid()) - before[1]
        assert max(grown) < 15 * 2**20, f"head and driver have grown by {grown} bytes"
    finally:
        ray.shutdown()


def test_what_a_function_closed_over_goes_with_the_function(ray_session: ModuleType):
    ray = ray_session
    data = ray.put(np.zeros(100_000))

    def use(data: Any) -> tuple[Any, Any]:
        @ray.remote
        def size(i: int) -> int:
            return len(ray.get(data)) + i

        @ray.remote
        class Holder:
            def size(self) -> int:
                return len(ray.get(data))

        return size, Holder

    size, holder = use(data)
    other = size.options(num_cpus=0.5)
    actor = holder.remote()
    del data
    assert ray.get([size.remote(i) for i in range(9)]) == [100_000 + i for i in range(9)]
    assert ray.get(actor.size.remote()) == 100_000
    del size
    gc.collect()
    last = other.remote(1)
    assert ray.get(last) == 100_001  # it is the same function
    del other, holder
    gc.collect()
    assert ray.get(actor.size.remote()) == 100_000  # the actor still needs its class
    assert store()["used"] >= 800_000
    ray.kill(actor)
    del actor, last
    gc.collect()
    assert soon(lambda: store()["used"] == store()["objects"] == 0)


def test_what_a_workers_last_task_made_goes_though_none_follows(ray_session: ModuleType):
    ray = ray_session

    @ray.remote(num_returns="dynamic")
    def several() -> Any:
        for _ in range(3):
            yield np.zeros(100_000)

    @ray.remote
    def fails() -> None:
        raise ValueError(ray.put(np.zeros(100_000)))

    refs = [several.remote(), fails.remote()]
    assert len(list(ray.get(refs[0]))) == 3
    with pytest.raises(ValueError, match="ObjectRef") as raised:
        ray.get(refs[1])
    assert len(ray.get(raised.value.cause.args[0])) == 100_000  # type: ignore[attr-defined]
    del refs, raised
    gc.collect()
    assert soon(lambda: store()["used"] == store()["objects"] == 0)
