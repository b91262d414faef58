"""Placement groups: reserve resources for several tasks and actors together.

    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready())
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    f.options(scheduling_strategy=strategy).remote()

All bundles are reserved at once or not at all. On one machine every strategy but STRICT_SPREAD
comes to the same; that one needs a node per bundle, and is refused where there is only one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from raykernel import api
from raykernel.placement import ID_BYTES, PlacementGroup, PlacementGroupID
from raykernel.runtime import context, resources
from raykernel.runtime import messages as m
from raykernel.runtime.client import RequestFailed

_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


def placement_group(
    bundles: Sequence[dict[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    **others: Any,
) -> PlacementGroup:
    """Reserve a group of bundles. Returns at once; `ready()` and `wait()` tell when it is there.

    Each bundle is a dict of resources such as {"CPU": 1, "GPU": 0.5}. Raises ValueError for an
    empty or negative bundle, an unknown strategy, or a STRICT_* group that one node can't hold.
    """
    known = {"_max_cpu_fraction_per_node", "_soft_target_node_id", "bundle_label_selector"}
    unknown = set(others) - known
    if unknown:
        raise TypeError(f"placement_group() has no parameter {', '.join(sorted(unknown))}")
    _check_bundles(bundles)
    if strategy not in _STRATEGIES:
        raise ValueError(f"Invalid strategy {strategy}. Supported are {', '.join(_STRATEGIES)}.")
    if lifetime not in (None, "detached"):
        raise ValueError("placement group `lifetime` argument must be either `None` or 'detached'")
    client = api.auto_init().client
    group_id = os.urandom(ID_BYTES)
    texts = [resources.encode(b) for b in bundles]
    try:
        client.request(
            lambda number: m.CreateGroup(
                number, group_id, texts, strategy, name or "", lifetime == "detached"
            )
        )
    except RequestFailed as error:
        raise ValueError(str(error)) from None
    return PlacementGroup(PlacementGroupID(group_id), [dict(b) for b in bundles])


def _check_bundles(bundles: Any) -> None:
    if not isinstance(bundles, list):
        raise ValueError(f"Placement group bundles must be a list, got {type(bundles)}.")
    if not bundles:
        raise ValueError("Bundles must be a non-empty list of resource dictionaries.")
    for bundle in bundles:
        if not isinstance(bundle, dict) or not all(
            isinstance(k, str) and isinstance(v, (int, float)) for k, v in bundle.items()
        ):
            raise ValueError(f"Bundles must be a list of resource dictionaries, got {bundles}.")
        if not bundle or not any(bundle.values()):
            raise ValueError(f"Bundles cannot be an empty dictionary or resources of 0: {bundles}")
        if any(v < 0 for v in bundle.values()):
            raise ValueError(f"Bundles cannot hold negative amounts: {bundles}")


def remove_placement_group(placement_group: PlacementGroup) -> None:
    """Give a group's resources back; its tasks and actors end."""
    if not isinstance(placement_group, PlacementGroup):
        raise TypeError(f"remove_placement_group() takes a PlacementGroup, not {placement_group!r}")
    client = api.auto_init().client
    client.queue(m.RemoveGroup(placement_group.id.binary()))
    client.flush()


def get_placement_group(placement_group_name: str) -> PlacementGroup:
    """The group of that name. Raises ValueError if there is none."""
    if not placement_group_name:
        raise ValueError("Please supply a non-empty value to get_placement_group")
    for entry in api.auto_init().query("groups"):
        if entry["name"] == placement_group_name and entry["state"] != "REMOVED":
            group_id = PlacementGroupID(bytes.fromhex(entry["placement_group_id"]))
            return PlacementGroup(group_id, entry["bundles"])
    raise ValueError(f"Failed to look up placement group with name: {placement_group_name}")


def placement_group_table(placement_group: PlacementGroup | None = None) -> dict[str, Any]:
    """One group's state, or all groups' by id: bundles, strategy, name, and PENDING, CREATED or
    REMOVED."""
    table = {}
    for entry in api.auto_init().query("groups"):
        entry["bundles"] = dict(enumerate(entry["bundles"]))
        table[entry["placement_group_id"]] = entry
    if placement_group is None:
        return table
    found: dict[str, Any] = table.get(placement_group.id.hex(), {})
    return found


def get_current_placement_group() -> PlacementGroup | None:
    """The group that the running task or actor is in; None outside."""
    running = context.running()
    if running is None or not running.group:
        return None
    wanted = running.group.hex()
    for entry in api.auto_init().query("groups"):
        if entry["placement_group_id"] == wanted:
            return PlacementGroup(PlacementGroupID(running.group), entry["bundles"])
    return None


__all__ = [
    "PlacementGroup",
    "PlacementGroupID",
    "get_current_placement_group",
    "get_placement_group",
    "placement_group",
    "placement_group_table",
    "remove_placement_group",
]
