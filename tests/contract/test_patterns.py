"""Ray's documented walkthrough, and its patterns of tasks and actors, each as a small program.

What overlaps, or must not, is told by gates and by counting, never by the clock: a test opens a
gate only once it has seen what should happen meanwhile.
"""

from __future__ import annotations

import contextlib
import random
from types import ModuleType
from typing import Any

import numpy as np

from tests.contract.signals import make_counter, make_gate, wait_until


def make_meter(ray: ModuleType) -> Any:
    """An actor that knows how many are inside, and how many were at most."""

    @ray.remote(num_cpus=0)
    class Meter:
        def __init__(self) -> None:
            self.inside = 0
            self.most = 0

        def enter(self) -> None:
            self.inside += 1
            self.most = max(self.most, self.inside)

        def leave(self) -> None:
            self.inside -= 1

        def peak(self) -> int:
            return self.most

    return Meter.remote()


# The walkthrough


def test_walkthrough_of_tasks_actors_and_objects(ray: ModuleType) -> None:
    @ray.remote
    def square(x: int) -> int:
        return x * x

    @ray.remote
    class Counter:
        def __init__(self) -> None:
            self.i = 0

        def get(self) -> int:
            return self.i

        def incr(self, value: int) -> None:
            self.i += value

    @ray.remote
    def sum_matrix(matrix: Any) -> float:
        return float(np.sum(matrix))

    assert ray.get([square.remote(i) for i in range(4)]) == [0, 1, 4, 9]
    counter = Counter.remote()
    for _ in range(10):
        counter.incr.remote(1)
    assert ray.get(counter.get.remote()) == 10
    assert ray.get(sum_matrix.remote(np.ones((100, 100)))) == 10_000.0
    matrix = ray.put(np.ones((1000, 300)))
    assert ray.get([sum_matrix.remote(matrix) for _ in range(4)]) == [300_000.0] * 4


# Nested tasks


def test_nested_tasks_for_nested_parallelism(ray: ModuleType) -> None:
    """Quick sort: a task sorts a short list itself, and leaves the parts of a long one to others.

    With it comes the number of tasks that took part.
    """

    @ray.remote
    def quick_sort(numbers: list[int]) -> tuple[list[int], int]:
        if len(numbers) <= 50:
            return sorted(numbers), 1
        pivot, *others = numbers
        smaller = quick_sort.remote([n for n in others if n < pivot])
        larger = quick_sort.remote([n for n in others if n >= pivot])
        (left, left_tasks), (right, right_tasks) = ray.get([smaller, larger])
        return [*left, pivot, *right], left_tasks + right_tasks + 1

    numbers = random.Random(7).choices(range(10_000), k=400)
    result, tasks = ray.get(quick_sort.remote(numbers))
    assert result == sorted(numbers)
    assert tasks >= 2 * (400 // 51) - 1  # a binary tree, whose leaves hold at most 50 each


# Actors


def make_supervisor(ray: ModuleType) -> Any:
    @ray.remote(num_cpus=0)
    class Worker:
        def __init__(self, scale: int) -> None:
            self.scale = scale

        def work(self, n: int) -> int:
            return self.scale * n

    @ray.remote(num_cpus=0)
    class Supervisor:
        def __init__(self, scales: list[int]) -> None:
            self.workers = [Worker.remote(scale) for scale in scales]

        def work(self, n: int) -> list[int]:
            done: list[int] = ray.get([worker.work.remote(n) for worker in self.workers])
            return done

        def first_worker(self) -> Any:
            return self.workers[0]

    return Supervisor


def test_a_tree_of_actors(ray: ModuleType) -> None:
    supervisor_class = make_supervisor(ray)
    supervisors = [supervisor_class.remote([1, 2]), supervisor_class.remote([10, 20])]
    results = ray.get([supervisor.work.remote(3) for supervisor in supervisors])
    assert results == [[3, 6], [30, 60]]


def test_the_workers_of_a_killed_supervisor_end_with_it(ray: ModuleType) -> None:
    supervisor = make_supervisor(ray).remote([5])
    worker = ray.get(supervisor.first_worker.remote())
    assert ray.get(worker.work.remote(2)) == 10
    ray.kill(supervisor)

    def died() -> bool:
        with contextlib.suppress(ray.exceptions.ActorUnavailableError):
            try:
                ray.get(worker.work.remote(2))
            except ray.exceptions.ActorDiedError:
                return True
        return False

    wait_until(died)


def test_an_actor_synchronizes_tasks(ray: ModuleType) -> None:
    """Nobody passes the barrier before everybody has come."""
    counter = make_counter(ray)
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def meet(counter: Any, gate: Any, parties: int) -> int:
        if ray.get(counter.add.remote()) == parties:
            gate.open.remote()
        ray.get(gate.wait.remote())
        arrived: int = ray.get(counter.value.remote())
        return arrived

    assert ray.get([meet.remote(counter, gate, 3) for _ in range(3)]) == [3, 3, 3]


# Pipelining


def test_pipelining_with_a_work_queue(ray: ModuleType) -> None:
    """Each worker asks for its next item before it works on the one it has."""

    @ray.remote(num_cpus=0)
    class WorkQueue:
        def __init__(self, items: list[int]) -> None:
            self.items = items
            self.served: dict[str, int] = {}

        def next(self, worker: str) -> int | None:
            self.served[worker] = self.served.get(worker, 0) + 1
            return self.items.pop(0) if self.items else None

        def served_to(self, worker: str) -> int:
            return self.served[worker]

    @ray.remote
    class Worker:
        def __init__(self, queue: Any, name: str) -> None:
            self.queue = queue
            self.name = name

        def run(self) -> tuple[list[int], list[int]]:
            done: list[int] = []
            leads: list[int] = []
            item = ray.get(self.queue.next.remote(self.name))
            while item is not None:
                following = self.queue.next.remote(self.name)
                done.append(item * item)
                leads.append(ray.get(self.queue.served_to.remote(self.name)) - len(done))
                item = ray.get(following)
            return done, leads

    queue = WorkQueue.remote(list(range(20)))
    workers = [Worker.remote(queue, name) for name in ("one", "two")]
    results = ray.get([worker.run.remote() for worker in workers])
    assert sorted(n for done, _ in results for n in done) == [n * n for n in range(20)]
    assert {lead for _, leads in results for lead in leads} == {1}


def test_computation_overlaps_communication(ray: ModuleType) -> None:
    """While one stage holds the first block, the stage before it delivers the second."""
    gate = make_gate(ray)

    @ray.remote
    class Loader:
        def load(self, n: int) -> Any:
            return np.full(50_000, n)

    @ray.remote
    class Summer:
        def __init__(self, gate: Any) -> None:
            self.gate = gate

        def total(self, block: Any) -> int:
            ray.get(self.gate.wait.remote())
            return int(block.sum())

    loader, summer = Loader.remote(), Summer.remote(gate)
    blocks = [loader.load.remote(n) for n in range(3)]
    totals = [summer.total.remote(block) for block in blocks]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    assert ray.get(blocks[2])[0] == 2
    assert ray.wait(totals, timeout=0) == ([], totals)
    gate.open.remote()
    assert ray.get(totals) == [0, 50_000, 100_000]


# Limits


def test_ray_wait_limits_the_pending_tasks(ray: ModuleType) -> None:
    meter = make_meter(ray)

    @ray.remote(num_cpus=0.1)
    def work(n: int, meter: Any) -> int:
        ray.get(meter.enter.remote())
        ray.get(meter.leave.remote())
        return n

    pending: list[Any] = []
    results: list[int] = []
    for n in range(30):
        if len(pending) == 3:
            ready, pending = ray.wait(pending, num_returns=1)
            results += ray.get(ready)
        pending.append(work.remote(n, meter))
    results += ray.get(pending)
    assert sorted(results) == list(range(30))
    assert 1 <= ray.get(meter.peak.remote()) <= 3


def test_resources_limit_how_many_run_at_once(ray: ModuleType) -> None:
    """Tasks that need a third of the memory each: three run, although there are CPUs for more."""
    meter, gate = make_meter(ray), make_gate(ray)

    @ray.remote(num_cpus=0)
    def work(meter: Any, gate: Any) -> None:
        ray.get(meter.enter.remote())
        ray.get(gate.wait.remote())
        ray.get(meter.leave.remote())

    third = int(ray.cluster_resources()["memory"]) // 3
    refs = [work.options(memory=third).remote(meter, gate) for _ in range(5)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 3)
    gate.open.remote()
    ray.get(refs)
    assert ray.get(meter.peak.remote()) == 3


# Asynchrony


def test_concurrent_operations_with_an_async_actor(ray: ModuleType) -> None:
    """One actor runs several executors that wait for their work, and answers meanwhile."""

    @ray.remote(num_cpus=0)
    class TaskStore:
        def __init__(self) -> None:
            import asyncio

            self.tasks: asyncio.Queue[int | None] = asyncio.Queue()

        async def put(self, task: int | None) -> None:
            await self.tasks.put(task)

        async def next(self) -> int | None:
            return await self.tasks.get()

    @ray.remote(num_cpus=0)
    class Executors:
        def __init__(self, store: Any) -> None:
            self.store = store
            self.running = 0

        async def run(self) -> list[int]:
            self.running += 1
            done = []
            while (task := await self.store.next.remote()) is not None:
                done.append(-task)
            self.running -= 1
            return done

        async def count(self) -> int:
            return self.running

    store = TaskStore.remote()
    executors = Executors.remote(store)
    refs = [executors.run.remote() for _ in range(3)]
    wait_until(lambda: ray.get(executors.count.remote()) == 3)
    # An async actor may take its calls in any order: the ends come when all else is there.
    ray.get([store.put.remote(task) for task in range(20)])
    ray.get([store.put.remote(None) for _ in range(3)])
    assert sorted(-n for done in ray.get(refs) for n in done) == list(range(20))
    assert ray.get(executors.count.remote()) == 0


def test_results_are_processed_as_they_come(ray: ModuleType) -> None:
    gates = [make_gate(ray) for _ in range(3)]

    @ray.remote(num_cpus=0)
    def work(n: int, gate: Any) -> int:
        ray.get(gate.wait.remote())
        return n

    pending = [work.remote(n, gate) for n, gate in enumerate(gates)]
    seen = []
    for n in (2, 0, 1):
        gates[n].open.remote()
        ready, pending = ray.wait(pending, num_returns=1)
        seen += ray.get(ready)
    assert seen == [2, 0, 1]
    assert pending == []
