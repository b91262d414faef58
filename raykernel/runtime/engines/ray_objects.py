"""Answers to queries about objects where Ray runs the tasks. A part of ray_queries.py.

They tell of this process's own: sizes and places of others, and who holds what, are Ray's to know.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from raykernel.runtime.engines.ray_keeper import NamedObjects
from raykernel.runtime.events import FAILED, FINISHED, LIVE
from raykernel.runtime.ids import handle_id, weak_id

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray import RayEngine

#: How ids end that stand for an actor.
_NO_VALUES = (handle_id(b"")[8:], weak_id(b"")[8:])


def listed(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """This process's own; sizes and places are Ray's alone to know."""
    return [
        {
            "object_id": object_id.hex(), "size": size, "ready": ready, "shared": None,
            "references": count, "pins": -1, "where": "",
        }
        for object_id, size, ready, count in _values(engine)
    ]  # fmt: skip


def _values(engine: RayEngine) -> Iterator[tuple[bytes, int, bool, int]]:
    """As `RayClient.objects`, without what stands for actors."""
    return (row for row in engine.client.objects() if row[0][24:] not in _NO_VALUES)


def memory(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    """As `holdings.memory`, of this process's own: who else holds them, Ray doesn't tell."""
    client = engine.client
    rows = []
    with engine.lock:
        table = engine.table
        for object_id, size, ready, count in _values(engine):
            info = table.find(object_id[:24].hex())
            held = {
                "role": "driver", "id": client.id.hex(), "pid": os.getpid(), "name": "", "cell": "",
                "references": count, "pins": 0,
            }  # fmt: skip
            done = ready or (info is not None and info.state not in LIVE)
            rows.append(
                {
                    "object_id": object_id.hex(),
                    "offset": -1,
                    "size": size or (info.made if info is not None else 0),
                    "where": "on the cluster" if done else "pending",
                    "error": info is not None and info.state == FAILED,
                    "references": count,
                    "pins": 0,
                    "made_by": info.name if info is not None else "",
                    "task": info.id if info is not None else "",
                    "actor": info.actor if info is not None else "",
                    "cell": info.cell if info is not None else "",
                    "holders": [held],
                }
            )
    rows.sort(key=lambda row: -int(str(row["size"])))
    return rows[: filters.get("limit") or None]


def one(engine: RayEngine, filters: dict[str, Any]) -> dict[str, Any]:
    object_id: bytes = filters["object"]
    entry = engine.client.refs.get(object_id)
    if entry is None:
        return {"state": "freed"}
    with engine.lock:
        task = engine.table.find(object_id[:24].hex())
    ready = bool(engine.client.wait([object_id], 1, 0))
    state, error, size = "pending", "", 0
    if ready:
        value = engine.client.fetch_one(object_id)
        state, size = ("failed" if value.error else "ready"), value.size or len(value.data)
        error = task.error if task is not None else ""
    return {
        "state": state, "size": size, "shared": False, "function": entry.name,
        "task_state": task.state if task is not None else (FINISHED if ready else ""),
        "cell": task.cell if task is not None else "", "error": error,
    }  # fmt: skip


def held(engine: RayEngine, filters: dict[str, Any]) -> int:
    entry = engine.client.refs.get(filters["object"])
    return -1 if entry is None else entry.count


def name(engine: RayEngine, filters: dict[str, Any]) -> None:
    named = NamedObjects(engine.client)
    named.give(filters["namespace"], filters["name"], filters["object"])


def find(engine: RayEngine, filters: dict[str, Any]) -> bytes:
    return NamedObjects(engine.client).find(filters["namespace"], filters["name"])


def forget(engine: RayEngine, filters: dict[str, Any]) -> bool:
    return NamedObjects(engine.client).forget(filters["namespace"], filters["name"])


def named(engine: RayEngine, filters: dict[str, Any]) -> list[dict[str, Any]]:
    return NamedObjects(engine.client).listed()
