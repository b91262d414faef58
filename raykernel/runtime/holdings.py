"""Who holds which object, and what it takes: the answer behind `%ray memory`, the state API and the
text of a full store's error. Sans-IO; reads the head's tables and changes nothing.

Computed when asked: nothing is kept for it on the way of a task.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .ids import is_handle
from .messages import INLINE, ON_DISK, Value
from .records import Client, Object, Task, Worker

if TYPE_CHECKING:
    from .scheduler import Scheduler

_HOLDERS = 3  # of one object, named in a text


def memory(core: Scheduler) -> list[dict[str, Any]]:
    """One dict for each object, the largest first. Actor handles, which hold no value, are left
    out.

        object_id   hex; "" for memory that is still looked at though its object is gone, or has
                    moved to disk
        offset      where in the arena, -1 if it isn't there
        size        bytes of the value; 0 while it is pending
        where       "pending", "inline" (in the head), "memory" (the arena) or "disk"
        error       whether the value is an error
        references  how many, of all holders together
        pins        live views of its memory, of all processes together
        made_by     what made it: "" for `put`, else the function's name (`Actor.method` for a call)
        task        hex id of the task that made it, "" for `put`
        actor       hex id of the actor that made it, "" for none
        cell        the cell that caused it, "" if not known (`put`)
        holders     list of dicts, the one with the most references first:
            role        "driver", "worker", "actor" (a worker that is one), "control", "task" (a
                        live one: the object is among its arguments), "object" (it lies inside
                        another object), "function" (a remote function closes over it), "lineage"
                        (kept to run this task again)
            id          hex: of the client, task, object or actor
            pid         process id, 0 where there is none
            name        the function that runs there, the actor's class or the task's name
            cell        the cell of that task, "" if not known
            references  how many of the object's
            pins        views of its memory there
    """
    rows = {
        object_id: _row(core, object_id, entry)
        for object_id, entry in core.store.objects.items()
        if not is_handle(object_id)
    }
    for client in core.clients.values():
        _count(core, rows, client)
    for task in core.tasks.values():
        _add(rows, (*task.spec.deps, *task.spec.contained), "task", task.spec.id, _of_task(task))
    for object_id, entry in core.store.objects.items():
        if entry.value is not None and entry.value.contained:
            _add(rows, entry.value.contained, "object", object_id, {})
    for key, function in core.submission.functions.items():
        if function.contained:
            _add(rows, function.contained, "function", key, {"name": function.name})
    for task_id, record in core.lineage.records.items():
        about = {"name": record.spec.name, "cell": record.spec.cell}
        _add(rows, record.held, "lineage", task_id, about)
    every = [*rows.values(), *_left_over(core)]
    for row in every:
        row["holders"].sort(key=lambda h: (h["references"], h["pins"]), reverse=True)
    return sorted(every, key=lambda row: int(row["size"]), reverse=True)


def _row(core: Scheduler, object_id: bytes, entry: Object) -> dict[str, Any]:
    value = entry.value
    spec = entry.task.spec if entry.task is not None else None
    return {
        "object_id": object_id.hex(),
        "size": size_of(value),
        "where": place(value),
        "offset": value.offset if value is not None and value.offset >= 0 else -1,
        "error": value is not None and value.error,
        "references": entry.count,
        "pins": core.store.pins(entry),
        "made_by": spec.name if spec is not None else "",
        "task": spec.id.hex() if spec is not None else "",
        "actor": spec.actor.hex() if spec is not None else "",
        "cell": spec.cell if spec is not None else "",
        "holders": [],
    }


def _left_over(core: Scheduler) -> list[dict[str, Any]]:
    """Blocks that no object lies in and somebody looks at."""
    rows = []
    for offset, block in core.store.blocks.blocks.items():
        if block.owner or not block.pins:
            continue
        holders = [
            {"id": c.id.hex(), **_of_client(c), "references": 0, "pins": c.pins[offset]}
            for c in core.clients.values()
            if offset in c.pins
        ]
        rows.append({
            "object_id": "", "offset": offset, "size": block.size, "where": "memory",
            "error": False, "references": 0, "pins": block.pins, "made_by": "", "task": "",
            "actor": "", "cell": "", "holders": holders,
        })  # fmt: skip
    return rows


def size_of(value: Value | None) -> int:
    if value is None:
        return 0
    return len(value.data) if value.offset == INLINE else value.size


def place(value: Value | None) -> str:
    if value is None:
        return "pending"
    if value.offset >= 0:
        return "memory"
    return "disk" if value.offset == ON_DISK else "inline"


def _count(core: Scheduler, rows: dict[bytes, dict[str, Any]], client: Client) -> None:
    """Add one process to the holders of what it holds."""
    where = _of_client(client)
    blocks = core.store.blocks.blocks
    pins = {blocks[offset].owner: n for offset, n in client.pins.items()}
    for object_id in {**client.held, **pins}:
        row = rows.get(object_id)
        if row is not None:
            counts = {"references": client.held.get(object_id, 0), "pins": pins.get(object_id, 0)}
            row["holders"].append({"id": client.id.hex(), **where, **counts})


def largest(core: Scheduler, count: int) -> list[str]:
    """The largest objects in memory, and who looks at them or else holds them, for an error."""
    rows = [row for row in memory(core) if row["where"] == "memory"]
    return [_line(row) for row in rows[:count]]


def _line(row: dict[str, Any]) -> str:
    made = row["made_by"] or "put"
    looking = [h for h in row["holders"] if h["pins"]]
    who = ", ".join(_who(h) for h in (looking or row["holders"])[:_HOLDERS])
    verb = "looked at by" if looking else "held by"
    where = f" in {row['cell']}" if row["cell"] else ""
    what = f"object {row['object_id']} ({made}{where})"
    if not row["object_id"]:
        what = "views of an object that is gone"
    return f"{row['size']:,} bytes, {what}, {verb} {who}"


def _who(holder: dict[str, Any]) -> str:
    text = f"the {holder['role']}"
    if holder["name"]:
        text += f" {holder['name']}"
    if holder["cell"]:
        text += f" of cell {holder['cell']}"
    return f"{text} (pid {holder['pid']})" if holder["pid"] else text


def _of_client(client: Client) -> dict[str, Any]:
    if isinstance(client, Worker):
        if client.actor is not None:
            creation = client.actor.creation.spec
            return {"role": "actor", "pid": client.pid, "name": creation.name,
                    "cell": creation.cell}  # fmt: skip
        running = client.first
        name, cell = (running.spec.name, running.spec.cell) if running is not None else ("", "")
        return {"role": "worker", "pid": client.pid, "name": name, "cell": cell}
    return {"role": client.role, "pid": client.pid, "name": "", "cell": ""}


def _of_task(task: Task) -> dict[str, Any]:
    pid = task.worker.pid if task.worker is not None else 0
    return {"name": task.spec.name, "cell": task.spec.cell, "pid": pid}


def _add(
    rows: dict[bytes, dict[str, Any]],
    ids: Iterable[bytes],
    role: str,
    holder: bytes,
    about: dict[str, Any],
) -> None:
    """Add something other than a process to the holders of `ids`, once for each time listed."""
    mine: dict[bytes, dict[str, Any]] = {}
    for object_id in ids:
        row = rows.get(object_id)
        if row is None:
            continue
        if object_id in mine:
            mine[object_id]["references"] += 1
            continue
        mine[object_id] = {
            "role": role, "id": holder.hex(), "pid": 0, "name": "", "cell": "", **about,
            "references": 1, "pins": 0,
        }  # fmt: skip
        row["holders"].append(mine[object_id])
