"""The API where Ray runs the tasks: a cluster of two nodes, one session for the module."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from raykernel import api
from raykernel.util.placement_group import placement_group, remove_placement_group
from raykernel.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from tests.contract.signals import make_gate, the_death, wait_until


def _until(check: Any, seconds: float = 20.0) -> bool:
    """Whether `check` becomes true within that time."""
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def test_tasks_objects_and_refs_in_arguments(ray: Any) -> None:
    @ray.remote
    def add(a: Any, b: Any = 0) -> Any:
        return a + b

    @ray.remote
    def total(inside: dict[str, Any]) -> float:
        return float(ray.get(inside["ref"]).sum())

    @ray.remote(num_returns=2)
    def two() -> tuple[int, int]:
        return 1, 2

    array = np.arange(100_000.0)
    ref = ray.put(array)
    assert ray.get(add.remote(add.remote(1, 2), b=add.remote(3))) == 6
    assert not ray.get(ref).flags.writeable
    assert ray.get(total.remote({"ref": ref})) == array.sum()
    assert ray.get(add.remote(ref, 1)).sum() == (array + 1).sum()
    assert ray.get(two.remote()) == [1, 2]
    ready, rest = ray.wait([add.remote(1), add.remote(2)], num_returns=2, timeout=30)
    assert len(ready) == 2
    assert rest == []


def test_raykernel_works_inside_tasks_without_being_installed(ray: Any) -> None:
    @ray.remote
    def fibonacci(n: int) -> int:
        import raykernel as ray

        if n < 2:
            return n
        return sum(ray.get([fibonacci.remote(n - 1), fibonacci.remote(n - 2)]))

    assert ray.get(fibonacci.remote(3)) == 2


def test_errors_keep_their_classes(ray: Any) -> None:
    class Mine(Exception):
        pass

    @ray.remote
    def bad() -> None:
        raise Mine("mine")

    @ray.remote
    def needs(value: Any) -> Any:
        return value

    @ray.remote(max_retries=0)
    def crash() -> None:
        os._exit(3)

    for ref in (bad.remote(), needs.remote(bad.remote())):
        with pytest.raises(Mine) as caught:
            ray.get(ref)
        assert isinstance(caught.value, ray.exceptions.RayTaskError)
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(crash.remote())
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(needs.options(resources={"second": 2}).remote(_endless(ray)), timeout=0.2)


def _endless(ray: Any) -> Any:
    @ray.remote(num_cpus=0, resources={"never": 1})
    def never() -> None:
        pass

    return never.remote()


def test_generators_stream(ray: Any) -> None:
    @ray.remote
    def numbers(n: int, fail: bool) -> Any:
        yield from range(n)
        if fail:
            raise ValueError("at the end")

    assert [ray.get(ref) for ref in numbers.remote(3, False)] == [0, 1, 2]
    stream = numbers.remote(1, True)
    assert ray.get(next(stream)) == 0
    with pytest.raises(ValueError, match="at the end"):
        ray.get(next(stream))
    with pytest.raises(StopIteration):
        next(stream)


def test_a_cancelled_stream_never_just_ends(ray: Any) -> None:
    """Ray leaves an item out that comes after the cancellation, also when that is the error."""
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def produce(box: list[Any]) -> Any:
        yield 1
        ray.get(box[0].wait.remote())

    @ray.remote(num_cpus=0)
    class Producer:
        async def produce(self, box: list[Any]) -> Any:
            yield 1
            await box[0].wait.remote()

    producer = Producer.remote()
    for n, make in enumerate(8 * [produce, producer.produce]):
        stream = make.remote([gate])
        assert ray.get(next(stream)) == 1
        wait_until(lambda n=n: ray.get(gate.waiting.remote()) > n)
        ray.cancel(stream)
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(list(stream))


def test_actors_by_handle_and_by_name(ray: Any) -> None:
    @ray.remote
    class Counter:
        def __init__(self, n: int) -> None:
            self.n = n

        def add(self, k: int = 1) -> int:
            self.n += k
            return self.n

    @ray.remote
    def use(counter: Any) -> int:
        return ray.get(counter.add.remote(10))

    counter = Counter.options(name="counter").remote(1)
    assert ray.get([counter.add.remote() for _ in range(3)]) == [2, 3, 4]
    assert ray.get(use.remote(counter)) == 14
    assert ray.get(ray.get_actor("counter").add.remote()) == 15
    with pytest.raises(ValueError, match="already taken"):
        Counter.options(name="counter").remote(1)
    ray.kill(counter)
    the_death(ray, counter.add)
    with pytest.raises(ValueError, match="Failed to look up"):
        ray.get_actor("nobody")


def test_an_actor_that_was_never_born_says_why(ray: Any) -> None:
    @ray.remote
    class Stillborn:
        def __init__(self) -> None:
            raise RuntimeError("no birth")

        def call(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError, match="no birth"):
        ray.get(Stillborn.remote().call.remote())


def test_async_actors_run_calls_beside_each_other(ray: Any) -> None:
    @ray.remote
    class Meeting:
        def __init__(self) -> None:
            import asyncio

            self.come = asyncio.Event()

        async def wait(self) -> str:
            await self.come.wait()
            return "met"

        async def arrive(self) -> None:
            self.come.set()

    meeting = Meeting.remote()
    waiting = meeting.wait.remote()
    ray.get(meeting.arrive.remote())
    assert ray.get(waiting) == "met"


def test_placement_groups_and_environments_pass_through(ray: Any) -> None:
    @ray.remote
    def where() -> str:
        return str(ray.get_runtime_context().get_node_id())

    @ray.remote
    def variable() -> str | None:
        return os.environ.get("OF_A_TASK")

    group = placement_group([{"CPU": 1}, {"CPU": 1}], strategy="STRICT_SPREAD")
    assert group.wait(30)
    places = [PlacementGroupSchedulingStrategy(group, bundle) for bundle in (0, 1)]
    nodes = ray.get([where.options(scheduling_strategy=place).remote() for place in places])
    assert len(set(nodes)) == 2
    remove_placement_group(group)
    wanted = {"env_vars": {"OF_A_TASK": "yes"}}
    assert ray.get(variable.options(runtime_env=wanted).remote()) == "yes"
    assert len(ray.nodes()) == 2
    assert ray.cluster_resources()["CPU"] == 4


def test_views_hear_of_tasks_and_of_what_they_print(ray: Any) -> None:
    @ray.remote
    def child() -> None:
        print("from the child")

    @ray.remote
    def parent() -> None:
        ray.get(child.remote())

    engine = api.engine()
    assert engine is not None
    said: list[Any] = []
    seen: dict[str, Any] = {}
    heard = threading.Event()

    def note(batch: Any) -> None:
        seen.update((t.id, t) for t in batch.tasks)
        if {t.name for t in seen.values() if t.state == "FINISHED"} >= {"parent", "child"}:
            heard.set()

    ends = [engine.subscribe(note), engine.on_log(said.append)]
    ray.get(parent.remote())
    assert heard.wait(20)
    assert _until(lambda: any("from the child" in line.text for line in said))
    for end in ends:
        end()
    tasks = {t.name: t for t in seen.values()}
    assert tasks["child"].parent == tasks["parent"].id
    assert next(line for line in said if "from the child" in line.text).name == "child"


def test_cancelled_work_is_told_as_such(ray: Any) -> None:
    @ray.remote
    def forever() -> None:
        while True:
            time.sleep(0.05)

    engine = api.engine()
    assert engine is not None
    ref = forever.remote()
    task = ref.task_id().hex()
    assert _until(lambda: engine.query("task", task=task)["state"] == "RUNNING")
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref, timeout=30)
    assert _until(lambda: engine.query("task", task=task)["state"] == "CANCELLED")


def test_named_objects_outlive_their_driver(ray: Any, cluster: Any) -> None:
    @ray.remote
    def make() -> str:
        return "made"

    ray.put(np.arange(100_000), name="large")
    ray.put(make.remote(), name="result")
    assert sorted(ray.util.list_named_objects()) == ["large", "result"]
    namespace = ray.get_runtime_context().namespace
    assert ray.get(ray.get_object("result")) == "made"
    program = f"""
import raykernel as ray
ray.init(address={cluster.address!r}, namespace={namespace!r})
print(int(ray.get(ray.get_object("large")).sum()), ray.get(ray.get_object("result")))
ray.put("from another driver", name="other")
"""
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=100, check=False
    )
    assert told.stdout == f"{sum(range(100_000))} made\n", told.stderr
    assert ray.get(ray.get_object("other")) == "from another driver"
    for name in ("large", "result", "other"):
        ray.util.forget_object(name)
    with pytest.raises(ValueError, match="no object named 'other'"):
        ray.get_object("other")


def test_what_ray_has_nothing_for_is_said(ray: Any) -> None:
    @ray.remote(timeout=1)
    def late() -> None:
        pass

    with pytest.raises(ValueError, match="not offered on Ray"):
        late.remote()


def test_a_lost_node_costs_no_result(ray: Any, cluster: Any) -> None:
    """The last of the module: there is one node less afterwards."""

    @ray.remote(scheduling_strategy="SPREAD", max_retries=5)
    def slowly(i: int) -> int:
        time.sleep(0.5)
        return i

    refs = [slowly.remote(i) for i in range(12)]
    ray.wait(refs, num_returns=2)
    cluster.remove_node(cluster.second, allow_graceful=False)
    assert ray.get(refs, timeout=120) == list(range(12))
