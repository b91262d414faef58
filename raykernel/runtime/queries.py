"""Answers to `Query` messages, from the head's tables. Plain data that msgpack can carry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from . import holdings, resources
from .events import TaskInfo
from .feed import info
from .groups import Group, GroupState
from .ids import handle_id, is_handle, return_id
from .messages import CREATION, ErrorRecord
from .records import ActorState, Client, Worker

if TYPE_CHECKING:
    from .scheduler import Scheduler


class BadQuery(Exception):
    """The question can't be answered; the text says why."""


Answer = Callable[["Scheduler", Client, dict[str, Any]], Any]


def answer(core: Scheduler, client: Client, what: str, filters: dict[str, Any]) -> Any:
    """The answer to one question. Raises BadQuery."""
    question = _ANSWERS.get(what)
    if question is None:
        raise BadQuery(f"unknown query {what!r}; known are {', '.join(sorted(_ANSWERS))}")
    return question(core, client, filters)


def _tasks(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[TaskInfo]:
    cell = filters.get("cell", "")
    # an actor that is being restarted has a creation that has ended and lives
    tasks = {t.spec.id: t for t in (*core.feed.ended, *core.tasks.values())}
    return [info(t) for t in tasks.values() if not cell or t.spec.cell == cell]


def _one_task(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any] | None:
    """All there is to say about one task, None if it is not known (any more)."""
    try:
        wanted = bytes.fromhex(filters["task"])
    except (KeyError, TypeError, ValueError):
        raise BadQuery("task= must be the hex id of a task") from None
    task = core.tasks.get(wanted)
    if task is None:
        task = next((t for t in reversed(core.feed.ended) if t.spec.id == wanted), None)
    if task is None:
        return None
    told: dict[str, Any] = msgspec.structs.asdict(info(task))
    return {
        **told,
        "attempt": task.attempt,
        "retries": task.retries,
        "resources": resources.describe(task.spec.resources),
    }


def _actors(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for actor in core.actors.actors.values():
        options = actor.options
        worker = actor.worker
        out.append(
            {
                "actor_id": actor.id.hex(),
                "class_name": options.class_name,
                "name": options.name,
                "namespace": options.namespace,
                "state": actor.state.name,
                "pid": worker.pid if worker is not None else 0,
                "restarts": actor.restarts,
                "queued": actor.pending + (len(worker.inflight) if worker is not None else 0),
                "cell": actor.creation.spec.cell,
                "reason": actor.death.message if actor.death is not None else "",
            }
        )
    return out


def _workers(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    return [_worker(w) for w in core.dispatcher.workers.values()]


def _worker(worker: Worker) -> dict[str, Any]:
    if not worker.connected:
        state = "STARTING"
    elif worker.actor is not None:
        state = "ACTOR"
    elif worker.blocked:
        state = "BLOCKED"
    else:
        state = "RUNNING" if worker.inflight else "IDLE"
    return {
        "worker_id": worker.id.hex(),
        "pid": worker.pid,
        "state": state,
        "tasks": len(worker.inflight),
        "actor_id": worker.actor.id.hex() if worker.actor is not None else "",
    }


def _objects(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """As `holdings.memory` lists them, without who holds what."""
    out = []
    for object_id, entry in core.store.objects.items():
        if is_handle(object_id):
            continue
        value = entry.value
        out.append(
            {
                "object_id": object_id.hex(),
                "size": holdings.size_of(value),
                "ready": value is not None,
                "shared": value is not None and value.offset >= 0,
                "references": entry.count,
                "pins": core.store.pins(entry),
                "where": holdings.place(value),
            }
        )
    return out


def _memory(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """See `holdings.memory`; `limit`: that many, the largest."""
    return holdings.memory(core)[: filters.get("limit")]


def _nodes(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "NodeID": core.welcome.node,
            "Alive": True,
            "Resources": _amounts(core.pool.total),
        }
    ]


def _resources(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    free = {k: n for k, n in core.pool.free.items() if n > 0}
    return {"total": _amounts(core.pool.total), "available": _amounts(free)}


def _amounts(units: dict[str, int]) -> dict[str, float]:
    return {name: resources.to_float(n) for name, n in units.items()}


def _store(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    return core.room.figures()


def _claim_name(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    """Reserve an actor's name before its creation; who was first wins."""
    mine: bytes = filters["actor"]
    owner = core.actors.claim(filters["namespace"], filters["name"], mine, client.id)
    if owner == mine:
        return {"actor": mine, "meta": b""}
    return _handle(core, owner)


def _unclaim_name(core: Scheduler, client: Client, filters: dict[str, Any]) -> None:
    core.actors.unclaim(filters["actor"])


def _find_actor(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    owner = core.actors.names.get((filters["namespace"], filters["name"]))
    return {"actor": b"", "meta": b""} if owner is None else _handle(core, owner)


def _handle(core: Scheduler, actor_id: bytes) -> dict[str, Any]:
    actor = core.actors.actors.get(actor_id)
    if actor is None:  # claimed, its creation is on the way
        return {"actor": actor_id, "meta": b""}
    return {"actor": actor_id, "meta": actor.options.meta}


def _task_kind(core: Scheduler, client: Client, filters: dict[str, Any]) -> str:
    """ "" for a task that is over."""
    task = core.tasks.get(filters["task"])
    return info(task).kind if task is not None else ""


def _named_actors(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, str]]:
    every = filters.get("all_namespaces", False)
    return [
        {"name": name, "namespace": namespace}
        for namespace, name in core.actors.names
        if every or namespace == filters.get("namespace", "")
    ]


def _actor_state(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    actor = core.actors.actors.get(filters["actor"])
    if actor is None:
        return {"state": ActorState.DEAD.name, "restarts": 0, "handles": 0}
    handle = core.store.objects.get(handle_id(actor.id))
    return {
        "state": actor.state.name,
        "restarts": actor.restarts,
        "handles": handle.count if handle is not None else 0,
        "pid": actor.worker.pid if actor.worker is not None else 0,
        "name": actor.options.name,
        "queued": actor.pending,
    }


def _name_object(core: Scheduler, client: Client, filters: dict[str, Any]) -> None:
    core.named.give(filters["namespace"], filters["name"], filters["object"])


def _find_object(core: Scheduler, client: Client, filters: dict[str, Any]) -> bytes:
    """The client holds what it is told; see `NamedObjects.lend`."""
    return core.named.lend(client, filters["namespace"], filters["name"])


def _forget_object(core: Scheduler, client: Client, filters: dict[str, Any]) -> bool:
    return core.named.take(filters["namespace"], filters["name"])


def _named_objects(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[Any]:
    return core.named.listed()


def _life(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    return {
        "ttl": core.life.ttl,
        "drivers": core.life.drivers,
        "idle_since": core.life.idle_since,
        "background": sorted(core.background),
    }


def _live_cells(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, int]:
    """How many unfinished tasks each cell has."""
    found: dict[str, int] = {}
    for task in core.tasks.values():
        if task.spec.kind != CREATION:
            found[task.spec.cell] = found.get(task.spec.cell, 0) + 1
    return found


def _settle_down(core: Scheduler, client: Client, filters: dict[str, Any]) -> None:
    core.life.ttl = filters["ttl"]
    core.life.home = (filters["kernel"], filters["notebook"])


def _background(core: Scheduler, client: Client, filters: dict[str, Any]) -> int:
    """Put a cell in the background; how many of its tasks are unfinished."""
    core.background.add(filters["cell"])
    return _live_cells(core, client, {}).get(filters["cell"], 0)


def _end(core: Scheduler, client: Client, filters: dict[str, Any]) -> bool:
    """End the session, unless another driver uses it. Whether it ends."""
    return core.end_unless_used()


def _groups(core: Scheduler, client: Client, filters: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "placement_group_id": group.id.hex(),
            "name": group.name,
            "strategy": group.strategy,
            "state": group.state.name,
            "bundles": [_amounts(b.total) for b in group.bundles],
            "bundles_to_node_id": [core.welcome.node if group.created else ""] * len(group.bundles),
            "stats": _group_stats(group),
        }
        for group in core.dispatcher.groups.groups.values()
    ]


def _group_stats(group: Group) -> dict[str, Any]:
    """Ray's words for how far a group has come. It is tried whenever resources come free, which
    counts as one attempt that lasts."""
    state = {GroupState.CREATED: "FINISHED", GroupState.REMOVED: "REMOVED"}.get(group.state)
    latency = max(group.created - group.submitted, 1e-6) * 1000 if group.created else 0.0
    return {
        "end_to_end_creation_latency_ms": latency,
        "scheduling_latency_ms": latency,
        "scheduling_attempt": 1,
        "highest_retry_delay_ms": 0.0,
        "scheduling_state": state or ("NO_RESOURCES" if group.feasible else "INFEASIBLE"),
    }


def _held(core: Scheduler, client: Client, filters: dict[str, Any]) -> int:
    """How many references to an object the asking process has; -1 if there is no such object."""
    object_id = filters["object"]
    return client.held.get(object_id, 0) if object_id in core.store.objects else -1


def _object(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    """One object as its ref is shown: what made it, and how far that is."""
    entry = core.store.objects.get(filters["object"])
    if entry is None:
        return {"state": "freed"}
    value, task = entry.value, entry.task
    state = "ready" if value is not None else "pending"
    error = ""
    if value is not None and value.error:
        state = "failed"
        error = msgspec.msgpack.decode(value.data, type=ErrorRecord).message
    return {
        "state": state,
        "size": 0 if value is None else max(value.size, len(value.data)),
        "shared": value is not None and value.offset >= 0,
        "function": task.spec.name if task is not None else "",
        "task_state": task.state.name if task is not None else "",
        "cell": task.spec.cell if task is not None else "",
        "error": task.error if task is not None and task.error else error,
    }


def _failure(core: Scheduler, client: Client, filters: dict[str, Any]) -> dict[str, Any]:
    """Why a task failed, as long as something refers to its result; else nothing."""
    entry = core.store.objects.get(return_id(bytes.fromhex(filters["task"]), 1))
    if entry is None or entry.value is None or not entry.value.error:
        return {}
    record = msgspec.msgpack.decode(entry.value.data, type=ErrorRecord)
    return {"message": record.message, "text": record.text, "name": record.name, "pid": record.pid}


_ANSWERS: dict[str, Answer] = {
    "tasks": _tasks,
    "task": _one_task,
    "actors": _actors,
    "workers": _workers,
    "objects": _objects,
    "memory": _memory,
    "nodes": _nodes,
    "resources": _resources,
    "store": _store,
    "claim_name": _claim_name,
    "unclaim_name": _unclaim_name,
    "find_actor": _find_actor,
    "named_actors": _named_actors,
    "actor_state": _actor_state,
    "task_kind": _task_kind,
    "failure": _failure,
    "held": _held,
    "object": _object,
    "groups": _groups,
    "name_object": _name_object,
    "find_object": _find_object,
    "forget_object": _forget_object,
    "named_objects": _named_objects,
    "life": _life,
    "settle_down": _settle_down,
    "background": _background,
    "live_cells": _live_cells,
    "end": _end,
}
