"""The operations themselves, on any module with Ray's core API, and on a process pool.

Each is a function to call again and again and how much one call counts for, in its row's unit.
Preparation (an array, an actor) happens when an operation is built, outside the time taken.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, NamedTuple

from raykernel.bench.rows import MANY_TASKS, ONE_TASK

MANY = 1000
BIG = 100 * 2**20  # bytes


class Operation(NamedTuple):
    call: Callable[[], object]
    worth: float = 1.0


def on_ray(ray: Any) -> dict[str, Callable[[], Operation]]:
    """By row name, what builds the operation on `ray` (Ray or raykernel, already started)."""
    import numpy as np

    def small_batch(count: int) -> int:
        ray.get([empty.remote() for _ in range(count)])
        return 0

    def plus(x: int, y: int) -> int:
        return x + y

    def zeros(size: int) -> Any:
        return np.zeros(size, dtype=np.uint8)

    def first_plus_length(array: Any) -> int:
        return int(array[0]) + len(array)

    class Idle:
        def call(self) -> bytes:
            return b"ok"

    class AsyncIdle:
        async def call(self) -> bytes:
            return b"ok"

    empty, batch, add, blob, read = (
        ray.remote(function) for function in (small, small_batch, plus, zeros, first_plus_length)
    )
    # Without CPUs of their own, so that they never wait for those that tasks hold.
    actor, async_actor = (ray.remote(num_cpus=0)(plain) for plain in (Idle, AsyncIdle))

    def big() -> Any:
        return np.ones(BIG // 8, dtype=np.float64)

    def get_small() -> Operation:
        ref = ray.put(0)
        return Operation(lambda: ray.get(ref))

    def put_big() -> Operation:
        array = big()
        return Operation(lambda: ray.put(array), BIG / 2**30)

    def get_big() -> Operation:
        ref = ray.put(big())
        return Operation(lambda: ray.get(ref), BIG / 2**30)

    def read_big() -> Operation:
        ref = ray.put(big())
        return Operation(lambda: ray.get(read.remote(ref)))

    def tree() -> None:
        refs = [ray.put(number) for number in range(256)]
        while len(refs) > 1:
            refs = [add.remote(x, y) for x, y in zip(refs[::2], refs[1::2], strict=True)]
        _expect(ray.get(refs[0]), 256 * 255 // 2)

    def chain() -> None:
        ref = ray.put(0)
        for _ in range(100):
            ref = add.remote(ref, 1)
        _expect(ray.get(ref), 100)

    def wait_one_by_one() -> None:
        left = [empty.remote() for _ in range(MANY)]
        while left:
            _, left = ray.wait(left)

    def calls(actor_class: Any, count: int) -> Operation:
        one = actor_class.remote()
        ray.get(one.call.remote())
        if count == 1:
            return Operation(lambda: ray.get(one.call.remote()))
        return Operation(lambda: ray.get([one.call.remote() for _ in range(count)]), count)

    def create_call_kill() -> None:
        one = actor.remote()
        ray.get(one.call.remote())
        ray.kill(one)

    def hold_many() -> None:
        ref = ray.put([ray.put(number) for number in range(MANY)])
        _expect(len(ray.get(ray.get(ref))), MANY)

    return {
        "get small object": get_small,
        "put small object": lambda: Operation(lambda: ray.put(0)),
        "put 100 MiB array": put_big,
        "get 100 MiB array (zero-copy)": get_big,
        "task reads 100 MiB array": read_big,
        "task returns 10 MiB array": lambda: Operation(lambda: ray.get(blob.remote(10 * 2**20))),
        ONE_TASK: lambda: Operation(lambda: ray.get(empty.remote())),
        MANY_TASKS: lambda: Operation(lambda: ray.get([empty.remote() for _ in range(MANY)]), MANY),
        "tasks submitted by 4 tasks": lambda: Operation(
            lambda: ray.get([batch.remote(MANY // 4) for _ in range(4)]), MANY
        ),
        "tree reduction of 256": lambda: Operation(tree, 255),
        "dependent chain of 100": lambda: Operation(chain, 100),
        "wait for 1,000 refs one by one": lambda: Operation(wait_one_by_one),
        "actor calls, one at a time": lambda: calls(actor, 1),
        "actor calls, 1,000 at once": lambda: calls(actor, MANY),
        "async actor calls, 1,000 at once": lambda: calls(async_actor, MANY),
        "actor: create, call, kill": lambda: Operation(create_call_kill),
        "object holding 1,000 refs": lambda: Operation(hold_many),
    }


def small() -> bytes:
    """The empty task, here so that a process pool finds it by name."""
    return b"ok"


def on_pool(pool: ProcessPoolExecutor) -> dict[str, Callable[[], Operation]]:
    def many() -> None:
        for future in [pool.submit(small) for _ in range(MANY)]:
            future.result()

    return {
        ONE_TASK: lambda: Operation(lambda: pool.submit(small).result()),
        MANY_TASKS: lambda: Operation(many, MANY),
    }


def _expect(found: object, right: object) -> None:
    """A fast wrong answer is no speed. (Not `assert`, which -O takes out.)"""
    if found != right:
        raise RuntimeError(f"wrong result {found!r}, {right!r} expected")
