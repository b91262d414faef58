"""A cancellation that comes while a task is in a finalizer ends the task all the same."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import raykernel as ray


@ray.remote
def lingers(fifo: str) -> None:
    class Resource:
        def __del__(self) -> None:
            with open(fifo, "w"):  # blocks until the test reads
                pass
            time.sleep(600)

    Resource()
    time.sleep(600)


def test_a_cancellation_in_a_finalizer_ends_the_task(ray_session: ModuleType, tmp_path: Path):
    fifo = tmp_path / "in_the_finalizer"
    os.mkfifo(fifo)
    ref = lingers.remote(str(fifo))
    fifo.read_text()  # blocks until it is there
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=20)


@ray.remote
class Count:
    def __init__(self) -> None:
        self.n = 0

    def add(self) -> int:
        self.n += 1
        return self.n


@ray.remote(num_cpus=0)
def tidies(fifo: str, count: Any) -> None:
    try:
        with open(fifo, "w"):
            pass
        time.sleep(600)
    finally:
        for _ in range(20):  # each a chance for an interruption too many
            os.kill(os.getpid(), signal.SIGURG)
            ray.get(count.add.remote())


def test_a_cancellation_strikes_once_and_leaves_the_finally_alone(
    ray_session: ModuleType, tmp_path: Path
):
    fifo = tmp_path / "running"
    os.mkfifo(fifo)
    count = Count.remote()
    ref = tidies.remote(str(fifo), count)
    fifo.read_text()
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=20)
    assert ray.get(count.add.remote()) == 21
