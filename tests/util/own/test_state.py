"""What there is in the session, under Ray's names."""

from __future__ import annotations

import os
from typing import Any

import pytest

import raykernel as ray
from raykernel.util import list_named_actors, state
from tests.contract.signals import make_gate, wait_until

pytestmark = pytest.mark.usefixtures("session")


@ray.remote
def hold(gate: Any, *_: Any) -> str:
    answer: str = ray.get(gate.wait.remote())
    return answer


@ray.remote
def fail() -> None:
    raise ValueError("on purpose")


@ray.remote
class Keeper:
    def pid(self) -> int:
        return os.getpid()


def state_of(ref: Any) -> str:
    row = state.get_task(ref)
    assert row is not None
    return row.state


def test_tasks_go_through_rays_states() -> None:
    gate = make_gate(ray)
    running = hold.remote(gate)
    dependent = hold.remote(gate, running)
    greedy = hold.options(resources={"no such thing": 1}).remote(gate)
    wait_until(lambda: state_of(running) == "RUNNING")
    assert state_of(dependent) == "PENDING_ARGS_AVAIL"
    assert state_of(greedy) == "PENDING_NODE_ASSIGNMENT"
    ray.get(gate.open.remote())
    ray.get(dependent)
    assert (state_of(running), state_of(dependent)) == ("FINISHED", "FINISHED")
    ray.cancel(greedy)
    wait_until(lambda: state_of(greedy) == "FAILED")
    cancelled = state.get_task(greedy)
    assert cancelled is not None
    assert cancelled.error_type == "TASK_CANCELLED"


def test_a_tasks_row_tells_its_story() -> None:
    ref = fail.remote()
    ray.wait([ref])
    row = state.get_task(ref.task_id().hex())
    assert row is not None
    assert (row.name, row.type, row["state"]) == ("fail", "NORMAL_TASK", "FAILED")
    assert "on purpose" in (row.error_message or "")
    assert row.creation_time_ms is not None
    assert row.start_time_ms is not None
    assert row.end_time_ms is not None
    assert row.creation_time_ms <= row.start_time_ms <= row.end_time_ms
    assert row.asdict()["task_id"] == ref.task_id().hex()
    assert state.get_task("00" * 24) is None


def test_filters_and_limits_narrow_the_list() -> None:
    ray.wait([fail.remote() for _ in range(3)], num_returns=3)
    failed = state.list_tasks(filters=[("state", "=", "failed"), ("name", "=", "fail")])
    assert len(failed) >= 3
    assert {row.name for row in failed} == {"fail"}
    assert "fail" not in {row.name for row in state.list_tasks(filters=[("name", "!=", "fail")])}
    assert len(state.list_tasks(limit=2)) == 2


@pytest.mark.parametrize("wrong", [("no_such_key", "=", 1), ("name", "<", "f"), ("name",)])
def test_filters_that_make_no_sense_are_refused(wrong: Any) -> None:
    with pytest.raises(state.RayStateApiException):
        state.list_tasks(filters=[wrong])


def test_actors_are_listed_alive_and_dead() -> None:
    keeper = Keeper.options(name="kept", namespace="here").remote()
    pid = ray.get(keeper.pid.remote())
    row = state.get_actor(keeper._actor_id.hex())
    assert row is not None
    assert (row.class_name, row.state, row.name, row.ray_namespace, row.pid) == (
        "Keeper",
        "ALIVE",
        "kept",
        "here",
        pid,
    )
    its = [("actor_id", "=", row.actor_id)]
    wait_until(lambda: [worker.pid for worker in state.list_workers(filters=its)] == [pid])
    ray.kill(keeper)
    alive = [("state", "=", "ALIVE"), ("actor_id", "=", row.actor_id)]
    wait_until(lambda: not state.list_actors(filters=alive))
    wait_until(lambda: not state.list_workers(filters=its))


def test_named_actors_are_listed_by_namespace() -> None:
    mine = Keeper.options(name="mine").remote()
    other = Keeper.options(name="other", namespace="elsewhere").remote()
    ray.get([mine.pid.remote(), other.pid.remote()])
    assert list_named_actors() == ["mine"]
    everywhere = list_named_actors(all_namespaces=True)
    assert {"namespace": "elsewhere", "name": "other"} in everywhere
    assert {one["name"] for one in everywhere} == {"mine", "other"}


def test_objects_are_listed_with_their_size() -> None:
    ref = ray.put(bytes(300_000))
    (row,) = state.list_objects(filters=[("object_id", "=", ref.hex())])
    assert row.object_size >= 300_000
    assert row.in_shared_memory
    assert row.where == "memory"
    assert [holder["role"] for holder in row.holders] == ["driver"]
    assert row.task_status == "FINISHED"


def test_the_one_node_is_listed() -> None:
    (row,) = state.list_nodes()
    assert (row.state, row.is_head_node, row.resources_total["CPU"]) == ("ALIVE", True, 2)


def test_tasks_are_summed_up_by_function() -> None:
    @ray.remote
    def counted() -> None:
        pass

    ray.get([counted.remote() for _ in range(4)])
    cluster = state.summarize_tasks()["cluster"]
    group = cluster["summary"]["counted"]
    assert (group["type"], group["state_counts"]) == ("NORMAL_TASK", {"FINISHED": 4})
    assert cluster["total_tasks"] >= 4


def test_placement_groups_are_listed_until_long_after() -> None:
    group = ray.util.placement_group([{"CPU": 0.5}], name="listed")
    assert group.wait(10)
    row = state.get_placement_group(group.id.hex())
    assert row is not None
    assert (row.name, row.state, row.bundles) == ("listed", "CREATED", [{"CPU": 0.5}])
    ray.util.remove_placement_group(group)
    (row,) = state.list_placement_groups(filters=[("name", "=", "listed")])
    assert row.state == "REMOVED"


def test_single_rows_can_be_asked_for() -> None:
    (node,) = state.list_nodes()
    assert state.get_node(node.node_id) == node
    ref = ray.put(1)
    (row,) = state.get_objects(ref.hex())
    assert row.object_id == ref.hex()
    assert state.get_worker("00" * 16) is None


def test_actors_are_summed_up_by_class() -> None:
    keeper = Keeper.remote()
    ray.get(keeper.pid.remote())
    counts = state.summarize_actors()["cluster"]["summary"]["Keeper"]["state_counts"]
    assert counts["ALIVE"] >= 1


def test_what_a_cluster_has_is_refused_with_what_there_is() -> None:
    with pytest.raises(AttributeError, match="list_tasks"):
        state.list_cluster_events  # noqa: B018 - the access is the point
