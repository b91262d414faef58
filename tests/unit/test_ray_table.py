"""What a driver knows of its tasks on Ray: its own submissions, and workers' notes. No process."""

from __future__ import annotations

from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime.context import Running
from raykernel.runtime.engines.ray_notes import Moved, Notebook, Ran, decode
from raykernel.runtime.engines.ray_table import Table
from raykernel.runtime.events import (
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
    RUNNING,
    WAITING,
    BarInfo,
)

ROOT, NESTED = b"r" * 24, b"n" * 24


def spec(task: bytes = ROOT, **fields: Any) -> m.TaskSpec:
    return m.TaskSpec(task, b"f" * 16, "work", b"", **fields)


def notebook(sent: list[bytes]) -> Notebook:
    """It sends when it is told to."""
    book = Notebook(sent.append, "node")
    book._stir = lambda: None  # type: ignore[method-assign]  # no thread
    return book


def told(book: Notebook, sent: list[bytes]) -> list[Any]:
    """What the worker has to tell by now."""
    book.send()
    notes = [note for batch in sent for note in decode(batch)]
    sent.clear()
    return notes


def test_what_began_and_ended_within_a_moment_is_told_in_one_row() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    for n in range(3):
        table.note(spec(bytes([n]) * 24, cell="cell"), None, 1.0)
    for n in range(2):
        book.began(Running(spec(bytes([n]) * 24), 0, None))
        book.ended(bytes([n]) * 24, FINISHED, made=8)
    notes = told(book, sent)
    assert [type(note) for note in notes] == [Ran]
    table.settle().hear(notes, 2.0)
    assert [t.state for t in table.cell("cell")] == [FINISHED, FINISHED, READY]
    assert [t.made for t in table.cell("cell")] == [8, 8, 0]
    assert table.cell("cell")[0].worker == notes[0].worker


def test_what_a_nested_task_asks_for_is_told_too() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    book.submitted(spec(NESTED, parent=ROOT, resources="gold=10000", retries=2), None)
    table.hear(told(book, sent), 1.0)
    assert table.specs[NESTED.hex()] == ("gold=10000", 2)
    table.end(NESTED.hex(), FINISHED, 2.0)
    assert table.specs == {}


def test_what_takes_longer_is_told_as_it_goes() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    table.note(spec(), None, 1.0)
    table.note(spec(NESTED, deps=(ROOT + b"\1\0\0\0",)), None, 1.0)
    assert table.settle().find(NESTED.hex()).state == WAITING  # type: ignore[union-attr]
    book.began(Running(spec(), 0, None))
    table.hear(told(book, sent), 2.0)
    assert table.live[ROOT.hex()].state == RUNNING
    assert table.nodes[ROOT.hex()] == "node"
    book.ended(ROOT, FINISHED)
    table.hear(told(book, sent), 3.0)
    assert table.ended[ROOT.hex()].state == FINISHED
    assert table.live[NESTED.hex()].state == READY
    assert [worker["tasks"] for worker in table.workers.values()] == [0]


def test_a_failure_and_a_nested_task_are_told_in_full() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    table.note(spec(), None, 1.0)
    book.began(Running(spec(), 0, None))
    book.submitted(spec(NESTED, parent=ROOT, cell="cell"), None)
    book.began(Running(spec(NESTED, parent=ROOT, cell="cell"), 0, None))
    book.ended(NESTED, CANCELLED, "cancelled")
    book.ended(ROOT, FAILED, "ValueError: no")
    table.settle().hear(told(book, sent), 2.0)
    assert table.ended[ROOT.hex()].error == "ValueError: no"
    nested = table.ended[NESTED.hex()]
    assert (nested.state, nested.parent, nested.cell) == (CANCELLED, ROOT.hex(), "cell")


def test_a_row_of_another_drivers_call_is_nothing_to_this_one() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    book.began(Running(spec(), 0, None))
    book.ended(ROOT, FINISHED)
    table.hear(told(book, sent), 2.0)
    assert not table.live
    assert not table.ended


def test_what_ended_within_a_moment_becomes_a_record_when_somebody_asks() -> None:
    sent: list[bytes] = []
    table, book = Table(), notebook(sent)
    table.note(spec(actor=b"a" * 16), None, 1.0)
    table.note(spec(NESTED, deps=(ROOT + b"\1\0\0\0",)), None, 1.5)
    book.began(Running(spec(), 0, None))
    book.ended(ROOT, FINISHED)
    table.hear(told(book, sent), 2.0)
    assert not table.live
    assert not table.ended
    assert [worker["actor_id"] for worker in table.workers.values()] == [(b"a" * 16).hex()]
    table.settle(before=1.5)  # what is younger may well end by itself
    assert not table.live
    assert table.settle().ended[ROOT.hex()].state == FINISHED
    assert table.live[NESTED.hex()].state == READY  # its argument is there
    assert {task.id for task in table.take_changes()} == {ROOT.hex(), NESTED.hex()}


def test_a_bar_is_closed_by_the_end_of_who_moved_it() -> None:
    table, task, call = Table(), ROOT.hex(), NESTED.hex()
    table.note(spec(), None, 1.0)
    table.note(spec(NESTED, kind=m.CALL, actor=b"a" * 16), None, 1.0)
    bars = [BarInfo("1", task, worker="7"), BarInfo("2", call, worker="8")]
    _, moved = table.hear([Moved(bars)], 2.0)
    assert [(bar.id, bar.closed) for bar in moved] == [("1", False), ("2", False)]
    table.end(task, FAILED, 3.0, "its worker died")
    table.end(call, FINISHED, 3.0)  # the actor may move it again
    assert [(bar.id, bar.closed) for bar in table.take_bars()] == [("1", True)]
    assert table.hear([Moved(bars[:1])], 4.0)[1] == []
    table.workers_died({"8"})
    assert [(bar.id, bar.closed) for bar in table.take_bars()] == [("2", True)]
    assert table.take_bars() == []
