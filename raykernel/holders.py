"""Who keeps which object alive, in the user's words: `x`, `Out[3]`, the task `train`, an actor.

The head knows which processes, tasks, objects and functions hold a reference. What the notebook's
own share of them is, only a look at its variables can tell (pins.py): names, the output history,
and the frames of the last error, which Python keeps for `%debug`. Somebody who looks from outside
(the dashboard) has no variables: then the notebook is one process among others.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from raykernel.pins import BUDGET, pins_of
from raykernel.runtime.engines.base import Engine
from raykernel.widgets.memory_model import Holder, Look, MemoryRow

if TYPE_CHECKING:
    from raykernel.cells import CellTracker

_NAMES = 4  # of one object's holders
_EVERY = 10 * BUDGET  # values looked at for one report


def report(engine: Engine, shell: Any = None, cells: CellTracker | None = None) -> Look:
    """Asks the head, and looks through the user's variables. The largest object comes first."""
    rows: list[dict[str, Any]] = engine.query("memory")
    store = engine.query("store")
    client = getattr(engine, "client", None) if shell is not None else None
    named: dict[str, list[str]] = {}  # by object
    looking: dict[int, list[str]] = {}  # by place, whoever's it is: a ref may be gone meanwhile
    if client is not None:
        places = sorted((row["offset"], row["size"]) for row in rows if row["offset"] >= 0)
        left = _EVERY
        for name, value in _values(shell):
            pins = pins_of(value, client, min(BUDGET, left))
            left = max(1, left - pins.looked)
            for object_id in {*pins.refs, *pins.streams}:
                named.setdefault(object_id.hex(), []).append(name)
            for place in {_start(places, at) for at in pins.blocks}:
                looking.setdefault(place, []).append(name)
    me = client.id.hex() if client is not None else ""
    numbers = _Numbers(cells)
    objects = []
    for row in rows:
        names = [*named.get(row["object_id"], ()), *looking.get(row.get("offset", -1), ())]
        objects.append(_row(row, me, list(dict.fromkeys(names)), numbers))
    return Look(objects, store, engine.session)


class _Numbers:
    """Cells as people know them."""

    def __init__(self, cells: CellTracker | None) -> None:
        self._cells = cells
        self.known = cells is not None

    def __call__(self, cell: str, before: str) -> str:
        """As in " in In[3]", "" where the cell's number is not known."""
        number = self._cells.get(cell).number if self._cells is not None and cell else 0
        return f" {before} In[{number}]" if number else ""


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
            for name, value in _locals(frame) if not _ours(frame) else []:
                yield f"{name} in {frame.f_code.co_name} (last error)", value
        trace = trace.tb_next


def _locals(frame: Any) -> list[tuple[str, Any]]:
    found = frame.f_locals
    # of a frame that was rebuilt (frames.py) only what somebody has looked at: the rest would be
    # fetched, and refers to nothing
    return list(dict.items(found) if isinstance(found, dict) else found.items())


def _ours(frame: Any) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module.partition(".")[0] in ("raykernel", "IPython", "ipykernel")


def _row(row: dict[str, Any], me: str, names: list[str], numbers: _Numbers) -> MemoryRow:
    made = (row["made_by"] or ("put" if row["object_id"] else "")) + numbers(row["cell"], "in")
    holders = [
        _named(names) if me and holder["id"] == me else _other(holder, numbers)
        for holder in row["holders"]
    ]
    return MemoryRow(row["object_id"], row["size"], row["where"], made, row["pins"], holders)


def _named(names: list[str]) -> Holder:
    if not names:
        return Holder("other", "this notebook (under no name found)")
    more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
    kind = "output" if all(name.startswith("Out[") for name in names) else "variable"
    return Holder(kind, ", ".join(names[:_NAMES]) + more)


def _other(holder: dict[str, Any], numbers: _Numbers) -> Holder:
    role, name, pid = holder["role"], holder["name"], holder["pid"]
    cell = numbers(holder["cell"], "of")
    place = f" (pid={pid})" if pid else ""
    if role == "worker":
        return Holder("task", f"worker running {name}{place}{cell}" if name else f"worker{place}")
    if role in ("task", "actor", "function"):
        kind = role if role != "function" else "other"
        return Holder(kind, f"{role} {name}{place}{cell}".replace("  ", " "))
    if role == "object":
        return Holder("object", f"inside object {holder['id'][:8]}…{holder['id'][-10:]}")
    if role == "lineage":
        return Holder("other", f"lineage of {name}" if name else "lineage")
    if role == "driver":
        return Holder("other", f"another driver{place}" if numbers.known else f"driver{place}")
    return Holder("other", f"{role} {name}".strip() + place)
