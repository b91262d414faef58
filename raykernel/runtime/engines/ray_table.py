"""The driver's table of tasks on Ray: what it submitted, merged with what workers tell. Sans-IO.

A task is known from its submission here, or from a worker's note. What ends without a word (its
worker died, or it never began) is found out by looking: for a task of the driver's own Ray knows
whether its result is there; of a nested one it is known only that the task it belongs to has ended.
States are then set as far as that goes, and what nobody can know stays as it was.

Records are made for those who ask. A submission is noted as it is, and one that a worker tells to
have begun and ended within a moment meets its row and is kept so: where nobody looks, a task costs
this driver two dict operations.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import Any

from raykernel.runtime import messages as m
from raykernel.runtime.bars import BarTable
from raykernel.runtime.engines.ray_notes import (
    Began,
    Died,
    Ended,
    Moved,
    Ran,
    Row,
    Said,
    Submitted,
    info_of,
)
from raykernel.runtime.events import (
    ACTOR,
    CANCELLED,
    FAILED,
    FINISHED,
    LIVE,
    READY,
    RUNNING,
    TASK,
    WAITING,
    BarInfo,
    LogLine,
    TaskInfo,
)

KEPT = 20_000  # tasks that have ended
LINES = 50_000
_APART = (Ran, Said, Died)  # notes that need no submission entered


class Table:
    """Guarded by its owner's lock."""

    def __init__(self) -> None:
        self.live: dict[str, TaskInfo] = {}
        self.ended: dict[str, TaskInfo] = {}
        self.nodes: dict[str, str] = {}  # live task -> the node it runs on
        #: Ray's references of this driver's own unfinished tasks: by these they are cancelled.
        self.own: dict[str, Any] = {}
        self.attempts: dict[str, int] = {}
        self.specs: dict[str, tuple[str, int]] = {}  # of live tasks: resources, retries
        self.namespaces: dict[str, str] = {}  # of own creations of actors, which Ray doesn't tell
        self.changed: dict[str, TaskInfo] = {}
        self.lines: deque[LogLine] = deque(maxlen=LINES)
        self.workers: dict[tuple[str, str], dict[str, Any]] = {}  # by node and process
        self.obituaries: dict[bytes, bytes] = {}
        self._moved: list[BarInfo] = []  # bars to tell of
        self.bars = BarTable(self._moved.extend)
        self._waits: dict[str, set[str]] = {}  # live task -> live tasks that need it
        self._fresh: dict[bytes, tuple[m.TaskSpec, Any, float]] = {}  # submitted, not entered
        self._quick: deque[tuple[m.TaskSpec, float, str, Row]] = deque(maxlen=KEPT)  # and ended

    # -- this driver -----------------------------------------------------------------------------

    def note(self, spec: m.TaskSpec, made: Any, now: float) -> None:
        """A submission, to be entered by `settle`: whoever submits has no time. Needs no lock."""
        self._fresh[spec.id] = spec, made, now

    def settle(self, before: float = math.inf) -> Table:
        """Enter what was submitted, of what has not ended only what is from `before` then. To be
        called before anything is asked of the table."""
        fresh = self._fresh
        for task in list(fresh):
            known = fresh.get(task)
            if known is not None and known[2] >= before:
                return self
            if known is not None:
                self.submitted(*known)
                del fresh[task]
        quick = self._quick
        while quick:
            self._enter(*quick.popleft())
        return self

    def _enter(self, spec: m.TaskSpec, submitted: float, worker: str, row: Row) -> None:
        info = info_of(spec, FINISHED)
        info.submitted = info.ready = submitted
        _fill(info, worker, row)
        info.ended = row.ended
        self._note_namespace(spec, info.id)
        self.changed[info.id] = info
        self._keep(info)

    def submitted(self, spec: m.TaskSpec, made: Any, now: float) -> None:
        info = info_of(spec)
        info.submitted = now
        if made is not None:
            self.own[info.id] = made
        self.specs[info.id] = (spec.resources, spec.retries)
        self._note_namespace(spec, info.id)
        self._add(info)

    def _note_namespace(self, spec: m.TaskSpec, task: str) -> None:
        if spec.extra is not None and spec.extra.actor is not None:
            self.namespaces[task] = spec.extra.actor.namespace

    def _add(self, info: TaskInfo) -> None:
        missing = [d for d in info.deps if d in self.live]
        if missing and info.state == READY:
            info.state = WAITING
            for dep in missing:
                self._waits.setdefault(dep, set()).add(info.id)
        self.live[info.id] = info
        self.changed[info.id] = info

    # -- what workers tell -----------------------------------------------------------------------

    def hear(self, notes: Iterable[Any], now: float) -> tuple[list[LogLine], list[BarInfo]]:
        """Take notes in; the output and the progress bars among them."""
        lines: list[LogLine] = []
        notes = list(notes)
        if any(type(note) not in _APART for note in notes):
            self.settle()
        for note in notes:
            kind = type(note)
            if kind is Began:
                self._began(note)
            elif kind is Ran:
                self._ran(note)
            elif kind is Ended:
                self._ended(note)
            elif kind is Submitted:
                if note.task.id not in self.live and note.task.id not in self.ended:
                    self._add(note.task)
                    self.specs[note.task.id] = (note.resources, note.retries)
            elif kind is Said:
                lines.append(note.line)
            elif kind is Moved:
                self.bars.moved(b"", note.bars, self._may_stay)
            elif kind is Died:
                self.obituaries[note.actor] = note.record
        self.lines.extend(lines)
        return lines, self.take_bars()

    def _may_stay(self, bar: BarInfo) -> bool:
        """Whether somebody will close it: its task as it ends, or who finds the actor dead."""
        owner = self.find(bar.task)
        return owner is None or owner.kind != TASK or owner.state in LIVE

    def take_bars(self) -> list[BarInfo]:
        """Those that moved or were closed since."""
        moved = self._moved.copy()
        self._moved.clear()
        return moved

    def _began(self, note: Began) -> None:
        told = note.task
        before = self.live.get(told.id) or self.ended.pop(told.id, None)
        if before is None:
            told.submitted = told.started
            self._add(told)
            before = told
        before.state = RUNNING
        before.started = told.started
        before.ready = before.ready or before.submitted
        before.worker = told.worker
        before.ended, before.error = 0.0, ""
        self.live[before.id] = before
        self.changed[before.id] = before
        self.nodes[before.id] = note.node
        self.attempts[before.id] = note.attempt
        worker = self.workers.setdefault((note.node, told.worker), _worker(note.node, told.worker))
        worker["tasks"] += 1
        if told.actor:
            worker["actor_id"] = told.actor

    def _ran(self, note: Ran) -> None:
        worker = self.workers.get((note.node, note.worker))
        if worker is None:
            worker = self.workers[note.node, note.worker] = _worker(note.node, note.worker)
        for row in note.rows:
            known = self._fresh.pop(row.task, None)
            if known is not None:
                spec = known[0]
                if spec.actor and not worker["actor_id"]:
                    worker["actor_id"] = spec.actor.hex()
                self._quick.append((spec, known[2], note.worker, row))
                continue
            task = row.task.hex()
            info = self.live.get(task) or self.ended.get(task)
            if info is None:
                continue  # another driver's, that calls an actor of this one
            info.ready = info.ready or info.submitted
            _fill(info, note.worker, row)
            if info.actor:
                worker["actor_id"] = info.actor
            self.end(task, FINISHED, row.ended)

    def _ended(self, note: Ended) -> None:
        info = self.live.get(note.task) or self.ended.get(note.task)
        if info is None:
            return
        info.called, info.returned = note.called, note.returned
        info.made, info.taken = note.made, note.taken
        worker = self.workers.get((self.nodes.get(info.id, ""), info.worker))
        if worker is not None:
            worker["tasks"] = max(0, worker["tasks"] - 1)
        self.end(info.id, note.state, note.ended, note.error)

    def end(self, task: str, state: str, now: float, error: str = "") -> None:
        """A task has ended."""
        info = self.live.pop(task, None)
        if info is None:
            return
        info.state, info.ended, info.error = state, now, error
        if info.kind == TASK:
            self.bars.task_ended(task)
        self.own.pop(task, None)
        self.nodes.pop(task, None)
        self.specs.pop(task, None)
        self.attempts.pop(task, None)
        self.changed[task] = info
        self._keep(info)
        for waiting in self._waits.pop(task, ()):
            other = self.live.get(waiting)
            if other is None or other.state != WAITING:
                continue
            if not any(d in self.live for d in other.deps):
                other.state, other.ready = READY, now
                self.changed[waiting] = other
        if state == CANCELLED:
            self._end_unbegun(task, now)

    def _keep(self, info: TaskInfo) -> None:
        self.ended[info.id] = info
        if len(self.ended) > KEPT:
            oldest = next(iter(self.ended))
            del self.ended[oldest]
            self.namespaces.pop(oldest, None)

    def _end_unbegun(self, parent: str, now: float) -> None:
        """A task was cancelled with all it had submitted: what had not begun never will."""
        for child in [i for i in self.live.values() if i.parent == parent]:
            if child.state in (READY, WAITING):
                self.end(child.id, CANCELLED, now, "cancelled with the task that submitted it")

    # -- what is found out by looking --------------------------------------------------------------

    def silent(self, now: float, patience: float) -> list[tuple[str, Any]]:
        """This driver's tasks that have been unfinished for so long, with Ray's references."""
        return [
            (task, ref)
            for task, ref in self.own.items()
            if now - max(self.live[task].started, self.live[task].submitted) > patience
        ]

    def node_died(self, node: str, now: float) -> None:
        """What ran there runs no more: Ray tries it again, or ends it; of a nested task with
        nobody left to try it again the end is all there is to say."""
        for task in [task for task, where in self.nodes.items() if where == node]:
            info = self.live.get(task)
            if info is None or info.state != RUNNING:
                continue
            self.nodes.pop(task, None)
            self.bars.task_ended(task)
            if task in self.own or info.parent in self.live or info.kind == ACTOR:
                info.state, info.worker = READY, ""
                self.changed[task] = info
            else:
                self.end(task, FAILED, now, "its node died, and so did the task it belonged to")
        for key in [key for key in self.workers if key[0] == node]:
            del self.workers[key]

    def workers_died(self, pids: set[str]) -> None:
        """The processes of actors: nobody is left to close their bars."""
        for bar in [bar for _, bar in self.bars.open.values() if bar.worker in pids]:
            self.bars.task_ended(bar.task)

    def cell(self, cell: str) -> list[TaskInfo]:
        return [
            t for t in (*self.ended.values(), *self.live.values()) if not cell or t.cell == cell
        ]

    def find(self, task: str) -> TaskInfo | None:
        return self.live.get(task) or self.ended.get(task)

    def live_cells(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for info in self.live.values():
            if info.kind != ACTOR:
                found[info.cell] = found.get(info.cell, 0) + 1
        return found

    def take_changes(self) -> list[TaskInfo]:
        changed, self.changed = self.changed, {}
        return list(changed.values())


def _fill(info: TaskInfo, worker: str, row: Row) -> None:
    info.started, info.worker = row.started, worker
    info.called, info.returned = row.called, row.returned
    info.made, info.taken = row.made, row.taken


def _worker(node: str, pid: str) -> dict[str, Any]:
    return {"worker_id": "", "pid": int(pid or 0), "tasks": 0, "actor_id": "", "node_id": node}


def alive(info: TaskInfo) -> bool:
    return info.state in LIVE
