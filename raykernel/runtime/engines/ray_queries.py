"""Answers to queries where Ray runs the tasks: from the driver's table and from what Ray tells.

What neither knows is left out, or told as unknown (-1, "", None): a worker process has no table,
and Ray keeps no list of who holds which object. Of objects: ray_objects.py.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from raykernel.runtime import context, resources
from raykernel.runtime.connection import RequestFailed
from raykernel.runtime.engines import ray_names, ray_objects
from raykernel.runtime.engines.ray_refs import Entry
from raykernel.runtime.engines.ray_table import Table
from raykernel.runtime.events import CALL, LIVE, TaskInfo
from raykernel.runtime.ids import weak_id
from raykernel.runtime.logfiles import LogEntry

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray import RayEngine

Answer = Callable[["RayEngine", dict[str, Any]], Any]


def answer(engine: RayEngine, what: str, filters: dict[str, Any]) -> Any:
    """Raises RequestFailed."""
    question = _ANSWERS.get(what)
    if question is None:
        raise RequestFailed(f"not offered on Ray: the query {what!r}")
    return question(engine, filters)


def _table(engine: RayEngine) -> Table:
    return engine.table


# -- tasks -----------------------------------------------------------------------------------------


def _tasks(engine: RayEngine, filters: dict[str, Any]) -> list[TaskInfo]:
    with engine.lock:
        return [msgspec.structs.replace(t) for t in _table(engine).cell(filters.get("cell", ""))]


def _task(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any] | None:
    task = filters["task"]
    with engine.lock:
        table = _table(engine)
        found = table.find(task)
        if found is None:
            return None
        told: dict[str, Any] = msgspec.structs.asdict(found)
        spec = table.specs.get(task)
        attempt = table.attempts.get(task, 0)
    return {
        **told,
        "attempt": attempt,
        "retries": spec[1] if spec is not None else -1,
        "resources": resources.describe(spec[0]) if spec is not None else "unknown",
    }


def _task_kind(engine: RayEngine, filters: dict[str, Any]) -> str:
    for index in (b"\1\0\0\0",):
        entry = engine.client.refs.get(filters["task"] + index)
        if entry is not None:
            return entry.kind
    with engine.lock:
        found = _table(engine).live.get(filters["task"].hex())
    return found.kind if found is not None else ""


def _live_cells(engine: RayEngine, filters: dict[str, Any]) -> dict[str, int]:
    with engine.lock:
        return _table(engine).live_cells()


def _background(engine: RayEngine, filters: dict[str, Any]) -> int:
    return engine.background(filters["cell"])


def _failure(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    from raykernel.runtime.messages import ErrorRecord

    value = engine.client.peek(bytes.fromhex(filters["task"]) + b"\1\0\0\0")
    if value is None or not value.error:
        return {}
    record = msgspec.msgpack.decode(value.data, type=ErrorRecord)
    return {"message": record.message, "text": record.text, "name": record.name, "pid": record.pid}


# -- actors ----------------------------------------------------------------------------------------


def actor_states(engine: RayEngine) -> dict[str, dict[str, Any]]:
    """What Ray tells of its actors, by its ids; empty where it can't be asked."""
    try:
        state = importlib.import_module(f"{engine.client.ray.__name__}._private.state")
        found: dict[str, dict[str, Any]] = state.actors()
    except Exception:
        return {}
    return found


def _process(actor: dict[str, Any]) -> tuple[str, int]:
    """The node and process of one of `actor_states`."""
    return actor.get("Address", {}).get("NodeID", ""), int(actor.get("Pid") or 0)


def _ended(actor: dict[str, Any]) -> bool:
    """Whether that process is one that was."""
    return actor["State"] in ("DEAD", "RESTARTING")


_ACTOR_STATES = {"DEPENDENCIES_UNREADY": "PENDING", "PENDING_CREATION": "PENDING"}


def _actors(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    told = actor_states(engine)
    by_process = {_process(one): one for one in told.values()}
    with engine.lock:
        table = _table(engine)
        made = [t for t in (*table.ended.values(), *table.live.values()) if t.kind == "actor"]
        calls: dict[str, int] = {}
        for task in table.live.values():
            if task.kind == CALL:
                calls[task.actor] = calls.get(task.actor, 0) + 1
        spaces = {t.id: table.namespaces.get(t.id, "") for t in made}
        nodes = {w["pid"]: node for (node, _), w in table.workers.items()}
        dead = dict(engine.dead_actors)
    out = []
    for info in made:
        entry = engine.client.actor(bytes.fromhex(info.actor))
        pid = int(info.worker or 0)
        one = {}
        if entry is not None:
            one = told.get(entry.ref._actor_id.hex(), {})
        one = one or by_process.get((nodes.get(pid, ""), pid), {})
        state = str(one.get("State") or "")
        state = _ACTOR_STATES.get(state, state)
        if not state:
            state = "DEAD" if info.actor in dead else "PENDING" if info.state in LIVE else "UNKNOWN"
        out.append(
            {
                "actor_id": info.actor,
                "class_name": info.name,
                "name": str(one.get("Name") or ""),
                "namespace": spaces.get(info.id, ""),
                "state": state,
                "pid": int(one.get("Pid") or pid),
                "restarts": int(one.get("NumRestarts") or 0),
                "queued": calls.get(info.actor, 0),
                "cell": info.cell,
                "reason": str(one.get("DeathCause") or "")
                or info.error
                or dead.get(info.actor, ""),
                "node_id": str(one.get("Address", {}).get("NodeID") or ""),
            }
        )
    return out


def _claim_name(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    """Ray keeps the names, and says at the creation if somebody was quicker."""
    found = ray_names.find(engine.client.ray, filters["name"], filters["namespace"])
    if found is None:
        return {"actor": filters["actor"]}
    return {"actor": found[1] or b"?"}


def _find_actor(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    found = ray_names.find(engine.client.ray, filters["name"], filters["namespace"])
    if found is None:
        return {"actor": b"", "meta": b""}
    handle, actor, meta = found
    if not actor:
        raise RequestFailed(
            f"the actor {filters['name']!r} was made with Ray itself: use ray.get_actor of Ray"
        )
    key = weak_id(actor)
    if key not in engine.client.refs:
        engine.client.refs.new(key, Entry(handle, 1, "", actor, "actor"))
    return {"actor": actor, "meta": meta}


def _named_actors(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, str]]:
    ray = engine.client.ray
    every = ray.util.list_named_actors(all_namespaces=True)
    wanted = filters.get("namespace", "")
    hidden = ray_names.NAMESPACE
    return [
        {"name": one["name"], "namespace": one["namespace"]}
        for one in every
        if one["namespace"] != hidden
        and (filters.get("all_namespaces", False) or one["namespace"] == wanted)
    ]


def _actor_state(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    actor: bytes = filters["actor"]
    if context.creation is not None and context.creation.actor == actor:
        again = engine.client.ray.get_runtime_context().was_current_actor_reconstructed
        return {"state": "ALIVE", "restarts": int(again), "handles": -1, "pid": 0, "name": "",
                "queued": -1}  # fmt: skip
    entry = engine.client.actor(actor)
    one = actor_states(engine).get(entry.ref._actor_id.hex(), {}) if entry is not None else {}
    state = str(one.get("State") or "UNKNOWN")
    return {
        "state": _ACTOR_STATES.get(state, state),
        "restarts": int(one.get("NumRestarts") or 0),
        "handles": entry.count if entry is not None else 0,
        "pid": int(one.get("Pid") or 0),
        "name": str(one.get("Name") or ""),
        "queued": -1,
    }


def _obituary(engine: RayEngine, filters: dict[str, Any]) -> bytes:
    return engine.obituary(filters["actor"])


# -- the cluster -----------------------------------------------------------------------------------


def _nodes(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = engine.client.ray.nodes()
    return found


def _awaited(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """What no node can run: an autoscaler may be bringing one up that can."""
    counts: dict[str, int] = {}
    for one in engine.watcher.awaited if engine.watcher is not None else ():
        counts[one.needs] = counts.get(one.needs, 0) + one.tasks
    return [{"has": needs, "tasks": count} for needs, count in counts.items()]


def _resources(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    ray = engine.client.ray
    return {"total": ray.cluster_resources(), "available": ray.available_resources()}


def _workers(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that ran a task of this session, without processes of actors that have ended: Ray tells
    of no others without its dashboard."""
    told = sorted(actor_states(engine).values(), key=_ended, reverse=True)
    ended = {_process(one): _ended(one) for one in told}  # a process's last word is a living one's
    with engine.lock:
        known = [dict(one) for one in _table(engine).workers.values()]
    newest = {one["actor_id"]: one for one in known}  # of an actor that was started again
    found = [
        one
        for one in known
        if not one["actor_id"]
        or (newest[one["actor_id"]] is one and not ended.get((one["node_id"], one["pid"])))
    ]
    for one in found:
        one["state"] = "RUNNING" if one["tasks"] else "ACTOR" if one["actor_id"] else "IDLE"
    return found


def _store(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    told = _resources(engine, {})
    capacity = told["total"].get("object_store_memory", 0)
    free = told["available"].get("object_store_memory", capacity)
    return {"capacity": int(capacity), "used": int(capacity - free), "objects": engine.client.known}


def _groups(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for told in engine.client.ray.util.placement_group_table().values():
        bundles = told.get("bundles", {})
        nodes = told.get("bundles_to_node_id", {})
        order = sorted(bundles, key=int)
        out.append(
            {
                "placement_group_id": told["placement_group_id"],
                "name": told.get("name", ""),
                "strategy": told.get("strategy", ""),
                "state": told.get("state", ""),
                "bundles": [dict(bundles[i]) for i in order],
                "bundles_to_node_id": [nodes.get(i, "") for i in order],
                "stats": dict(told.get("stats", {})),
            }
        )
    return out


def _logs(engine: RayEngine, filters: dict[str, Any]) -> list[LogEntry]:
    """Of the output that came here: Ray's log files lie on its nodes."""
    wanted = re.compile(filters["grep"]) if filters.get("grep") else None
    actors = None if filters.get("actors") is None else set(filters["actors"])
    task, name, cell = (filters.get(key) or "" for key in ("task", "name", "cell"))
    with engine.lock:
        table = _table(engine)
        lines = list(table.lines)
        owners = {line.task: found for line in lines if (found := table.find(line.task))}
    entries = []
    for line in lines:
        owner = owners.get(line.task)
        actor = owner.actor if owner is not None else ""
        if (
            (line.task.startswith(task) or line.task.endswith(task))
            and (not name or name in (line.name, line.name.rpartition(".")[0]))
            and (not cell or line.cell == cell)
            and (actors is None or actor in actors)
        ):
            moment = owner.started if owner is not None else 0.0
            entries += [
                LogEntry(text, moment, line.stream, int(line.worker or 0), line.task, line.name,
                         line.cell, actor)
                for text in line.text.splitlines()
                if wanted is None or wanted.search(text)
            ]  # fmt: skip
    return entries[-(filters.get("tail") or 100) :]


def _nothing(engine: RayEngine, filters: dict[str, Any]) -> None:
    return None


_ANSWERS: dict[str, Answer] = {
    "tasks": _tasks,
    "task": _task,
    "task_kind": _task_kind,
    "live_cells": _live_cells,
    "background": _background,
    "failure": _failure,
    "actors": _actors,
    "actor_state": _actor_state,
    "claim_name": _claim_name,
    "unclaim_name": _nothing,
    "find_actor": _find_actor,
    "named_actors": _named_actors,
    "obituary": _obituary,
    "nodes": _nodes,
    "awaited": _awaited,
    "resources": _resources,
    "workers": _workers,
    "store": _store,
    "objects": ray_objects.listed,
    "object": ray_objects.one,
    "held": ray_objects.held,
    "memory": ray_objects.memory,
    "groups": _groups,
    "logs": _logs,
    "name_object": ray_objects.name,
    "find_object": ray_objects.find,
    "forget_object": ray_objects.forget,
    "named_objects": ray_objects.named,
    "settle_down": _nothing,
    "life": lambda engine, filters: {"ttl": 0.0, "drivers": 1, "idle_since": 0.0, "background": []},
}
