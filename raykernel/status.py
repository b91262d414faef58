"""What a session has and does, in text."""

from __future__ import annotations

from collections import Counter
from typing import Any

from raykernel.amounts import size
from raykernel.runtime.engines.base import Engine
from raykernel.runtime.events import LIVE, STATES


def session_line(engine: Engine) -> str:
    """One sentence: name, CPUs, GPUs and memory."""
    total = engine.query("resources")["total"]
    parts = [_count(total.get("CPU", 0), "CPU")]
    if total.get("GPU"):
        parts.append(_count(total["GPU"], "GPU"))
    if total.get("memory"):
        parts.append(f"{size(total['memory'])} memory")
    store = engine.query("store").get("capacity", 0)
    if store:
        parts.append(f"{size(store)} for objects")
    return f"Session {engine.session}: {', '.join(parts)}."


def status_text(engine: Engine) -> str:
    """A line each for resources, objects, workers, tasks and actors."""
    resources = engine.query("resources")
    store = engine.query("store")
    tasks = Counter(task.state for task in engine.query("tasks"))
    actors = engine.query("actors")
    workers = engine.query("workers")
    live = sum(count for state, count in tasks.items() if state in LIVE)
    states = ", ".join(f"{tasks[state]:,} {state.lower()}" for state in STATES if tasks[state])
    rows = [
        ("session", f"{engine.session} ({engine.name} engine)"),
        *(
            (name, _use(name, resources))
            for name in sorted(resources["total"], key=_order)
            # the first only serve to place tasks, the second is told below
            if not name.startswith("node:") and name != "object_store_memory"
        ),
        ("objects", _objects(store)),
        ("workers", f"{len(workers)} {'process' if len(workers) == 1 else 'processes'}"),
        ("tasks", f"{live:,} unfinished" + (f" ({states})" if states else "")),
        ("actors", _actors(actors)),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)


def _objects(store: dict[str, Any]) -> str:
    text = f"{store['objects']:,}, {size(store['used'])} of {size(store['capacity'])} used"
    if store.get("pinned"):
        text += f", {size(store['pinned'])} looked at"
    if store.get("on_disk_objects"):
        text += f", {size(store['on_disk'])} on disk ({store['on_disk_objects']:,})"
    if store.get("restored"):
        text += f", {size(store['restored'])} read from there"
    return text


def _order(resource: str) -> tuple[int, str]:
    known = ("CPU", "GPU", "memory")
    return (known.index(resource) if resource in known else len(known), resource)


def _use(name: str, resources: dict[str, dict[str, float]]) -> str:
    total = resources["total"][name]
    used = total - resources["available"].get(name, 0)
    if "memory" in name:
        return f"{size(used)} of {size(total)} reserved"
    return f"{used:g} of {total:g} in use"


def _actors(actors: list[dict[str, Any]]) -> str:
    if not actors:
        return "none"
    states = Counter(str(actor.get("state", "")).lower() for actor in actors)
    return ", ".join(f"{count} {state}" for state, count in states.items())


def _count(value: float, noun: str) -> str:
    return f"{value:g} {noun}" + ("" if value == 1 else "s")
