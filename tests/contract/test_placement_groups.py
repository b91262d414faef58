"""Placement groups: reserved together, used by name of their bundles, given back when removed."""

from __future__ import annotations

import importlib
import time
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import wait_until


@pytest.fixture
def util(ray: ModuleType) -> Iterator[ModuleType]:
    """`ray.util`; what a test reserved is free again after it."""
    module = importlib.import_module(f"{ray.__name__}.util")
    groups = importlib.import_module(f"{ray.__name__}.util.placement_group")
    yield module
    for entry in module.placement_group_table().values():
        if entry["state"] != "REMOVED" and entry["name"]:
            module.remove_placement_group(module.get_placement_group(entry["name"]))
        assert groups.placement_group is module.placement_group
    wait_until(lambda: ray.available_resources().get("CPU") == 4)


def _strategy(ray: ModuleType, *args: Any, **options: Any) -> Any:
    module = importlib.import_module(f"{ray.__name__}.util.scheduling_strategies")
    return module.PlacementGroupSchedulingStrategy(*args, **options)


def test_a_group_reserves_its_bundles_until_it_is_removed(
    ray: ModuleType, util: ModuleType
) -> None:
    group = util.placement_group([{"CPU": 1}, {"CPU": 2}], name="a")
    assert group.wait(10)
    assert ray.get(group.ready()) == group
    wait_until(lambda: ray.available_resources().get("CPU") == 1)
    util.remove_placement_group(group)
    wait_until(lambda: ray.available_resources().get("CPU") == 4)


def test_the_table_says_what_is_reserved_and_how_far_it_is(
    ray: ModuleType, util: ModuleType
) -> None:
    group = util.placement_group([{"CPU": 1, "GPU": 0}, {"CPU": 0.5}], "SPREAD", name="a")
    ray.get(group.ready())
    entry = util.placement_group_table(group)
    assert entry["bundles"] == {0: {"CPU": 1}, 1: {"CPU": 0.5}}
    assert (entry["name"], entry["strategy"], entry["state"]) == ("a", "SPREAD", "CREATED")
    assert set(entry["bundles_to_node_id"].values()) == {ray.nodes()[0]["NodeID"]}
    assert entry["stats"]["scheduling_state"] == "FINISHED"
    assert entry["stats"]["end_to_end_creation_latency_ms"] > 0
    waiting = util.placement_group([{"CPU": 4}], name="b")
    assert not waiting.wait(0.1)
    wait_until(
        lambda: util.placement_group_table(waiting)["stats"]["scheduling_state"] == "NO_RESOURCES"
    )
    assert util.placement_group_table()[waiting.id.hex()]["state"] == "PENDING"


@pytest.mark.parametrize("strategy", ["PACK", "STRICT_PACK"])
def test_a_group_that_can_never_be_is_registered_and_stays_pending(
    util: ModuleType, strategy: str
) -> None:
    group = util.placement_group([{"CPU": 3}, {"CPU": 3}], strategy, name="a")
    assert util.placement_group_table(group)["state"] == "PENDING"
    util.remove_placement_group(group)
    wait_until(lambda: util.placement_group_table(group)["state"] == "REMOVED")


@pytest.mark.parametrize(
    "bundles", [[], [{}], [{"CPU": 0}], {"CPU": 1}, ["CPU"], [{"CPU": "1"}], [{1: 1}]]
)
def test_what_is_no_list_of_bundles_is_refused(util: ModuleType, bundles: Any) -> None:
    with pytest.raises(ValueError, match="undles"):
        util.placement_group(bundles)


def test_bad_strategy_lifetime_and_name_are_refused(util: ModuleType) -> None:
    with pytest.raises(ValueError, match="Invalid placement group strategy X"):
        util.placement_group([{"CPU": 1}], "X")
    with pytest.raises(ValueError, match="`lifetime` argument must be either"):
        util.placement_group([{"CPU": 1}], lifetime="long")
    with pytest.raises(TypeError):
        util.placement_group([{"CPU": 1}], name=1)


def test_a_group_is_found_by_its_name_which_is_its_alone(ray: ModuleType, util: ModuleType) -> None:
    group = util.placement_group([{"CPU": 1}], name="a")
    found = util.get_placement_group("a")
    assert found == group
    assert hash(found) == hash(group)
    assert found.bundle_specs == group.bundle_specs
    with pytest.raises(ray.exceptions.RaySystemError, match="already"):
        util.placement_group([{"CPU": 1}], name="a")
    with pytest.raises(ValueError, match="Failed to look up placement group with name: b"):
        util.get_placement_group("b")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"placement_group_bundle_index": 3}, "bundle index 3 is invalid"),
        ({"placement_group_bundle_index": -2}, "bundle index -2 is invalid"),
        ({"num_cpus": 2}, r"request \{'CPU': 2\} cannot fit into any bundles"),
        ({"placement_group_bundle_index": 1, "num_gpus": 1}, "cannot fit into any bundles"),
    ],
)
def test_what_no_bundle_can_serve_is_refused(
    ray: ModuleType, util: ModuleType, options: dict[str, Any], why: str
) -> None:
    group = util.placement_group([{"CPU": 1}, {"CPU": 1}], name="a")

    @ray.remote
    def task() -> None: ...

    @ray.remote
    class Actor: ...

    for remote in (task, Actor):
        with pytest.raises(ValueError, match=why):
            remote.options(placement_group=group, **options).remote()


def test_a_bundle_without_a_group_or_a_group_named_twice_is_refused(
    ray: ModuleType, util: ModuleType
) -> None:
    group = util.placement_group([{"CPU": 1}], name="a")

    @ray.remote
    def task() -> None: ...

    with pytest.raises(ValueError, match="bundle index must be -1"):
        task.options(placement_group_bundle_index=0).remote()
    with pytest.raises(ValueError, match="via the scheduling_strategy option"):
        task.options(placement_group=group, scheduling_strategy=_strategy(ray, group)).remote()


def test_tasks_run_in_their_bundle_and_know_their_group(ray: ModuleType, util: ModuleType) -> None:
    group = util.placement_group([{"CPU": 1}], name="a")

    @ray.remote(num_cpus=0)
    def where() -> Any:
        current = importlib.import_module(f"{ray.__name__}.util").get_current_placement_group()
        said = ray.get_runtime_context().get_placement_group_id()
        assert (current.id.hex() if current else None) == said
        return said

    @ray.remote(num_cpus=1)
    def nest() -> list[Any]:
        outside = where.options(scheduling_strategy="DEFAULT")
        return ray.get([where.remote(), outside.remote()])  # type: ignore[no-any-return]

    mine = group.id.hex()
    capturing = _strategy(ray, group, placement_group_capture_child_tasks=True)
    assert ray.get(where.options(scheduling_strategy=_strategy(ray, group)).remote()) == mine
    assert ray.get(nest.options(scheduling_strategy=capturing).remote()) == [mine, None]
    not_capturing = _strategy(ray, group, 0)
    assert ray.get(nest.options(scheduling_strategy=not_capturing).remote()) == [None, None]
    assert util.get_current_placement_group() is None


def test_removing_a_group_ends_what_runs_in_it(ray: ModuleType, util: ModuleType) -> None:
    group = util.placement_group([{"CPU": 1}, {"CPU": 1}], name="a")

    @ray.remote(num_cpus=1, max_retries=0)
    def forever() -> None:
        time.sleep(600)

    @ray.remote(num_cpus=1)
    class Actor:
        def ping(self) -> int:
            return 1

    actor = Actor.options(scheduling_strategy=_strategy(ray, group, 0)).remote()
    assert ray.get(actor.ping.remote()) == 1
    in_second = forever.options(scheduling_strategy=_strategy(ray, group, 1))
    running, waiting = in_second.remote(), in_second.remote()
    wait_until(lambda: ray.available_resources().get("CPU") == 2)
    ray.wait([running], timeout=1)
    util.remove_placement_group(group)
    util.remove_placement_group(group)
    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(running, timeout=30)
    with pytest.raises(ray.exceptions.TaskPlacementGroupRemoved):
        ray.get(waiting, timeout=30)
    with pytest.raises(ray.exceptions.RayActorError, match="actor died"):
        ray.get(actor.ping.remote(), timeout=30)
    with pytest.raises(Exception, match="lacement group"):
        group.wait(10)


def test_a_group_outlives_the_task_that_made_it(ray: ModuleType, util: ModuleType) -> None:
    @ray.remote(num_cpus=0, max_calls=1)
    def make() -> Any:
        module = importlib.import_module(f"{ray.__name__}.util")
        group = module.placement_group([{"CPU": 1}], name="a")
        ray.get(group.ready())
        return group

    group = ray.get(make.remote())

    @ray.remote(num_cpus=1)
    def ping() -> int:
        return 1

    inside = ping.options(scheduling_strategy=_strategy(ray, group))
    assert ray.get(inside.remote(), timeout=30) == 1
    assert util.placement_group_table(group)["state"] == "CREATED"


def test_a_task_for_a_node_that_is_not_there_fails(ray: ModuleType) -> None:
    module = importlib.import_module(f"{ray.__name__}.util.scheduling_strategies")
    affinity = module.NodeAffinitySchedulingStrategy
    here, nowhere = ray.nodes()[0]["NodeID"], "ab" * 28

    @ray.remote
    def ping() -> int:
        return 1

    @ray.remote
    class Actor:
        def ping(self) -> int:
            return 1

    for strategy in (affinity(here, soft=False), affinity(nowhere, soft=True)):
        assert ray.get(ping.options(scheduling_strategy=strategy).remote()) == 1
    hard = affinity(nowhere, soft=False)
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(ping.options(scheduling_strategy=hard).remote())
    with pytest.raises(ray.exceptions.ActorUnschedulableError):
        ray.get(Actor.options(scheduling_strategy=hard).remote().ping.remote())
    too_much = ping.options(scheduling_strategy=affinity(here, soft=False), resources={"gold": 1})
    with pytest.raises(ray.exceptions.TaskUnschedulableError):
        ray.get(too_much.remote())
    with pytest.raises(ValueError, match="valid hex string"):
        affinity("nonsense", soft=False)
