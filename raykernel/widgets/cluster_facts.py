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

_processes: dict[int, psutil.Process] = {}  # kept, since CPU use is counted from call to call


def gather(engine: Engine) -> dict[str, Any]:
    """One moment of a session, as JSON. Raises what the engine raises once it is gone."""
    resources = engine.query("resources")
    actors = engine.query("actors")
    local = engine.name == "local"
    machine = psutil.virtual_memory()
    rows = [_actor(one) for one in actors]
    rows.sort(key=lambda row: row["state"] == "DEAD")
    workers = [_worker(one, rows, local) for one in engine.query("workers")]
    live = {worker["pid"] for worker in workers}
    for pid in [pid for pid in _processes if pid not in live]:
        del _processes[pid]
    return {
        "session": engine.session,
        "engine": engine.name,
        "resources": {
            name: [round(total - resources["available"].get(name, 0.0), 4), total]
            for name, total in resources["total"].items()
            if not name.startswith("node:") and name != "object_store_memory"
        },
        "machine": {
            "memory": [machine.total - machine.available, machine.total],
            "cpus": os.cpu_count() or 1,
            "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        },
        "store": engine.query("store"),
        "nodes": _nodes(engine, resources["total"]),
        "workers": workers[:ROWS],
        "worker_count": len(workers),
        "worker_states": Counter(worker["state"] for worker in workers),
        "actors": rows[:ROWS],
        "actor_count": len(rows),
        "actor_states": Counter(row["state"].lower() for row in rows),
    }


def _worker(one: dict[str, Any], actors: list[dict[str, Any]], local: bool) -> dict[str, Any]:
    actor = one.get("actor_id") or ""
    name = next((row["class"] for row in actors if actor and row["id"] == actor), "")
    return {
        "pid": one["pid"],
        "state": one["state"].lower(),
        "tasks": one["tasks"],
        "actor": name,
        **(_process(one["pid"]) if local else {"memory": -1, "cpu": -1.0}),  # nobody tells
    }


def _nodes(engine: Engine, session: dict[str, float]) -> list[dict[str, Any]]:
    """Those that are there, and those that tasks wait for."""
    rows = [_node(one, session, engine.name == "local") for one in engine.query("nodes")]
    for one in engine.query("awaited") if engine.name == "ray" else ():
        waits = "1 task waits" if one["tasks"] == 1 else f"{one['tasks']:,} tasks wait"
        has = f"{one['has']}: {waits} for it"
        rows.append({"id": "", "state": "awaited", "has": has, "load": ""})
    return rows


def _node(one: dict[str, Any], session: dict[str, float], local: bool) -> dict[str, Any]:
    """`has` and `load` in words: of another machine nobody tells the load."""
    has = one.get("Resources") or (session if one.get("Alive", True) else {})
    load = "unknown"
    if local and hasattr(os, "getloadavg"):
        cores = os.cpu_count() or 1
        load = f"{os.getloadavg()[0]:.3g} on {cores} core{'s' if cores != 1 else ''}"
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


def _process(pid: int) -> dict[str, Any]:
    """Bytes of memory and share of a CPU of a process; zeros if it has just ended."""
    if not pid:
        return {"memory": 0, "cpu": 0.0}
    try:
        process = _processes.get(pid)
        if process is None:
            process = _processes[pid] = psutil.Process(pid)
        return {"memory": process.memory_info().rss, "cpu": round(process.cpu_percent() / 100, 2)}
    except psutil.Error:
        _processes.pop(pid, None)
        return {"memory": 0, "cpu": 0.0}
