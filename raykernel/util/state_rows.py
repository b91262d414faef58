"""The rows that ray.util.state lists, and how they are filtered."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

#: (key, "=" or "!=", value), compared as text without regard to case.
Filter = tuple[str, str, Any]


class RayStateApiException(Exception):
    """The question makes no sense: an unknown key or predicate."""


class _Row:
    """Fields as attributes and as items."""

    def __getitem__(self, key: str) -> Any:
        try:
            return getattr(self, key)
        except AttributeError:
            raise KeyError(key) from None

    def get(self, key: str, default: Any = None) -> Any:
        return getattr(self, key, default)

    def asdict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)  # type: ignore[call-overload,no-any-return]  # every heir is a dataclass


@dataclasses.dataclass(frozen=True)
class TaskState(_Row):
    """`error_type` is None also where the engine doesn't say what kind of failure it was, `node_id`
    "" where it doesn't say which node. `cell` is the id of the notebook's cell that caused the
    task, also through other tasks."""

    task_id: str
    name: str
    state: str
    type: str
    func_or_class_name: str
    job_id: str
    node_id: str
    actor_id: str | None
    parent_task_id: str | None
    worker_pid: int | None
    error_type: str | None
    error_message: str | None
    creation_time_ms: int | None
    start_time_ms: int | None
    end_time_ms: int | None
    cell: str | None


@dataclasses.dataclass(frozen=True)
class ActorState(_Row):
    actor_id: str
    class_name: str
    state: str
    name: str
    ray_namespace: str
    job_id: str
    node_id: str
    pid: int
    num_restarts: int
    num_pending_calls: int
    death_cause: str | None


@dataclasses.dataclass(frozen=True)
class ObjectState(_Row):
    """`object_size` is in bytes; `where` is "memory" (shared), "disk", "inline" (in the head) or
    "pending". On a Ray cluster it is "", and `in_shared_memory` None: nobody tells. `holders` are
    dicts with role, pid, name, references and pins of who holds it."""

    object_id: str
    object_size: int
    task_status: str
    in_shared_memory: bool | None
    reference_count: int
    pins: int
    where: str
    holders: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class WorkerState(_Row):
    worker_id: str
    is_alive: bool
    worker_type: str
    state: str
    pid: int
    node_id: str
    actor_id: str | None
    num_tasks: int


@dataclasses.dataclass(frozen=True)
class NodeState(_Row):
    node_id: str
    node_ip: str
    node_name: str
    is_head_node: bool
    state: str
    resources_total: dict[str, float]


@dataclasses.dataclass(frozen=True)
class PlacementGroupState(_Row):
    placement_group_id: str
    name: str
    state: str
    strategy: str
    bundles: list[dict[str, float]]


Row = TypeVar("Row", bound=_Row)


def select(
    kind: type[Row],
    rows: Iterable[Row],
    filters: Sequence[Filter] | None,
    limit: int,
    others: dict[str, Any],
) -> list[Row]:
    unknown = set(others) - {"address", "timeout", "detail", "raise_on_missing_output"}
    if unknown:
        raise TypeError(f"unexpected keyword argument(s): {', '.join(sorted(unknown))}")
    keys = [field.name for field in dataclasses.fields(kind)]  # type: ignore[arg-type]  # every heir is a dataclass
    for given in filters or ():
        if len(given) != 3 or given[1] not in ("=", "!="):
            raise RayStateApiException(
                f'the filter {given!r} must be (key, "=" or "!=", value), and values are compared '
                "as text"
            )
        if given[0] not in keys:
            raise RayStateApiException(f"can't filter by {given[0]!r}: there are {', '.join(keys)}")
    kept = [row for row in rows if all(_fits(row, given) for given in filters or ())]
    return kept[:limit]


def _fits(row: _Row, given: Filter) -> bool:
    key, predicate, value = given
    return (str(row[key]).lower() == str(value).lower()) == (predicate == "=")


__all__ = [
    "ActorState",
    "Filter",
    "NodeState",
    "ObjectState",
    "PlacementGroupState",
    "RayStateApiException",
    "TaskState",
    "WorkerState",
    "select",
]
