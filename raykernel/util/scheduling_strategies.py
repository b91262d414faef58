"""Where tasks and actors should run: values of the option `scheduling_strategy`.

"DEFAULT" and "SPREAD" come to the same on one machine. Node affinity is checked against the one
node there is; a placement group's strategy runs the task in the group's resources.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raykernel.util.placement_group import PlacementGroup

DEFAULT_SCHEDULING_STRATEGY = "DEFAULT"
SPREAD_SCHEDULING_STRATEGY = "SPREAD"


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
    """Run on the node with this id (hex); with `soft`, elsewhere if it can't be."""

    node_id: str
    soft: bool = False
    _spill_on_unavailable: bool = False
    _fail_on_unavailable: bool = False


@dataclass
class NodeLabelSchedulingStrategy:
    """Run on a node with these labels. Accepted; the one node there is has none."""

    hard: dict[str, Any] | None = None
    soft: dict[str, Any] | None = None
