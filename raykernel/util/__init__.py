"""`ray.util`: what programs written for Ray build on top of tasks and actors.

Almost everything is imported when it is first asked for, so that `import raykernel.util` costs
next to nothing. Placement groups are the exception: `placement_group` is both a function here and
the module it comes from, and it is the function that this package must keep under the name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from raykernel.util.placement_group import (
    get_current_placement_group,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

if TYPE_CHECKING:
    from raykernel.util.actor_group import ActorGroup
    from raykernel.util.actor_pool import ActorPool
    from raykernel.util.bars import tqdm, trange
    from raykernel.util.check_serialize import inspect_serializability
    from raykernel.util.debug import (
        disable_log_once_globally,
        enable_periodic_logging,
        log_once,
    )
    from raykernel.util.executor import RayExecutor
    from raykernel.util.exporting import export
    from raykernel.util.helpers import as_completed, map_unordered
    from raykernel.util.named_actors import list_named_actors
    from raykernel.util.named_objects import forget_object, list_named_objects
    from raykernel.util.node import get_node_ip_address
    from raykernel.util.plots import plot_timeline
    from raykernel.util.serialization import deregister_serializer, register_serializer
    from raykernel.util.state import list_tasks

_HOMES = {
    "ActorGroup": "actor_group",
    "ActorPool": "actor_pool",
    "RayExecutor": "executor",
    "as_completed": "helpers",
    "deregister_serializer": "serialization",
    "disable_log_once_globally": "debug",
    "enable_periodic_logging": "debug",
    "forget_object": "named_objects",
    "get_node_ip_address": "node",
    "export": "exporting",
    "inspect_serializability": "check_serialize",
    "list_named_objects": "named_objects",
    "list_named_actors": "named_actors",
    "list_tasks": "state",
    "log_once": "debug",
    "map_unordered": "helpers",
    "plot_timeline": "plots",
    "register_serializer": "serialization",
    "tqdm": "bars",
    "trange": "bars",
}
_MODULES = frozenset(
    {
        *(
            "actor_group",
            "actor_pool",
            "dask",
            "debug",
            "iter",
            "joblib",
            "metrics",
            "multiprocessing",
        ),
        *("queue", "scheduling_strategies", "state"),
    }
)

__all__ = [
    "ActorGroup",
    "ActorPool",
    "RayExecutor",
    "as_completed",
    "deregister_serializer",
    "disable_log_once_globally",
    "enable_periodic_logging",
    "export",
    "forget_object",
    "get_current_placement_group",
    "get_node_ip_address",
    "get_placement_group",
    "inspect_serializability",
    "list_named_actors",
    "list_named_objects",
    "list_tasks",
    "log_once",
    "map_unordered",
    "placement_group",
    "placement_group_table",
    "plot_timeline",
    "register_serializer",
    "remove_placement_group",
    "tqdm",
    "trange",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is not None:
        value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(
            f"raykernel.util has no {name!r}; it offers {', '.join(sorted(__all__))} and the "
            f"modules {', '.join(sorted(_MODULES))}"
        )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_MODULES})
