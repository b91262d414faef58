"""Semantics 8: resources."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest

from tests.contract.conftest import QUIET
from tests.contract.signals import make_gate, wait_until


@pytest.fixture(scope="module")
def ray(engine: ModuleType) -> Any:
    """A session with GPUs that are only a number, and a resource of its own."""
    before = os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    engine.init(num_cpus=2, num_gpus=2, resources={"special": 2}, **QUIET)
    yield engine
    engine.shutdown()
    if before is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = before


def test_cluster_resources_tells_what_there_is(ray: ModuleType) -> None:
    total = ray.cluster_resources()
    assert (total["CPU"], total["GPU"], total["special"]) == (2, 2, 2)
    assert total["memory"] > 0
    assert total["object_store_memory"] > 0


def test_nodes_tells_about_the_one_node(ray: ModuleType) -> None:
    (node,) = ray.nodes()
    assert node["Alive"]
    assert node["Resources"]["CPU"] == 2
    assert len(node["NodeID"]) == 56
    assert node["NodeManagerAddress"]


def test_available_resources_omits_cpus_when_none_is_free(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    class Reporter:
        def free(self) -> Any:
            return ray.available_resources()

    @ray.remote(num_cpus=2, resources={"special": 1})
    class Holder:
        def ping(self) -> None:
            pass

    holder = Holder.remote()
    ray.get(holder.ping.remote())
    wait_until(lambda: "CPU" not in ray.available_resources())
    assert ray.available_resources()["special"] == 1
    ray.kill(holder)
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    del gate


def test_a_default_actor_holds_no_cpu(ray: ModuleType) -> None:
    @ray.remote
    class Plain:
        def ping(self) -> str:
            return "pong"

    actors = [Plain.remote() for _ in range(4)]
    assert ray.get([a.ping.remote() for a in actors]) == ["pong"] * 4
    wait_until(lambda: ray.available_resources().get("CPU") == 2)


def test_fractions_share_a_cpu(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0, resources={"special": 0.5})
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0].wait.remote())

    refs = [wait.remote([gate]) for _ in range(4)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 4)
    ray.get(gate.open.remote())
    assert ray.get(refs) == ["open"] * 4


def test_zero_cpu_tasks_run_beside_each_other(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0].wait.remote())

    refs = [wait.remote([gate]) for _ in range(5)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 5)
    ray.get(gate.open.remote())
    ray.get(refs)


def test_a_custom_resource_bounds_how_many_run(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0, resources={"special": 1})
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0].wait.remote())

    refs = [wait.remote([gate]) for _ in range(3)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 2)
    assert ray.wait(refs, timeout=0.2)[0] == []
    assert ray.get(gate.waiting.remote()) == 2
    ray.get(gate.open.remote())
    assert ray.get(refs) == ["open"] * 3


def test_a_request_nobody_can_meet_waits(ray: ModuleType) -> None:
    @ray.remote(num_cpus=100)
    def impossible() -> None:
        pass

    ref = impossible.remote()
    assert ray.wait([ref], timeout=0.3)[0] == []
    ray.cancel(ref)


def test_gpus_are_assigned_and_shown_to_cuda(ray: ModuleType) -> None:
    @ray.remote(num_gpus=1)
    def which() -> Any:
        return ray.get_gpu_ids(), os.environ["CUDA_VISIBLE_DEVICES"]

    ids, visible = ray.get(which.remote())
    assert len(ids) == 1
    assert visible == ",".join(str(i) for i in ids)

    @ray.remote(num_gpus=2)
    def both() -> Any:
        return sorted(int(i) for i in ray.get_gpu_ids()), os.environ["CUDA_VISIBLE_DEVICES"]

    assert ray.get(both.remote()) == ([0, 1], "0,1")


def test_a_gpu_fraction_above_one_is_a_value_error(ray: ModuleType) -> None:
    @ray.remote
    def task() -> None:
        pass

    with pytest.raises(ValueError, match=r"GPU|num_gpus|fraction"):
        task.options(num_gpus=1.5).remote()


def test_gpus_can_be_shared(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_gpus=0.5, num_cpus=0)
    def which(box: list[Any]) -> Any:
        ray.get(box[0].wait.remote())
        return [int(i) for i in ray.get_gpu_ids()]

    refs = [which.remote([gate]) for _ in range(4)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 4)
    ray.get(gate.open.remote())
    assert sorted(ray.get(refs)) == [[0], [0], [1], [1]]


def test_an_actor_keeps_its_gpu(ray: ModuleType) -> None:
    @ray.remote(num_gpus=1)
    class Owner:
        def ids(self) -> Any:
            return ray.get_gpu_ids()

    one, other = Owner.remote(), Owner.remote()
    first, second = ray.get([one.ids.remote(), other.ids.remote()])
    assert {int(first[0]), int(second[0])} == {0, 1}
    assert ray.get(one.ids.remote()) == first


def test_a_blocked_task_gives_back_its_cpu(ray: ModuleType) -> None:
    @ray.remote(num_cpus=2)
    def child() -> str:
        return "ran"

    @ray.remote(num_cpus=2)
    def parent() -> Any:
        return ray.get(child.remote())

    assert ray.get(parent.remote(), timeout=30) == "ran"


def test_a_blocked_task_keeps_its_custom_resources(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=1, resources={"special": 2})
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0].wait.remote())

    ref = wait.remote([gate])
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    assert "special" not in ray.available_resources()
    ray.get(gate.open.remote())
    assert ray.get(ref) == "open"


def test_omp_num_threads_follows_num_cpus(ray: ModuleType) -> None:
    @ray.remote
    def threads() -> Any:
        return os.environ.get("OMP_NUM_THREADS")

    assert ray.get(threads.remote()) == "1"
    assert ray.get(threads.options(num_cpus=2).remote()) == "2"
    assert ray.get(threads.options(num_cpus=0.5).remote()) == "1"


def test_get_gpu_ids_is_empty_without_gpus(ray: ModuleType) -> None:
    @ray.remote
    def ids() -> Any:
        return ray.get_gpu_ids()

    assert ray.get(ids.remote()) == []


def test_assigned_resources_can_be_asked(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0.5, resources={"special": 1})
    def mine() -> Any:
        return ray.get_runtime_context().get_assigned_resources()

    assert ray.get(mine.remote()) == {"CPU": 0.5, "special": 1}


def test_the_heads_node_can_be_asked_for(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0, resources={"node:__internal_head__": 0.001})
    def here() -> str:
        return "here"

    assert ray.cluster_resources()["node:__internal_head__"] == 1.0
    assert ray.get(here.remote()) == "here"
