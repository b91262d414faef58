"""Dask graphs on tasks."""

from __future__ import annotations

import operator
import os
from typing import Any

import dask
import dask.bag
import pytest

import raykernel as ray
from raykernel.util.dask import disable_dask_on_ray, enable_dask_on_ray, ray_dask_get

pytestmark = pytest.mark.usefixtures("session")


@dask.delayed
def add(a: Any, b: Any) -> Any:
    return a + b


def test_a_graph_of_tuples_is_computed_key_by_key() -> None:
    graph = {"a": 1, "b": (operator.add, "a", 10), "c": (sum, ["a", "b"]), "d": "c"}
    assert ray_dask_get(graph, "d") == 12
    assert ray_dask_get(graph, ["a", ["b", "c"]]) == (1, (11, 12))
    assert ray_dask_get(graph, ["a", ["b", "c"]]) == dask.get(graph, ["a", ["b", "c"]])


def test_delayed_calls_share_what_they_have_in_common() -> None:
    total = add(add(1, 2), add(3, 4))
    assert dask.compute(total, {"twice": add(total, total)}, scheduler=ray_dask_get) == (
        10,
        {"twice": 20},
    )


def test_nodes_run_in_workers() -> None:
    pid = dask.delayed(os.getpid)().compute(scheduler=ray_dask_get)
    assert pid != os.getpid()


def test_collections_are_computed() -> None:
    numbers = dask.bag.from_sequence(range(20), npartitions=4)
    evens = numbers.map(lambda x: x * x).filter(lambda x: x % 2 == 0)
    assert evens.sum().compute(scheduler=ray_dask_get) == sum(x * x for x in range(0, 20, 2))


def test_a_failed_node_raises_its_error() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        add(1, "2").compute(scheduler=ray_dask_get)


def test_a_long_chain_needs_no_recursion() -> None:
    graph: dict[str, Any] = {"x0": 0}
    for i in range(1, 1500):
        graph[f"x{i}"] = (operator.add, f"x{i - 1}", 1)
    assert ray_dask_get(graph, "x1499") == 1499


def test_a_cycle_is_refused() -> None:
    with pytest.raises(ValueError, match="cycle"):
        ray_dask_get({"a": (abs, "b"), "b": (abs, "a")}, "a")


def test_what_is_not_asked_for_does_not_run() -> None:
    assert ray_dask_get({"a": 1, "b": (operator.truediv, "a", 0)}, "a") == 1


def test_it_can_be_the_default_for_a_while() -> None:
    ran = {row.task_id for row in ray.util.state.list_tasks(limit=10_000)}
    with enable_dask_on_ray():
        assert add(2, 3).compute() == 5
    mine = [row for row in ray.util.state.list_tasks(limit=10_000) if row.task_id not in ran]
    assert [row.name for row in mine] == ["add"]
    enable_dask_on_ray()
    assert dask.config.get("scheduler") is ray_dask_get
    disable_dask_on_ray()
    assert dask.config.get("scheduler") is None
