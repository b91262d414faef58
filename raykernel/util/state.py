"""What there is in the session: tasks, actors, objects, workers and nodes, under Ray's names.

Each function asks the head once and filters the answer here. Ended tasks are kept up to a bound,
so the oldest of very many are missing. States are Ray's; a cancelled task is FAILED with the error
type TASK_CANCELLED. Times are milliseconds since the epoch, None for what hasn't come yet.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

from raykernel import api
from raykernel.runtime import context, events
from raykernel.util.state_rows import (
    ActorState,
    Filter,
    NodeState,
    ObjectState,
    PlacementGroupState,
    RayStateApiException,
    TaskState,
    WorkerState,
    select,
)

LIMIT = 100
_TASK_STATES = {
    events.WAITING: "PENDING_ARGS_AVAIL",
    events.READY: "PENDING_NODE_ASSIGNMENT",
    events.RUNNING: "RUNNING",
    events.FINISHED: "FINISHED",
    events.FAILED: "FAILED",
    events.CANCELLED: "FAILED",
}
_TASK_TYPES = {
    events.TASK: "NORMAL_TASK",
    events.ACTOR: "ACTOR_CREATION_TASK",
    events.CALL: "ACTOR_TASK",
}
_ACTOR_STATES = {"PENDING": "PENDING_CREATION"}


def list_tasks(
    *,
    filters: Sequence[Filter] | None = None,
    limit: int = LIMIT,
    cell: int | str | None = None,
    **others: Any,
) -> list[TaskState]:
    """Tasks, actors' creations and calls, at most `limit`: live ones first, the latest first.

    `cell` limits them to what one cell of a notebook caused, by its number or id; the filter
    ("cell", "=", 3) does the same. Raises RayStateApiException for a filter that makes no sense.
    """
    of_cell = "" if cell is None else _cell_id(cell)
    named = [_by_cell_id(given) for given in filters or ()]
    return select(TaskState, _tasks(of_cell), named, limit, others)


def _by_cell_id(given: Filter) -> Filter:
    return (*given[:2], _cell_id(given[2])) if given[0] == "cell" and len(given) == 3 else given


def _cell_id(cell: Any) -> str:
    """A cell's id from its number, its prompt or its id."""
    text = str(cell)
    digits = text[3:-1] if text.startswith("In[") and text.endswith("]") else text
    if isinstance(cell, bool) or not digits.isdecimal():
        if not isinstance(cell, str) or not cell:
            raise RayStateApiException(f"a cell is given by its number or id, not as {cell!r}")
        return cell
    if context.cell_numbered is None:
        if digits != text:
            return text
        raise RayStateApiException(
            f"there is no cell {digits}: cells have numbers where the notebook extension is loaded "
            "(%load_ext raykernel)"
        )
    found = context.cell_numbered(int(digits))
    if not found:
        raise RayStateApiException(f"no cell ran as In[{digits}] since %load_ext raykernel")
    return found


def list_actors(
    *, filters: Sequence[Filter] | None = None, limit: int = LIMIT, **others: Any
) -> list[ActorState]:
    """Actors, dead ones as long as the head remembers them."""
    engine = api.auto_init()
    rows = [
        ActorState(
            actor_id=one["actor_id"],
            class_name=one["class_name"],
            state=_ACTOR_STATES.get(one["state"], one["state"]),
            name=one["name"],
            ray_namespace=one["namespace"],
            job_id=_job(engine),
            node_id=one.get("node_id", engine.node),
            pid=one["pid"],
            num_restarts=one["restarts"],
            num_pending_calls=one["queued"],
            death_cause=one["reason"] or None,
        )
        for one in engine.query("actors")
    ]
    return select(ActorState, rows, filters, limit, others)


def list_objects(
    *, filters: Sequence[Filter] | None = None, limit: int = LIMIT, **others: Any
) -> list[ObjectState]:
    """Objects to which there are references."""
    engine = api.auto_init()
    held = {one["object_id"]: one["holders"] for one in engine.query("memory")}
    rows = [
        ObjectState(
            object_id=one["object_id"],
            object_size=one["size"],
            task_status="FINISHED" if one["ready"] else "PENDING",
            in_shared_memory=one["shared"],
            reference_count=one["references"],
            pins=one["pins"],
            where=one["where"],
            holders=held.get(one["object_id"], []),
        )
        for one in engine.query("objects")
    ]
    return select(ObjectState, rows, filters, limit, others)


def list_workers(
    *, filters: Sequence[Filter] | None = None, limit: int = LIMIT, **others: Any
) -> list[WorkerState]:
    """Worker processes that run or are being started."""
    engine = api.auto_init()
    rows = [
        WorkerState(
            worker_id=one["worker_id"],
            is_alive=one["state"] != "STARTING",
            worker_type="WORKER",
            state=one["state"],
            pid=one["pid"],
            node_id=one.get("node_id", engine.node),
            actor_id=one["actor_id"] or None,
            num_tasks=one["tasks"],
        )
        for one in engine.query("workers")
    ]
    return select(WorkerState, rows, filters, limit, others)


def list_nodes(
    *, filters: Sequence[Filter] | None = None, limit: int = LIMIT, **others: Any
) -> list[NodeState]:
    """The machines of the session: one, or those of the Ray cluster."""
    rows = [
        NodeState(
            node_id=one["NodeID"],
            node_ip=one["NodeManagerAddress"],
            node_name=one["NodeManagerHostname"],
            is_head_node="node:__internal_head__" in one["Resources"],
            state="ALIVE" if one["Alive"] else "DEAD",
            resources_total=one["Resources"],
        )
        for one in api.nodes()
    ]
    return select(NodeState, rows, filters, limit, others)


def list_placement_groups(
    *, filters: Sequence[Filter] | None = None, limit: int = LIMIT, **others: Any
) -> list[PlacementGroupState]:
    """Placement groups, removed ones as long as the head remembers them."""
    rows = [
        PlacementGroupState(
            placement_group_id=one["placement_group_id"],
            name=one["name"],
            state=one["state"],
            strategy=one["strategy"],
            bundles=list(one["bundles"]),
        )
        for one in api.auto_init().query("groups")
    ]
    return select(PlacementGroupState, rows, filters, limit, others)


def get_task(id: Any, **others: Any) -> TaskState | None:
    """The task of a hex id or of a ref; None if there is none, or it is forgotten."""
    wanted = id if isinstance(id, str) else id.task_id().hex()
    return next((row for row in _tasks() if row.task_id == wanted), None)


def get_actor(id: str, **others: Any) -> ActorState | None:
    """The actor of a hex id; None if there is none, or it is forgotten."""
    return next(iter(list_actors(filters=[("actor_id", "=", id)])), None)


def get_objects(id: str, **others: Any) -> list[ObjectState]:
    """The object of a hex id; empty if nothing refers to it."""
    return list_objects(filters=[("object_id", "=", id)])


def get_worker(id: str, **others: Any) -> WorkerState | None:
    """The worker process of a hex id; None if it doesn't run."""
    return next(iter(list_workers(filters=[("worker_id", "=", id)])), None)


def get_node(id: str, **others: Any) -> NodeState | None:
    """The machine of a hex id; None if it isn't this one."""
    return next(iter(list_nodes(filters=[("node_id", "=", id)])), None)


def get_placement_group(id: str, **others: Any) -> PlacementGroupState | None:
    """The placement group of a hex id; None if there is none, or it is forgotten."""
    return next(iter(list_placement_groups(filters=[("placement_group_id", "=", id)])), None)


def summarize_actors(**others: Any) -> dict[str, Any]:
    """How many actors of each class are in each state, as Ray nests it."""
    rows = list_actors(limit=sys.maxsize)
    summary: dict[str, dict[str, Any]] = {}
    for row in rows:
        group = summary.setdefault(
            row.class_name, {"class_name": row.class_name, "state_counts": Counter()}
        )
        group["state_counts"][row.state] += 1
    return {"cluster": {"summary": summary, "total_actors": len(rows), "summary_by": "class"}}


def summarize_tasks(**others: Any) -> dict[str, Any]:
    """How many tasks of each function are in each state, as Ray nests it."""
    rows = _tasks()
    summary: dict[str, dict[str, Any]] = {}
    for row in rows:
        group = summary.setdefault(
            row.func_or_class_name,
            {"func_or_class_name": row.func_or_class_name, "type": row.type, "state_counts": {}},
        )
        counts = group["state_counts"]
        counts[row.state] = counts.get(row.state, 0) + 1
    totals = Counter(row.type for row in rows)
    return {
        "cluster": {
            "summary": summary,
            "total_tasks": totals["NORMAL_TASK"],
            "total_actor_tasks": totals["ACTOR_TASK"],
            "total_actor_scheduled": totals["ACTOR_CREATION_TASK"],
            "summary_by": "func_name",
        }
    }


def _tasks(cell: str = "") -> list[TaskState]:
    engine = api.auto_init()
    found: list[events.TaskInfo] = engine.query("tasks", cell=cell)
    node = engine.node if engine.name != "ray" else ""
    return [_task(one, _job(engine), node) for one in reversed(found)]


def _task(one: events.TaskInfo, job: str, node: str) -> TaskState:
    cancelled = one.state == events.CANCELLED
    return TaskState(
        task_id=one.id,
        name=one.name,
        state=_TASK_STATES[one.state],
        type=_TASK_TYPES[one.kind],
        func_or_class_name=one.name,
        job_id=job,
        node_id=node,
        actor_id=one.actor or None,
        parent_task_id=one.parent or None,
        worker_pid=int(one.worker) if one.worker else None,
        error_type="TASK_CANCELLED" if cancelled else None,
        error_message=one.error or None,
        creation_time_ms=_milliseconds(one.submitted),
        start_time_ms=_milliseconds(one.started),
        end_time_ms=_milliseconds(one.ended),
        cell=one.cell or None,
    )


def _milliseconds(moment: float) -> int | None:
    return round(moment * 1000) if moment else None


def _job(engine: Any) -> str:
    job = engine.job
    return job.hex() if isinstance(job, bytes) else str(job)


__all__ = [
    *("ActorState", "NodeState", "ObjectState", "PlacementGroupState", "RayStateApiException"),
    *("TaskState", "WorkerState", "get_actor", "get_node", "get_objects", "get_placement_group"),
    *("get_task", "get_worker", "list_actors", "list_nodes", "list_objects"),
    *("list_placement_groups", "list_tasks", "list_workers", "summarize_actors"),
    "summarize_tasks",
]


def __getattr__(name: str) -> Any:
    if name.startswith(("list_", "get_", "summarize_")):
        raise AttributeError(
            f"raykernel.util.state has no {name!r}: on one machine there are "
            f"{', '.join(n for n in __all__ if n.islower())}"
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
