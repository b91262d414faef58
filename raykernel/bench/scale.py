"""`raykernel bench scale`: what it costs to have many, and how the cost grows.

Each law has a session of its own, so that what one left behind in a heap isn't another's. Memory
is what the head has for itself; it is read while all the tasks wait, half of them for an argument
and half for a worker.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from raykernel.bench.laws import Law

TASKS = (1_000, 10_000, 100_000, 1_000_000)
PENDING = (1_000, 10_000, 100_000)
ACTORS = (10, 100, 1_000)
HANDLES = (100, 1_000, 10_000)
WAITED = (1_000, 10_000, 100_000)

HEAD_BYTES = 1536.0
FLAT = 0.2
_LEAST = 20_000  # small sizes are repeated until so many tasks have run
_ROUNDS = 3
_ACTOR_MEMORY = 12e6  # what the machine should have free for each actor's process


def measure(most: int, cpus: int, tell: Callable[[str], None] = lambda name: None) -> Iterator[Law]:
    """The laws, one by one; `most`: leave out larger sizes."""
    import raykernel

    for law in (_throughput, _head_memory, _actors, _handles, _wait):
        tell(law.__name__.strip("_").replace("_", " "))
        with _session(raykernel, cpus) as head:
            yield law(raykernel, head, most)


@contextmanager
def _session(ray: Any, cpus: int) -> Iterator[psutil.Process]:
    """A session with warm workers; its head's process."""
    from raykernel import api
    from raykernel.runtime import session

    ray.init(num_cpus=cpus)
    try:
        empty = ray.remote(_empty)
        ray.get([empty.remote() for _ in range(1000)])
        engine = api.engine()
        assert engine is not None
        yield psutil.Process(session.read(engine.session).pid)
    finally:
        ray.shutdown()


def _up_to(sizes: tuple[int, ...], most: int) -> list[int]:
    return [size for size in sizes if size <= most] or [min(sizes[0], most)]


def _empty(argument: object = None) -> bytes:
    return b"ok"


def _throughput(ray: Any, head: psutil.Process, most: int) -> Law:
    empty = ray.remote(_empty)
    sizes = _up_to(TASKS, most)
    best = dict.fromkeys(sizes, float("inf"))
    for turn in range(_ROUNDS):  # in turn, so that a slow minute of the machine hits all sizes
        for size in sizes if turn else reversed(sizes):
            if turn and size >= 1_000_000:
                continue
            times = max(1, min(_LEAST, most) // size)
            begin = time.perf_counter()
            for _ in range(times):
                ray.get([empty.remote() for _ in range(size)])
            best[size] = min(best[size], (time.perf_counter() - begin) / times)
    totals = list(best.values())
    return Law("time of n tasks submitted at once", "tasks", "s", sizes, totals, flat=FLAT)


def _head_memory(ray: Any, head: psutil.Process, most: int) -> Law:
    """Grows within one session: each size adds to the tasks that wait already."""
    empty = ray.remote(_empty)
    sizes = _up_to(PENDING, most)
    with tempfile.TemporaryDirectory() as folder:
        flag = Path(folder) / "go"
        cpus = int(ray.cluster_resources()["CPU"])
        hold = ray.remote(num_cpus=cpus)(_hold).remote(str(flag), os.getpid())
        before = _memory(head)
        refs: list[Any] = []
        totals = []
        try:
            for size in sizes:
                for number in range(len(refs), size):
                    refs.append(empty.remote(hold) if number % 2 else empty.remote())
                ray.nodes()  # answered after all that was submitted before
                totals.append(max(1.0, float(_memory(head) - before)))
        finally:
            flag.touch()
        ray.get(refs)
    return Law("head's memory for n waiting tasks", "tasks", "B", sizes, totals, HEAD_BYTES)


def _hold(flag: str, driver: int) -> None:
    while not os.path.exists(flag) and psutil.pid_exists(driver):
        time.sleep(0.01)


def _memory(process: psutil.Process) -> int:
    return int(process.memory_full_info().uss)


def _actors(ray: Any, head: psutil.Process, most: int) -> Law:
    idle = ray.remote(num_cpus=0)(_Idle)
    wanted = _up_to(ACTORS, most)
    room = psutil.virtual_memory().available / _ACTOR_MEMORY
    sizes = [size for size in wanted if size <= room] or [1]
    note = "" if sizes == wanted else "larger sizes left out: the machine is short of memory"
    totals = []
    for size in sizes:
        begin = time.perf_counter()
        actors = [idle.remote() for _ in range(size)]
        ray.get([actor.call.remote() for actor in actors])
        totals.append(time.perf_counter() - begin)
        if ray.get([actor.call.remote() for actor in actors]) != [b"ok"] * size:
            raise RuntimeError("an actor gave a wrong answer")
        for actor in actors:
            ray.kill(actor)
    return Law("time to make n actors that live at once", "actors", "s", sizes, totals, note=note)


class _Idle:
    def call(self) -> bytes:
        return b"ok"


def _handles(ray: Any, head: psutil.Process, most: int) -> Law:
    idle = ray.remote(num_cpus=0)(_Idle)
    actors = [idle.remote() for _ in range(2)]
    pickles = [pickle.dumps(actor) for actor in actors]
    count = ray.remote(len)
    sizes = _up_to(HANDLES, most)
    totals = []
    for size in sizes:
        # each counts by itself: the same one twice would be pickled once
        handles = [pickle.loads(pickles[number % 2]) for number in range(size)]
        begin = time.perf_counter()
        if ray.get(count.remote(list(handles))) != size or len(ray.get(ray.put(handles))) != size:
            raise RuntimeError("handles were lost on the way")
        totals.append(time.perf_counter() - begin)
    return Law("time to pass n actor handles to a task and back", "handles", "s", sizes, totals)


def _wait(ray: Any, head: psutil.Process, most: int) -> Law:
    empty = ray.remote(_empty)
    sizes = _up_to(WAITED, most)
    totals = []
    for size in sizes:
        refs = [empty.remote() for _ in range(size)]
        ray.get(refs[-1])
        begin = time.perf_counter()
        ready, rest = ray.wait(refs, num_returns=size)
        totals.append(time.perf_counter() - begin)
        if len(ready) != size or rest:
            raise RuntimeError("wait came back too early")
    return Law("time of one wait for n refs", "refs", "s", sizes, totals)
