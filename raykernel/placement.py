"""Where tasks and actors run: placement groups, strategies, and what options say about them.

`raykernel.util.placement_group` makes groups, `raykernel.util.scheduling_strategies` re-exports
the strategies under Ray's name.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from raykernel.exceptions import TaskPlacementGroupRemoved
from raykernel.refs import ObjectRef
from raykernel.runtime import resources

ID_BYTES = 18

DEFAULT_SCHEDULING_STRATEGY = "DEFAULT"
SPREAD_SCHEDULING_STRATEGY = "SPREAD"


class PlacementGroupID:
    """A group's id; equal and hashable."""

    __slots__ = ("_id",)

    def __init__(self, group_id: bytes) -> None:
        self._id = group_id

    @classmethod
    def from_random(cls) -> PlacementGroupID:
        return cls(os.urandom(ID_BYTES))

    @classmethod
    def from_hex(cls, text: str) -> PlacementGroupID:
        return cls(bytes.fromhex(text))

    @classmethod
    def nil(cls) -> PlacementGroupID:
        return cls(b"\xff" * ID_BYTES)

    def binary(self) -> bytes:
        return self._id

    def hex(self) -> str:
        return self._id.hex()

    def is_nil(self) -> bool:
        return self._id == b"\xff" * ID_BYTES

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroupID) and self._id == other._id

    def __hash__(self) -> int:
        return hash(self._id)

    def __repr__(self) -> str:
        return f"PlacementGroupID({self._id.hex()})"


class PlacementGroup:
    """A handle to a placement group. Can be passed to tasks; equal and hashable by id.

    Without a `bundle_cache` the session is asked for the bundles when they are needed.
    """

    def __init__(
        self, id: PlacementGroupID, bundle_cache: list[dict[str, float]] | None = None
    ) -> None:
        self.id = id
        self.bundle_cache = bundle_cache

    @staticmethod
    def empty() -> PlacementGroup:
        return PlacementGroup(PlacementGroupID.nil())

    @property
    def bundle_specs(self) -> list[dict[str, float]]:
        """The resources of each bundle."""
        if self.bundle_cache is None:
            self.bundle_cache = self._ask_bundles()
        return [dict(b) for b in self.bundle_cache]

    def _ask_bundles(self) -> list[dict[str, float]]:
        from raykernel import api

        if self.is_empty:
            return []
        for entry in api.auto_init().query("groups"):
            if entry["placement_group_id"] == self.id.hex():
                bundles: list[dict[str, float]] = entry["bundles"]
                return bundles
        return []

    @property
    def bundle_count(self) -> int:
        return len(self.bundle_specs)

    @property
    def is_empty(self) -> bool:
        return self.id.is_nil()

    def ready(self) -> ObjectRef[PlacementGroup]:
        """A ref that is ready once the group's resources are reserved; its value is the group."""
        from raykernel import api

        strategy = PlacementGroupSchedulingStrategy(self)
        task = api.remote(_itself).options(num_cpus=0, scheduling_strategy=strategy)
        ref: ObjectRef[PlacementGroup] = task.remote(self)
        return ref

    def wait(self, timeout_seconds: float = 30) -> bool:
        """Whether the group is reserved within that many seconds. Raises
        TaskPlacementGroupRemoved once it is removed."""
        from raykernel import api

        group = self.id.hex()
        for entry in api.connected().query("groups"):
            if entry["placement_group_id"] == group and entry["state"] == "REMOVED":
                raise TaskPlacementGroupRemoved(f"The placement group {group} was removed.")
        ready, _ = api.wait([self.ready()], timeout=timeout_seconds)
        if ready:
            api.get(ready[0])
        return bool(ready)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlacementGroup) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"PlacementGroup({self.id.hex()}, {self.bundle_cache or '...'})"


def _itself(group: PlacementGroup) -> PlacementGroup:
    return group


@dataclass
class PlacementGroupSchedulingStrategy:
    """Run in a placement group: in the bundle of that index, or (-1) in whichever has room.

    `placement_group_capture_child_tasks`: what the task submits runs in the group too.
    """

    placement_group: PlacementGroup | None
    placement_group_bundle_index: int = -1
    placement_group_capture_child_tasks: bool | None = None


@dataclass
class NodeAffinitySchedulingStrategy:
    """Run on the node with this id (hex, see `ray.nodes()`); with `soft`, elsewhere if it can't be.

    Raises ValueError for what is no id.
    """

    node_id: str
    soft: bool
    _spill_on_unavailable: bool = False
    _fail_on_unavailable: bool = False

    def __post_init__(self) -> None:
        try:
            bytes.fromhex(self.node_id)
        except (TypeError, ValueError):
            raise ValueError(
                f"Invalid node_id {self.node_id!r}. Node ID must be a valid hex string. To get a "
                "list of all nodes and their IDs in your cluster, use ray.nodes()."
            ) from None


@dataclass
class NodeLabelSchedulingStrategy:
    """Run on a node with these labels. Accepted; the one node there is has none."""

    hard: dict[str, Any] | None = None
    soft: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.hard and not self.soft:
            raise ValueError(
                "The `hard` and `soft` parameter of NodeLabelSchedulingStrategy cannot both be "
                "empty."
            )


_NAMED = (DEFAULT_SCHEDULING_STRATEGY, SPREAD_SCHEDULING_STRATEGY)
_ELSEWHERE = (NodeAffinitySchedulingStrategy, NodeLabelSchedulingStrategy)


class Place(NamedTuple):
    """`said`: the options name a place, so that none is inherited. `node`: the only one allowed."""

    group: PlacementGroup | None = None
    bundle: int = -1
    capture: bool = False
    said: bool = False
    node: str = ""


def check_strategy(name: str, value: Any) -> None:
    """Raises TypeError, ValueError for what is no scheduling strategy."""
    if isinstance(value, (*_ELSEWHERE, PlacementGroupSchedulingStrategy)) or value is None:
        return
    if not isinstance(value, str):
        raise TypeError(
            f"The type of keyword '{name}' must be str or a scheduling strategy, but received type "
            f"{type(value)}"
        )
    if value in _NAMED:
        return
    raise ValueError(
        f"The keyword '{name}' takes 'DEFAULT', 'SPREAD' or one of the strategies in "
        f"raykernel.util.scheduling_strategies, not {value!r}"
    )


def check_group(name: str, value: Any) -> None:
    """The older way to name a group. Raises TypeError."""
    if value is not None and value != "default" and not isinstance(value, PlacementGroup):
        raise TypeError(
            f"The type of keyword '{name}' must be PlacementGroup or None, but received type "
            f"{type(value)}"
        )


def place_of(options: Mapping[str, Any]) -> Place:
    """Where the options want it. Raises ValueError if they say it in two ways."""
    strategy = options.get("scheduling_strategy")
    group = options.get("placement_group")
    if group is None and options.get("placement_group_bundle_index", -1) != -1:
        raise ValueError("If placement group is not set, the value of bundle index must be -1.")
    if isinstance(group, PlacementGroup):
        if strategy is not None:
            raise ValueError(
                "Placement groups should be specified via the scheduling_strategy option. The "
                "placement_group option is deprecated, and can't be used beside it."
            )
        return Place(
            group,
            options.get("placement_group_bundle_index", -1),
            bool(options.get("placement_group_capture_child_tasks")),
            True,
        )
    if isinstance(strategy, PlacementGroupSchedulingStrategy) and strategy.placement_group:
        return Place(
            strategy.placement_group,
            strategy.placement_group_bundle_index,
            bool(strategy.placement_group_capture_child_tasks),
            True,
        )
    if isinstance(strategy, NodeAffinitySchedulingStrategy) and not strategy.soft:
        return Place(said=True, node=strategy.node_id)
    return Place(said=strategy is not None or "placement_group" in options)


def wish(options: Mapping[str, Any]) -> str:
    """Where the options would like it, for engines with many nodes: "SPREAD", a node as JSON."""
    strategy = options.get("scheduling_strategy")
    if strategy == SPREAD_SCHEDULING_STRATEGY:
        return SPREAD_SCHEDULING_STRATEGY
    if isinstance(strategy, NodeAffinitySchedulingStrategy) and strategy.soft:
        return json.dumps({"node": strategy.node_id})
    return "labels" if isinstance(strategy, NodeLabelSchedulingStrategy) else ""


def check_place(options: Mapping[str, Any], demand: str, what: str) -> None:
    """Raises ValueError if the chosen bundle (or none of the group's) can ever hold `demand`."""
    place = place_of(options)
    if place.group is not None:
        check_fits(place.group, place.bundle, demand, what)


def check_placement_group_index(group: PlacementGroup, bundle_index: int) -> None:
    """Raises ValueError for a bundle that the group doesn't have."""
    if bundle_index >= group.bundle_count or bundle_index < -1:
        raise ValueError(
            f"placement group bundle index {bundle_index} is invalid. Valid placement group "
            f"indexes: 0-{group.bundle_count - 1}"
        )


def check_fits(group: PlacementGroup, bundle_index: int, amounts: str, what: str) -> None:
    """Raises ValueError if no bundle (or not the chosen one) could ever hold this request."""
    check_placement_group_index(group, bundle_index)
    bundles = group.bundle_specs
    chosen = bundles if bundle_index < 0 else [bundles[bundle_index]]
    wanted = resources.decode(amounts)
    for bundle in chosen:
        have = {name: resources.to_units(n) for name, n in bundle.items()}
        if all(have.get(name, 0) >= n for name, n in wanted.items()):
            return
    request = {name: resources.to_float(n) for name, n in wanted.items()}
    shown = {name: int(n) if n.is_integer() else n for name, n in request.items()}
    bundles = [{name: float(n) for name, n in bundle.items()} for bundle in chosen]
    raise ValueError(
        f"Cannot schedule {what} with the placement group because the resource request {shown} "
        f"cannot fit into any bundles for the placement group, {bundles}."
    )
