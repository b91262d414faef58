"""What waits for a node of a Ray cluster. No process."""

from __future__ import annotations

from raykernel.runtime.engines.ray_watch import awaited
from raykernel.runtime.events import Awaited
from raykernel.runtime.resources import encode

NODES: list[dict[str, float]] = [{"CPU": 2.0, "head": 10.0}, {"CPU": 4.0, "gold": 0.5}]


def test_what_some_node_could_run_waits_for_none() -> None:
    demands = [{"CPU": 4}, {"CPU": 1, "gold": 0.5}, {"head": 10}, {}]
    assert awaited([("cell", encode(each)) for each in demands], NODES) == []


def test_what_no_single_node_has_is_awaited_by_cell() -> None:
    both, much = encode({"head": 1, "gold": 0.5}), encode({"CPU": 5})
    waiting = [("a", both), ("b", much), ("a", both), ("a", much)]
    assert awaited(waiting, NODES) == [
        Awaited("a", "0.5 gold, 1 head", 2), Awaited("b", "5 CPU", 1), Awaited("a", "5 CPU", 1)
    ]  # fmt: skip
    assert awaited([("a", encode({"CPU": 1}))], []) == [Awaited("a", "1 CPU", 1)]
