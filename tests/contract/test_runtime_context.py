"""Exact behaviours: the runtime context."""

from __future__ import annotations

import os
import signal
import warnings
from types import ModuleType
from typing import Any

import pytest


def test_a_driver_has_a_job_a_node_and_a_worker_id(ray: ModuleType) -> None:
    context = ray.get_runtime_context()
    assert len(bytes.fromhex(context.get_job_id())) == 4
    assert context.get_node_id() in [node["NodeID"] for node in ray.nodes()]
    assert bytes.fromhex(context.get_worker_id())
    assert context.get_task_id() is None
    assert context.get_actor_id() is None
    assert context.get_actor_name() is None
    assert context.get_task_name() is None
    assert set(context.get()) == {"job_id", "node_id", "namespace"}


def test_a_task_has_a_task_id_and_shares_the_rest(ray: ModuleType) -> None:
    @ray.remote
    def ids() -> Any:
        context = ray.get_runtime_context()
        return (
            context.get_job_id(), context.get_node_id(), context.get_worker_id(),
            context.get_task_id(), context.get_actor_id(), context.get_actor_name(),
        )  # fmt: skip

    ref = ids.remote()
    job, node, worker, task, actor, name = ray.get(ref)
    context = ray.get_runtime_context()
    assert job == context.get_job_id()
    assert node == context.get_node_id()
    assert worker != context.get_worker_id()
    assert task == ref.hex()[: len(task)]
    assert actor is None
    assert name is None


def test_task_ids_differ(ray: ModuleType) -> None:
    @ray.remote
    def task_id() -> Any:
        return ray.get_runtime_context().get_task_id()

    assert len(set(ray.get([task_id.remote() for _ in range(10)]))) == 10


def test_an_actor_has_an_actor_id(ray: ModuleType) -> None:
    @ray.remote
    class Ids:
        def __init__(self) -> None:
            self.at_birth = ray.get_runtime_context().get_actor_id()

        def ids(self) -> Any:
            context = ray.get_runtime_context()
            return self.at_birth, context.get_actor_id(), context.get_task_id(), set(context.get())

    actor = Ids.remote()
    at_birth, now, task, keys = ray.get(actor.ids.remote())
    assert at_birth == now == actor._actor_id.hex()
    assert task is not None
    assert keys == {"job_id", "node_id", "namespace", "task_id", "actor_id"}


def test_an_actors_name_is_empty_if_it_has_none(ray: ModuleType) -> None:
    @ray.remote
    class Named:
        def name(self) -> Any:
            return ray.get_runtime_context().get_actor_name()

    assert ray.get(Named.remote().name.remote()) == ""
    named = Named.options(name="context-name").remote()
    assert ray.get(named.name.remote()) == "context-name"


def test_task_names(ray: ModuleType) -> None:
    @ray.remote
    def plain() -> Any:
        return ray.get_runtime_context().get_task_name()

    @ray.remote
    class Sync:
        def method(self) -> Any:
            return ray.get_runtime_context().get_task_name()

    @ray.remote
    class Async:
        async def method(self) -> Any:
            return ray.get_runtime_context().get_task_name()

    @ray.remote(max_concurrency=2)
    class Threaded:
        def method(self) -> Any:
            return ray.get_runtime_context().get_task_name()

    assert ray.get(plain.remote()) == "plain"
    assert ray.get(plain.options(name="renamed").remote()) == "renamed"
    assert ray.get(Sync.remote().method.remote()) == "Sync.method"
    assert ray.get(Async.remote().method.remote()) == "Async.method"
    assert ray.get(Threaded.remote().method.remote()) == "Threaded.method"
    assert ray.get(Sync.remote().method.options(name="renamed").remote()) == "renamed"


def test_task_function_names_are_full(ray: ModuleType) -> None:
    @ray.remote
    def plain() -> Any:
        return ray.get_runtime_context().get_task_function_name()

    @ray.remote
    class Sync:
        def method(self) -> Any:
            return ray.get_runtime_context().get_task_function_name()

    @ray.remote
    class Async:
        async def method(self) -> Any:
            return ray.get_runtime_context().get_task_function_name()

    assert ray.get(plain.options(name="renamed").remote()) == f"{__name__}.plain"
    assert ray.get(Sync.remote().method.remote()) == f"{__name__}.Sync.method"
    here = f"{__name__}.test_task_function_names_are_full.<locals>"
    assert ray.get(Async.remote().method.remote()) == f"{here}.Async.method"


def test_every_id_knows_its_job(ray: ModuleType) -> None:
    @ray.remote
    class Actor:
        def ids(self) -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return ray.get_runtime_context().task_id, ray.put(1).job_id()

    actor = Actor.remote()
    task, job = ray.get(actor.ids.remote())
    assert task.job_id() == job == actor._actor_id.job_id == ray.put(2).job_id()
    assert job.hex() == ray.get_runtime_context().get_job_id()


def test_the_namespace_is_the_sessions(ray: ModuleType) -> None:
    @ray.remote
    def namespace() -> Any:
        return ray.get_runtime_context().namespace

    assert ray.get(namespace.remote()) == ray.get_runtime_context().namespace
    assert isinstance(ray.get_runtime_context().namespace, str)


def test_was_current_actor_reconstructed(ray: ModuleType) -> None:
    @ray.remote(max_restarts=1, max_task_retries=2)
    class Phoenix:
        def reconstructed(self) -> Any:
            return bool(ray.get_runtime_context().was_current_actor_reconstructed)

        def pid(self) -> int:
            return os.getpid()

    phoenix = Phoenix.remote()
    assert ray.get(phoenix.reconstructed.remote()) is False
    os.kill(ray.get(phoenix.pid.remote()), signal.SIGKILL)
    assert ray.get(phoenix.reconstructed.remote()) is True


def test_current_actor_is_a_handle_of_oneself(ray: ModuleType) -> None:
    @ray.remote(max_concurrency=2)
    class Selfish:
        def ask_oneself(self) -> Any:
            me = ray.get_runtime_context().current_actor
            return ray.get(me.answer.remote())

        def answer(self) -> str:
            return "it's me"

    assert ray.get(Selfish.remote().ask_oneself.remote()) == "it's me"


def test_current_actor_outside_an_actor_is_a_runtime_error(ray: ModuleType) -> None:
    @ray.remote
    def ask() -> None:
        _ = ray.get_runtime_context().current_actor

    with pytest.raises(RuntimeError, match="actor"):
        ray.get(ask.remote())


def test_a_running_task_can_ask_whether_it_was_cancelled(ray: ModuleType) -> None:
    @ray.remote
    def ask() -> Any:
        return ray.get_runtime_context().is_canceled()

    assert ray.get(ask.remote()) is False
    with pytest.raises(RuntimeError):
        ray.get_runtime_context().is_canceled()


def test_typed_ids_are_equal_by_value(ray: ModuleType) -> None:
    context = ray.get_runtime_context()
    assert context.get()["job_id"].hex() == context.get_job_id()
    assert context.get()["node_id"].hex() == context.get_node_id()
    assert context.get()["job_id"] == context.get()["job_id"]
    assert hash(context.get()["job_id"]) == hash(context.get()["job_id"])


def test_the_placement_group_can_be_asked_for(ray: ModuleType) -> None:
    @ray.remote(num_cpus=1)
    def which() -> Any:
        context = ray.get_runtime_context()
        return (
            context.get_placement_group_id(),
            context.should_capture_child_tasks_in_placement_group,
        )

    strategy = ray.util.scheduling_strategies.PlacementGroupSchedulingStrategy
    group = ray.util.placement_group([{"CPU": 1}])
    ray.get(group.ready())
    plain = which.options(scheduling_strategy=strategy(group))
    assert ray.get(plain.remote()) == (group.id.hex(), False)
    capturing = which.options(
        scheduling_strategy=strategy(group, placement_group_capture_child_tasks=True)
    )
    assert ray.get(capturing.remote()) == (group.id.hex(), True)
    assert ray.get(which.remote()) == (None, False)
    context = ray.get_runtime_context()
    assert context.get_placement_group_id() is None
    assert context.should_capture_child_tasks_in_placement_group is False
    ray.util.remove_placement_group(group)
