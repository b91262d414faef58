"""What tasks wrote, as it comes, for the log pane: the newest lines are kept, the log files hold
the rest.

Lines are read from the engine's log files while somebody looks. A line is told once; where more
come than `TOLD` in one message, the newest are told and the viewer sees by their numbers that some
are missing. A search goes to the files, so that it finds those too.

    log files --poll: newer than the last--> lines, numbered --delta--> viewer
              --find: whatever fits-------------------------- answer -->

Not thread-safe: the view guards it with its lock.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from raykernel.runtime.events import LIVE, EventBatch, TaskInfo

from . import log_still
from .subject import Quiet, Refused

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

KEPT = 3_000  # lines
TOLD = 400  # lines in one message
FOUND = 800  # lines that a search answers with
CHARACTERS = 60_000  # of lines in one message, with their labels; thrice as many in an answer
LONGEST = 1_000  # characters of a line
CHOICES = 100  # names that a filter offers
_LATE = 1.0  # seconds by which one worker's index may be behind another's


class Line(NamedTuple):
    """A line with its labels, as viewers get it."""

    number: int
    time: float
    name: str  # the task's
    pid: int
    error: bool  # whether it was written to stderr
    task: str
    cell: str  # as a person calls it: `In[3]`
    actor: str  # likewise: `Counter` or its name
    text: str


class LogModel(Quiet):
    """`filters` are those of `logfiles.find` and hold for all that is shown, `about` says them in
    words; `cell_name` is what a person calls a cell; `tail` lines are in the static form."""

    kind = "logs"
    poll_every = 0.5
    brief = True

    def __init__(
        self,
        filters: dict[str, Any] | None = None,
        about: str = "",
        cell_name: Callable[[str], str] = lambda cell: cell[:8],
        tail: int = 100,
    ) -> None:
        self.version = 0
        self.about = about
        self.tail = tail
        self.total = 0
        self.lines: deque[Line] = deque(maxlen=KEPT)
        self._filters = filters or {}
        self._cell_name = cell_name
        self._cells: dict[str, str] = {}  # by what a person calls them
        self._actors: dict[str, str] = {}
        self._names: dict[str, None] = {}
        self._read: dict[tuple[int, bool], float] = {}  # by process and stream: until when
        self._newest = 0.0
        self._live: set[str] = set()
        self._told = -1
        self._first = 0  # the number of the first line that no viewer was told

    @property
    def live(self) -> int:
        return len(self._live)

    def apply(self, batch: EventBatch) -> bool:
        self.merge(batch.tasks)
        return False

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        for task in tasks:
            if task.state in LIVE:
                self._live.add(task.id)
            else:
                self._live.discard(task.id)
        return False

    def poll(self, engine: Engine | None) -> bool:
        if engine is None:
            self._live.clear()
            return False
        since = max(0.0, self._newest - _LATE)
        entries = engine.query("logs", tail=KEPT, since=since, **self._filters)
        fresh = [e for e in entries if e.time > self._read.get((e.pid, _is_error(e)), 0.0)]
        for entry in fresh:
            self._read[entry.pid, _is_error(entry)] = entry.time
            self._newest = max(self._newest, entry.time)
        for line in self._labelled(fresh, engine):
            self.lines.append(line._replace(number=self.total))
            self.total += 1
        self.version += bool(fresh)
        return bool(fresh)

    def _labelled(self, entries: Iterable[Any], engine: Engine) -> list[Line]:
        entries = list(entries)
        if any(e.actor and e.actor not in self._actors for e in entries):
            for one in engine.query("actors"):
                label = one["name"] or one["class_name"].rpartition(".")[2]
                self._actors[one["actor_id"]] = label
        lines = []
        for e in entries:
            cell = self._cell_name(e.cell) if e.cell else ""
            if cell:
                self._cells.setdefault(cell, e.cell)
            if e.name and len(self._names) < CHOICES:
                self._names.setdefault(e.name)
            lines.append(Line(
                -1, e.time, e.name, e.pid, _is_error(e), e.task, cell,
                self._actors.get(e.actor, ""), e.text[:LONGEST],
            ))  # fmt: skip
        return lines

    # -- what viewers are told -----------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        self._told, self._first = self.version, self.total
        return {**self._numbers(), "lines": _newest(self.lines, TOLD), "about": self.about}

    def delta(self) -> dict[str, Any] | None:
        if self._told < 0:
            return None
        fresh = self.total - self._first
        base, self._told, self._first = self._told, self.version, self.total
        return {"base": base, **self._numbers(), "lines": _newest(self.lines, min(TOLD, fresh))}

    def _numbers(self) -> dict[str, Any]:
        actors = dict.fromkeys(line.actor for line in self.lines if line.actor)
        return {
            "version": self.version,
            "total": self.total,
            "live": len(self._live),
            "names": list(self._names),
            "cells": list(self._cells)[-CHOICES:],
            "actors": list(actors)[:CHOICES],
        }

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        if question.get("ask") != "find":
            return super().answer(question, engine)
        if engine is None:
            raise Refused("The session has ended.")
        self.poll(engine)  # what comes after this is not in the answer
        filters = {**self._filters, "tail": FOUND}
        if name := str(question.get("name", "")):
            filters["name"] = name
        if cell := str(question.get("cell", "")):
            filters["cell"] = self._cells.get(cell, cell)
        if actor := str(question.get("actor", "")):
            filters["actors"] = [one for one, label in self._actors.items() if label == actor]
        text = str(question.get("text", ""))
        if text and "grep" in self._filters:  # both have to fit
            filters["grep"] = f"(?=.*(?:{self._filters['grep']}))(?i:.*{re.escape(text)})"
        elif text:
            filters["grep"] = f"(?i){re.escape(text)}"
        lines = self._labelled(engine.query("logs", **filters), engine)
        told = _newest(lines, FOUND, 3 * CHARACTERS)
        more = len(lines) == FOUND or len(told) < len(lines)
        return {"lines": told, "more": more, "upto": self.total}

    def bundle(self, view: str = "") -> dict[str, str]:
        return log_still.bundle(self, view)


def _is_error(entry: Any) -> bool:
    return bool(entry.stream == "stderr")


def _newest(lines: Iterable[Line], most: int, room: int = CHARACTERS) -> list[Line]:
    """The last ones that fit into a message."""
    told: list[Line] = []
    for line in reversed(list(lines)):
        room -= len(line.text) + 160  # and its labels
        if len(told) >= most or room < 0:
            break
        told.append(line)
    return told[::-1]
