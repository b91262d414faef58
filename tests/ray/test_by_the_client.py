"""The API on a cluster that is reached by Ray's client: ray://HOST:PORT."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import raykernel
from raykernel.runtime import context, remains, settings
from tests.ray.conftest import two_nodes


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = two_nodes({"ray_client_server_port": port})
    yield f"ray://127.0.0.1:{port}"
    made.shutdown()


@pytest.fixture(scope="module")
def ray(address: str) -> Iterator[ModuleType]:
    settings.options = lambda: settings.Options(keep_locals=True)  # as a notebook has it
    raykernel.init(address=address)
    settings.options = settings.Options
    yield raykernel
    raykernel.shutdown()


def test_tasks_objects_and_errors(ray: Any) -> None:
    @ray.remote
    def total(inside: dict[str, Any]) -> float:
        return float(ray.get(inside["ref"]).sum())

    @ray.remote
    def bad() -> None:
        raise ValueError("mine")

    array = np.arange(100_000.0)
    assert ray.get(total.remote({"ref": ray.put(array)})) == array.sum()
    with pytest.raises(ValueError, match="mine"):
        ray.get(bad.remote())
    ready, rest = ray.wait([ray.put(1), ray.put(2)], num_returns=2, timeout=30)
    assert (len(ready), rest) == (2, [])
    assert (len(ray.nodes()), ray.cluster_resources()["CPU"]) == (2, 4)


def test_a_failed_tasks_variables_are_read_from_there(ray: Any) -> None:
    @ray.remote
    def fail(x: int) -> None:
        many = np.arange(x)
        raise ValueError(many[0])

    ray.wait([fail.remote(1_000_000)])
    shelf = context.engine.remains
    (header,) = remains.find(shelf, "fail")
    kept = remains.Remains(shelf, header.trace.task)
    assert kept.value(0, "x") == 1_000_000
    assert (kept.value(0, "many") == np.arange(1_000_000)).all()


def test_actors_by_handle_and_by_name(ray: Any) -> None:
    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    counter = Counter.options(name="counter").remote()
    assert ray.get([counter.add.remote() for _ in range(3)]) == [1, 2, 3]
    assert ray.get(ray.get_actor("counter").add.remote()) == 4


def test_what_is_pickled_by_hand_reaches_other_processes(ray: Any) -> None:
    @ray.remote
    class Maker:
        def make(self) -> bytes:
            return bytes(ray.cloudpickle.dumps(ray.put("made")))

        def read(self, pickled: bytes) -> Any:
            return ray.get(ray.cloudpickle.loads(pickled))

    @ray.remote
    def make(pickled: bytes) -> Any:
        return ray.get(ray.cloudpickle.loads(pickled).make.remote())

    maker = Maker.remote()
    assert ray.get(maker.read.remote(ray.cloudpickle.dumps(ray.put("put")))) == "put"
    by_hand = ray.get(make.remote(ray.cloudpickle.dumps(maker)))
    assert ray.get(ray.cloudpickle.loads(by_hand)) == "made"


def test_a_running_task_can_be_cancelled(ray: Any, tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    @ray.remote
    def forever() -> None:
        begun.touch()
        while True:
            time.sleep(0.05)

    ref = forever.remote()
    while not begun.exists():
        time.sleep(0.05)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=30)


def test_what_the_client_cannot_do_is_said(ray: Any) -> None:
    @ray.remote
    def items() -> Iterator[int]:
        yield 1

    with pytest.raises(ValueError, match="not offered on Ray: generators that stream"):
        items.remote()
