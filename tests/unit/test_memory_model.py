"""What the memory view knows and tells, and its static forms."""

from __future__ import annotations

import json
from typing import Any

from raykernel import holders
from raykernel.runtime.engines.base import Engine
from raykernel.runtime.engines.fake import FakeEngine
from raykernel.widgets.memory_model import Holder, Look, MemoryModel, MemoryRow

STORE = {"capacity": 1 << 30, "used": 300 << 20, "objects": 2, "pinned": 100 << 20, "on_disk": 7}


def row(number: int, size: int, *held: Holder) -> MemoryRow:
    return MemoryRow(f"{number:056x}", size, "memory", "make", 0, list(held))


def model_of(*rows: MemoryRow, shown: int = 20) -> tuple[MemoryModel, list[Look]]:
    seen = [Look(list(rows), STORE, "s")]
    return MemoryModel(lambda _: seen[0], rows=shown), seen


def told(model: MemoryModel) -> dict[str, Any]:
    return dict(json.loads(json.dumps(model.snapshot())))


def test_it_tells_the_largest_objects_and_who_keeps_them() -> None:
    rows = [row(n, 9_000 - n, Holder("variable", f"x{n}")) for n in range(400)]
    model, seen = model_of(*rows)
    assert model.poll(FakeEngine())
    snapshot = told(model)
    assert (snapshot["count"], len(snapshot["objects"])) == (400, 250)
    assert snapshot["objects"][0][1:3] == [9_000, "memory"]
    assert snapshot["objects"][0][5] == [["variable", "x0"]]
    assert len(json.dumps(snapshot)) < 100 * 1024
    assert not model.poll(FakeEngine())  # nothing is different: nothing is sent
    seen[0] = Look(rows[:2], STORE, "s")
    assert model.poll(FakeEngine())
    assert told(model)["count"] == 2
    assert model.poll(None)
    assert told(model)["session"] == ""
    still = model.bundle()
    assert still["text/plain"].startswith("Session s (ended), 2 objects")
    assert still["text/html"].count("<tr>") == 3


def test_of_many_holders_the_first_are_told() -> None:
    model, _ = model_of(row(1, 5, *(Holder("task", f"task f{n}") for n in range(40))))
    model.poll(FakeEngine())
    held = told(model)["objects"][0][5]
    assert held[-1] == ["other", "and 34 more"]
    assert len(held) == 7


def test_a_slow_look_is_repeated_seldom() -> None:
    times = iter([0.0, 0.6])
    model = MemoryModel(lambda _: Look([], STORE, "s"), clock=lambda: next(times))
    model.poll(FakeEngine())
    assert model.poll_every == 20.0


def test_a_variable_that_changes_under_the_look_spoils_nothing() -> None:
    def look(_: Engine) -> Look:
        raise RuntimeError("dictionary changed size during iteration")

    model = MemoryModel(look)
    assert not model.poll(FakeEngine())


def test_its_static_forms_are_safe_small_and_hold_so_many_rows() -> None:
    rows = [row(n, 5_000 - n, Holder("variable", "<b>x</b>" * 100)) for n in range(2_000)]
    model, _ = model_of(*rows, shown=3)
    model.poll(FakeEngine())
    forms = model.bundle("v")
    assert "<b>" not in forms["text/html"]
    assert "100.0 MiB pinned" in forms["image/svg+xml"]
    head, _, *lines = forms["text/plain"].splitlines()
    assert head.startswith("2,000 objects, the 3 largest of them here; 300.0 MiB of 1.0 GiB")
    assert len(lines) == 4
    many, _ = model_of(*rows, shown=2_000)
    many.poll(FakeEngine())
    assert len(many.bundle()["text/html"]) < 150 * 1024


def test_from_outside_the_notebook_is_a_process_among_others() -> None:
    engine = FakeEngine()
    where = {"name": "", "cell": "", "references": 1, "pins": 0, "id": "ab"}
    engine.answers["memory"] = [
        {
            "object_id": "cd" * 28, "size": 9, "where": "memory", "made_by": "", "cell": "c1",
            "pins": 2,
            "holders": [
                {**where, "role": "driver", "pid": 7},
                {**where, "role": "actor", "pid": 8, "name": "Keeper"},
            ],
        }
    ]  # fmt: skip
    (found,) = holders.report(engine).objects
    assert found.made == "put"
    assert found.holders == [
        Holder("other", "driver (pid=7)"),
        Holder("actor", "actor Keeper (pid=8)"),
    ]
