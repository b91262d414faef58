"""Ray's documented patterns of fault tolerance: what is tried again, and what goes on from where.

What has to outlive a process is in a file or in another actor.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter


def test_a_task_that_crashes_is_retried(ray: ModuleType, tmp_path: Path) -> None:
    marker = tmp_path / "tried"

    @ray.remote(max_retries=1)
    def potentially_fail() -> str:
        if not marker.exists():
            marker.touch()
            os._exit(1)
        return "recovered"

    assert ray.get(potentially_fail.remote()) == "recovered"


def test_a_task_is_retried_after_the_exceptions_it_names(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_retries=5, retry_exceptions=[ConnectionError])
    def read(counter: Any, last_error: type[Exception]) -> str:
        tries = ray.get(counter.add.remote())
        if tries % 3:
            raise ConnectionError("busy")
        if last_error is not ConnectionError:
            raise last_error("gone")
        return "read"

    assert ray.get(read.remote(counter, ConnectionError)) == "read"
    with pytest.raises(PermissionError, match="gone"):
        ray.get(read.remote(counter, PermissionError))
    assert ray.get(counter.value.remote()) == 6


def test_an_immortal_actor_restores_its_checkpoint(ray: ModuleType, tmp_path: Path) -> None:
    """It dies once in every third call, after the checkpoint: the retried call sees it done."""
    checkpoint = tmp_path / "checkpoint.json"

    @ray.remote(max_restarts=-1, max_task_retries=-1)
    class Immortal:
        def __init__(self) -> None:
            import json

            self.state = json.loads(checkpoint.read_text()) if checkpoint.exists() else {}

        def update(self, key: str, value: int) -> dict[str, int]:
            import json

            known = key in self.state
            self.state[key] = value
            writing = checkpoint.with_suffix(".writing")
            writing.write_text(json.dumps(self.state))
            writing.replace(checkpoint)
            if len(self.state) % 3 == 0 and not known:
                os._exit(1)
            return dict(self.state)

        def restored(self) -> bool:
            return bool(ray.get_runtime_context().was_current_actor_reconstructed)

    actor = Immortal.remote()
    for n in range(7):
        assert len(ray.get(actor.update.remote(f"key {n}", n))) == n + 1
    assert ray.get(actor.update.remote("key 0", 100))["key 6"] == 6
    assert ray.get(actor.restored.remote()) is True


def test_a_controller_replaces_its_worker(ray: ModuleType) -> None:
    """The checkpoint lives in the controller, which makes a worker anew where the last one fell."""

    @ray.remote(num_cpus=0)
    class Worker:
        def __init__(self, total: int) -> None:
            self.total = total

        def add(self, n: int, crash: bool) -> int:
            if crash:
                os._exit(1)
            self.total += n
            return self.total

    @ray.remote(num_cpus=0)
    class Controller:
        def run(self, numbers: list[int]) -> tuple[int, int]:
            total, workers, crash_at = 0, 1, {2, 4}
            worker = Worker.remote(total)
            for n in numbers:
                while True:
                    try:
                        total = ray.get(worker.add.remote(n, n in crash_at))
                        break
                    except ray.exceptions.RayActorError:
                        crash_at.discard(n)
                        worker = Worker.remote(total)
                        workers += 1
            return total, workers

    assert ray.get(Controller.remote().run.remote([1, 2, 3, 4, 5])) == (15, 3)
