"""A cancellation that comes while a task is in a finalizer ends the task all the same."""

from __future__ import annotations

import os
import time
from pathlib import Path

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


def test_a_cancellation_in_a_finalizer_ends_the_task(ray_session: None, tmp_path: Path):
    fifo = tmp_path / "in_the_finalizer"
    os.mkfifo(fifo)
    ref = lingers.remote(str(fifo))
    fifo.read_text()  # blocks until it is there
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=20)
