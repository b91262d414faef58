"""Who keeps which object alive, in the user's words: `x`, `Out[3]`, the task `train`, an actor.

The head knows which processes, tasks, objects and functions hold a reference. What the notebook's
own share of them is, only a look at its variables can tell (pins.py): names, the output history,
and the frames of the last error, which Python keeps for `%debug`.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

from raykernel.amounts import size as in_words
from raykernel.cells import CellTracker
from raykernel.pins import pins_of
from raykernel.runtime.engines.base import Engine

_NAMES = 4  # of one object's holders


@dataclass(slots=True)
class Held:
    """An object: `where` it lies, what `made` it, and who holds it."""

    object: str
    size: int
    where: str
    made: str
    holders: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    objects: list[Held]
    used: int
    capacity: int


def report(engine: Engine, shell: Any, cells: CellTracker) -> Report:
    """Asks the head, and looks through the user's variables. The largest object comes first."""
    rows: list[dict[str, Any]] = engine.query("memory")
    store = engine.query("store")
    client = getattr(engine, "client", None)
    named: dict[str, list[str]] = {}  # by object
    looking: dict[int, list[str]] = {}  # by place, whoever's it is: a ref may be gone meanwhile
    if client is not None:
        places = sorted((row["offset"], row["size"]) for row in rows if row["offset"] >= 0)
        for name, value in _values(shell):
            pins = pins_of(value, client)
            for object_id in (*pins.refs, *pins.streams):
                named.setdefault(object_id.hex(), []).append(name)
            for place in {_start(places, at) for at in pins.blocks}:
                looking.setdefault(place, []).append(name)
    me = client.id.hex() if client is not None else ""
    objects = []
    for row in rows:
        names = [*named.get(row["object_id"], ()), *looking.get(row["offset"], ())]
        objects.append(_held(row, me, list(dict.fromkeys(names)), cells))
    return Report(objects, store["used"], store["capacity"])


def _start(places: list[tuple[int, int]], at: int) -> int:
    """Where the block begins in which `at` lies: an Arrow column shows its own place. -2: it came
    after the question to the head."""
    i = bisect_right(places, (at, sys.maxsize)) - 1
    return places[i][0] if i >= 0 and at < sum(places[i]) else -2


def _values(shell: Any) -> Iterator[tuple[str, Any]]:
    """What the notebook's user can reach, by the name it has for them."""
    names = shell.user_ns
    outputs = names.get("_oh", {})
    hidden = set(getattr(shell, "user_ns_hidden", ()))
    for name, value in list(names.items()):
        if name not in hidden and value is not outputs and not name.startswith("_"):
            yield name, value
    for number, value in list(outputs.items()):
        yield f"Out[{number}]", value
    trace = getattr(getattr(sys, "last_value", None), "__traceback__", None)
    while trace is not None:
        frame = trace.tb_frame
        if frame.f_globals is not names or frame.f_code.co_name != "<module>":
            for name, value in list(frame.f_locals.items()) if not _ours(frame) else []:
                yield f"{name} in {frame.f_code.co_name} (last error)", value
        trace = trace.tb_next


def _ours(frame: Any) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("raykernel", "IPython", "ipykernel")


def _held(row: dict[str, Any], me: str, names: list[str], cells: CellTracker) -> Held:
    made = row["made_by"] or ("put" if row["object_id"] else "")
    cell = cells.get(row["cell"]).number if row["cell"] else 0
    if cell:
        made += f" in In[{cell}]"
    holders = []
    for holder in row["holders"]:
        if holder["id"] == me:
            holders.append(_some(names) or "this notebook (under no name found)")
        else:
            holders.append(_other(holder, cells))
    return Held(row["object_id"], row["size"], row["where"], made, holders)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    return ", ".join(names[:_NAMES]) + more


def _other(holder: dict[str, Any], cells: CellTracker) -> str:
    role, name, pid = holder["role"], holder["name"], holder["pid"]
    number = cells.get(holder["cell"]).number if holder["cell"] else 0
    cell = f" of In[{number}]" if number else ""
    place = f" (pid={pid})" if pid else ""
    if role == "worker":
        return f"worker running {name}{place}{cell}" if name else f"worker{place}"
    if role in ("task", "actor", "function"):
        return f"{role} {name}{place}{cell}".replace("  ", " ")
    if role == "object":
        return f"inside object {holder['id'][:8]}…{holder['id'][-10:]}"
    if role == "lineage":
        return f"lineage of {name}" if name else "lineage"
    if role == "driver":
        return f"another driver{place}"
    return f"{role} {name}".strip() + place


# -- on the screen --------------------------------------------------------------------------------

_HEADS = ("size", "where", "object", "made by", "kept by")


def _headline(found: Report, most: int) -> str:
    count = len(found.objects)
    noun = "object" if count == 1 else "objects"
    shown = f", the {most} largest of them here" if count > most else ""
    return (
        f"{count:,} {noun}{shown}; {in_words(found.used)} of {in_words(found.capacity)} "
        "of the store used"
    )


def _cells_of(held: Held) -> tuple[str, str, str, str, str]:
    short = f"{held.object[:8]}…{held.object[-10:]}" if held.object else "(a view alone)"
    return (in_words(held.size), held.where, short, held.made, "; ".join(held.holders) or "nothing")


def text(found: Report, most: int) -> str:
    """As a table of plain text."""
    rows = [_HEADS, *(_cells_of(held) for held in found.objects[:most])]
    if len(rows) == 1:
        return _headline(found, most)
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADS) - 1)]
    lines = [
        "  ".join(
            cell.rjust(width) if i == 0 else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        + f"  {row[-1]}"
        for row in rows
    ]
    return "\n".join([_headline(found, most), "", *lines])


def html(found: Report, most: int) -> str:
    """As a table of HTML, which a screen reader can read."""
    head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in _HEADS)
    rows = []
    for held in found.objects[:most]:
        size, *cells = (escape(cell) for cell in _cells_of(held))
        title = f' title="{escape(held.object)}"'
        rest = "".join(f'<td style="text-align:left"{title}>{cell}</td>' for cell in cells)
        rows.append(f'<tr><td style="text-align:right">{size}</td>{rest}</tr>')
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f"<div>{escape(_headline(found, most))}</div>{table if rows else ''}"
