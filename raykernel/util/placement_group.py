"""Placement groups: reserve resources for several tasks and actors together.

    group = placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready())
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=0)
    f.options(scheduling_strategy=strategy).remote()

All bundles are reserved at once or not at all. On one machine every strategy but STRICT_SPREAD
comes to the same; that one needs a node per bundle. What can never be reserved is warned of, and
stays pending.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from raykernel import api
from raykernel.exceptions import RaySystemError
from raykernel.placement import PlacementGroup, PlacementGroupID
from raykernel.runtime import context, resources
from raykernel.runtime import messages as m
from raykernel.runtime.connection import RequestFailed

_STRATEGIES = ("PACK", "SPREAD", "STRICT_PACK", "STRICT_SPREAD")


def placement_group(
    bundles: Sequence[dict[str, float]],
    strategy: str = "PACK",
    name: str = "",
    lifetime: str | None = None,
    _soft_target_node_id: str | None = None,
    bundle_label_selector: list[dict[str, str]] | None = None,
) -> PlacementGroup:
    """Reserve a group of bundles. Returns at once; `ready()` and `wait()` tell when it is there.

    Each bundle is a dict of resources such as {"CPU": 1, "GPU": 0.5}. The group is there until it
    is removed or the session ends. Which node or labels a bundle would like is not looked at: there
    is one node. Raises ValueError for an empty or negative bundle or an unknown strategy,
    RaySystemError if a group has that name already.
    """
    _check_bundles(bundles)
    if strategy not in _STRATEGIES:
        raise ValueError(
            f"Invalid placement group strategy {strategy}. Supported strategies are: "
            f"{', '.join(_STRATEGIES)}."
        )
    if lifetime not in (None, "detached"):
        raise ValueError(
            "Placement group `lifetime` argument must be either `None` or 'detached'. Got "
            f"{lifetime}."
        )
    if not isinstance(name, (str, type(None))):
        raise TypeError(f"name must be None or a string, got: '{type(name)}'.")
    if bundle_label_selector is not None and len(bundle_label_selector) != len(bundles):
        raise ValueError(
            f"Invalid bundle label selector {bundle_label_selector}. The length of "
            "`bundle_label_selector` should equal the length of `bundles`."
        )
    client = api.auto_init().client
    group_id = PlacementGroupID.from_random()
    texts = [resources.encode(b) for b in bundles]
    try:
        told = client.request(
            lambda number: m.CreateGroup(
                number, group_id.binary(), texts, strategy, name or "", lifetime == "detached"
            )
        )
    except RequestFailed as error:
        raise RaySystemError(str(error)) from None
    if told:  # an engine that gives groups their ids
        group_id = PlacementGroupID(msgspec.msgpack.decode(told, type=bytes))
    return PlacementGroup(group_id, [dict(b) for b in bundles])


def _check_bundles(bundles: Any) -> None:
    if not isinstance(bundles, list):
        raise ValueError(f"Placement group bundles must be a list, got {type(bundles)}.")
    if not bundles:
        raise ValueError(
            "Bundles must be a non-empty list of resource dictionaries. For example: "
            '`[{"CPU": 1.0}, {"GPU": 1.0}]`. Got empty list instead.'
        )
    for bundle in bundles:
        if not isinstance(bundle, dict) or not all(
            isinstance(k, str) and isinstance(v, (int, float)) for k, v in bundle.items()
        ):
            raise ValueError(
                "Bundles must be a non-empty list of resource dictionaries. For example: "
                f'`[{{"CPU": 1.0}}, {{"GPU": 1.0}}]`. Got {bundles}.'
            )
        if not bundle or not any(bundle.values()):
            raise ValueError(
                "Bundles cannot be an empty dictionary or resources with only 0 values. Bundles: "
                f"{bundles}"
            )
        if "bundle" in bundle:
            raise RaySystemError("bundle is a system reserved resource, not for placement groups")
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
        for field in ("bundles", "bundles_to_node_id"):
            entry[field] = dict(enumerate(entry[field]))
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
