"""One engine's process: `python -m raykernel.bench.child ENGINE CPUS`.

It starts the engine and says how long that took; then for each line on stdin, a row to measure
and for how long, it answers with a line on its first stdout: `{"value": ...}` or
`{"error": "..."}`. What the engine itself prints goes to stderr. It ends when stdin does.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import psutil

from raykernel.bench import operations
from raykernel.bench.rows import MEMORY, POOL, RAY, START

#: Set to something unique by the harness; whoever inherits it belongs to this engine.
MARK = "RAYKERNEL_BENCH_MARK"

Builders = dict[str, Callable[[], operations.Operation]]


def measure(operation: operations.Operation, seconds: float) -> float:
    """Worth done per second, over at least `seconds`, after one call to warm up."""
    operation.call()
    calls, begin = 0, time.perf_counter()
    while True:
        operation.call()
        calls += 1
        taken = time.perf_counter() - begin
        if taken >= seconds:
            return calls * operation.worth / taken


@contextlib.contextmanager
def started(engine: str, cpus: int) -> Iterator[tuple[float, Builders]]:
    """The engine running, with the seconds from its start to its first result."""
    if engine == POOL:
        begin = time.perf_counter()
        with ProcessPoolExecutor(cpus) as pool:
            pool.submit(operations.small).result()
            yield time.perf_counter() - begin, operations.on_pool(pool)
        return
    ray: Any = importlib.import_module(engine)
    options: dict[str, Any] = {"num_cpus": cpus}
    if engine == RAY:
        options |= {"address": "local", "include_dashboard": False, "log_to_driver": False}
        options |= {"object_store_memory": 2_000_000_000}
    begin = time.perf_counter()
    ray.init(**options)
    try:
        ray.get(ray.remote(operations.small).remote())
        taken = time.perf_counter() - begin
        _meet_all_workers(ray, cpus)
        yield taken, operations.on_ray(ray)
    finally:
        ray.shutdown()


def _meet_all_workers(ray: Any, cpus: int) -> None:
    """Have every worker run something once, so that none is started in a measured round."""

    def pause() -> int:
        time.sleep(0.2)
        return os.getpid()

    remote = ray.remote(pause)
    ray.get([remote.remote() for _ in range(cpus)])


def memory() -> float:
    """MB that the engine's processes have for themselves (USS), this one, the driver, aside.

    They are told by the mark in their environment, since an engine may detach its processes. Pages
    that forked processes share with each other count for none of them.
    """
    mark = os.environ[MARK]
    total = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and process.environ().get(MARK) == mark:
                total += process.memory_full_info().uss
    return total / 1e6


def main(engine: str, cpus: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # from here a print, in whatever process, can't be taken for an answer
    with started(engine, cpus) as (start, builders):
        built: dict[str, operations.Operation] = {}

        def value(row: str, seconds: float) -> float:
            if row == START:
                return start
            if row == MEMORY:
                return memory()
            if row not in built:
                built.clear()  # at most one row's arrays and actors at a time
                built[row] = builders[row]()
            return measure(built[row], seconds)

        print(json.dumps({"value": start}), file=answers, flush=True)
        for line in sys.stdin:
            asked = json.loads(line)
            try:
                answer: dict[str, Any] = {"value": value(asked["row"], asked["seconds"])}
            except Exception as error:  # the row failed, whatever the reason; others may work
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
