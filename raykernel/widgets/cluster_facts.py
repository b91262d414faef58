"""What the cluster panel shows, asked of the engine and of the machine. Blocks for round trips."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import psutil

from raykernel.amounts import size

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

ROWS = 200  # workers and actors each


def gather(engine: Engine) -> dict[str, Any]:
    """One moment of a session, as JSON. Raises what the engine raises once it is gone."""
    resources = engine.query("resources")
    actors = engine.query("actors")
    known = engine.query("workers")
    pids = [one["pid"] for one in known]
    # where the session runs on one machine, that tells how it fares, and its workers
    told = engine.query("machine", pids=pids) if engine.name in ("local", "remote") else None
    machine = told or _here()
    rows = [_actor(one) for one in actors]
    rows.sort(key=lambda row: row["state"] == "DEAD")
    workers = [_worker(one, rows, told) for one in known]
    return {
        "session": engine.session,
        "engine": engine.name,
        "resources": {
            name: [round(total - resources["available"].get(name, 0.0), 4), total]
            for name, total in resources["total"].items()
            if not name.startswith("node:") and name != "object_store_memory"
        },
        "machine": {name: machine[name] for name in ("memory", "cpus", "load")},
        "store": engine.query("store"),
        "nodes": _nodes(engine, resources["total"], told),
        "workers": workers[:ROWS],
        "worker_count": len(workers),
        "worker_states": Counter(worker["state"] for worker in workers),
        "actors": rows[:ROWS],
        "actor_count": len(rows),
        "actor_states": Counter(row["state"].lower() for row in rows),
    }


def _here() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "memory": [memory.total - memory.available, memory.total],
        "cpus": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
    }


def _worker(
    one: dict[str, Any], actors: list[dict[str, Any]], told: dict[str, Any] | None
) -> dict[str, Any]:
    actor = one.get("actor_id") or ""
    name = next((row["class"] for row in actors if actor and row["id"] == actor), "")
    return {
        "pid": one["pid"],
        "state": one["state"].lower(),
        "tasks": one["tasks"],
        "actor": name,
        **(
            {"memory": -1, "cpu": -1.0}  # nobody tells
            if told is None
            else told["processes"].get(str(one["pid"]), {"memory": 0, "cpu": 0.0})
        ),
    }


def _nodes(
    engine: Engine, session: dict[str, float], told: dict[str, Any] | None
) -> list[dict[str, Any]]:
    """Those that are there, and those that tasks wait for."""
    rows = [_node(one, session, told) for one in engine.query("nodes")]
    for one in engine.query("awaited") if engine.name == "ray" else ():
        waits = "1 task waits" if one["tasks"] == 1 else f"{one['tasks']:,} tasks wait"
        has = f"{one['has']}: {waits} for it"
        rows.append({"id": "", "state": "awaited", "has": has, "load": ""})
    return rows


def _node(
    one: dict[str, Any], session: dict[str, float], told: dict[str, Any] | None
) -> dict[str, Any]:
    """`has` and `load` in words: of a cluster's machines nobody tells the load."""
    has = one.get("Resources") or (session if one.get("Alive", True) else {})
    load = "unknown"
    if told is not None and told["load"]:
        cores = told["cpus"]
        load = f"{told['load']:.3g} on {cores} core{'s' if cores != 1 else ''}"
    return {
        "id": one.get("NodeID", ""),
        "state": "alive" if one.get("Alive", True) else "dead",
        "has": ", ".join(
            f"{size(n)} memory" if name == "memory" else f"{n:g} {name}"
            for name, n in sorted(has.items(), key=lambda item: (item[0] != "CPU", item[0]))
            if not name.startswith("node:") and name != "object_store_memory"
        ),
        "load": load,
    }


def _actor(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": one.get("actor_id", ""),
        "class": one.get("class_name", ""),
        "name": one.get("name", ""),
        "state": one["state"],
        "restarts": one.get("restarts", 0),
        "queued": one.get("queued", 0),
        "pid": one.get("pid", 0),
        "reason": str(one.get("reason", ""))[:300],
    }
