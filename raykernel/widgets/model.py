"""The state of a graph view, folded from the engine's event batches, and what it answers.

Two pictures grow side by side: every task by itself, until there are more than `limit` of them,
and one card per function, which holds for any number. Past the limit the first is let go and the
view is grouped from then on; a card that a viewer unfolds shows its tasks again (members.py).

Tasks that are over in a moment come, when there are many, as a sample and a number for the rest.
Then the view is past its limit: they count on their cards, and are cells without a story.

Memory is bounded by the live tasks plus `memory` finished ones: an older finished task is
forgotten, its place in the counts stays. A forgotten task is not counted twice when a whole list
of tasks is read again (`merge`), at the price that one which the view never saw and that ended
before then is left out.

Not thread-safe: the view guards it with its lock. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from raykernel.runtime.events import (
    FAILED,
    FINISHED,
    LIVE,
    STATES,
    EventBatch,
    Finished,
    TaskInfo,
)

from . import still, svg, tasktext
from .members import Members
from .picture import DATA, PARENT, STATE_NUMBER, GroupPicture, Picture, TaskPicture
from .style import LOOKS
from .subject import Quiet, Refused

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

TASKS_DRAWN = 300
GROUPS_DRAWN = 120
FINISHED_KNOWN = 20_000
FAILURES_KEPT = 20
FOUND = 500  # tasks that a search names

_LIVE_NUMBERS = frozenset(STATE_NUMBER[state] for state in LIVE)
#: How far a state is on a task's way; a list that was read earlier never takes a task back.
_PROGRESS = {state: min(number, 3) for state, number in STATE_NUMBER.items()}


class GraphModel(Quiet):
    """`depth` leaves out what tasks deeper than that submitted: at 1 only what the driver did."""

    kind = "graph"

    def __init__(
        self,
        limit: int = TASKS_DRAWN,
        memory: int = FINISHED_KNOWN,
        groups: int = GROUPS_DRAWN,
        depth: int | None = None,
    ) -> None:
        self.version = 0
        self.total = 0
        self.counts = [0] * len(STATES)
        #: (function, error) -> (how often, the first such task); the first few kinds only
        self.failures: dict[tuple[str, str], tuple[int, str]] = {}
        self.time = 0.0
        self._limit = limit
        self._memory = memory
        self._tasks: TaskPicture | None = TaskPicture()
        self._groups = GroupPicture(groups)
        # task -> its group, its state, its place among the group's members
        self._known: dict[str, tuple[int, int, int]] = {}
        self._members: list[Members] = []  # by group
        self._depth = depth
        self.brief = self.sample = depth is None  # a number tells no depth
        self._depths: dict[str, int] = {}  # of the known tasks, if there is a limit
        self._ended: deque[str] = deque()
        self._forgot = False
        self._told = -1  # the version that a viewer has

    @property
    def picture(self) -> Picture:
        return self._tasks or self._groups

    @property
    def groups(self) -> GroupPicture:
        return self._groups

    @property
    def live(self) -> int:
        """How many tasks are still going to change."""
        return sum(self.counts[number] for number in _LIVE_NUMBERS)

    def apply(self, batch: EventBatch) -> bool:
        """Fold in a batch; False if nothing in it was different."""
        self.time = max(self.time, batch.time)
        changed = self._fold(batch.tasks)
        for done in batch.finished:
            self._tally(done)
        return changed or bool(batch.finished)

    def _tally(self, done: Finished) -> None:
        task = TaskInfo("", done.name, done.kind)
        group, state = self._groups.group_of(task, lambda _: []), STATE_NUMBER[FINISHED]
        self._groups.count(group, state, done.count)
        self.counts[state] += done.count
        self.total += done.count
        while len(self._members) <= group:
            self._members.append(Members())
        self._members[group].add_nameless(done.count, state)
        self.partial = self._forgot = True
        if self._tasks is not None:  # of which it lacks some now, however few they are
            self._tasks, self._told = None, -1
        self.version += 1

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        """Fold in a list that was asked for, and that batches may have overtaken."""
        return self._fold([task for task in tasks if self._tells(task)])

    def _tells(self, task: TaskInfo) -> bool:
        known = self._known.get(task.id)
        if known is None:
            return task.state in LIVE or not self._forgot
        return _PROGRESS[task.state] >= min(known[1], 3)

    def _fold(self, tasks: list[TaskInfo]) -> bool:
        fresh = [task for task in tasks if task.id not in self._known]
        # Inputs are submitted before what takes them, so this order places them first.
        fresh.sort(key=lambda task: task.submitted)
        if self._depth is not None:
            fresh = [task for task in fresh if self._near(task)]
            tasks = [task for task in tasks if task.id in self._depths]
        for task in fresh:
            self._meet(task)
        changed = bool(fresh)
        for task in fresh:
            self._relate(task)
        for task in tasks:
            changed |= self._change(task)
        self._forget()
        if changed:
            self.version += 1
        return changed

    def _near(self, task: TaskInfo) -> bool:
        """Whether the task is within the depth; the child of one that isn't known is not."""
        assert self._depth is not None
        depth = self._depths.get(task.parent, self._depth) + 1 if task.parent else 1
        if depth > self._depth:
            return False
        self._depths[task.id] = depth
        return True

    def _meet(self, task: TaskInfo) -> None:
        state = STATE_NUMBER[task.state]
        group = self._groups.group_of(task, self._sources)
        self._groups.count(group, state, 1)
        self.counts[state] += 1
        self.total += 1
        while len(self._members) <= group:
            self._members.append(Members())
        self._known[task.id] = (group, state, self._members[group].add(task.id, state))
        if self._tasks is not None:
            if self.total > self._limit:
                self._tasks, self._told = None, -1
            else:
                self._tasks.update(task)
        self._ending(task)

    def _relate(self, task: TaskInfo) -> None:
        group = self._known[task.id][0]
        for source in dict.fromkeys(task.deps) if task.deps else ():
            if source in self._known:
                self._groups.connect(self._known[source][0], group, DATA)
        if task.parent in self._known:
            self._groups.connect(self._known[task.parent][0], group, PARENT)
        if self._tasks is not None:
            self._tasks.relate(task)

    def _sources(self, task: TaskInfo) -> list[int]:
        names = [*task.deps, task.parent]
        return [self._known[name][0] for name in names if name in self._known]

    def _change(self, task: TaskInfo) -> bool:
        group, before, place = self._known[task.id]
        state = STATE_NUMBER[task.state]
        if state == before:
            return self._tasks is not None and self._tasks.refresh(task)
        for number, by in ((before, -1), (state, 1)):
            self._groups.count(group, number, by)
            self.counts[number] += by
        self._known[task.id] = (group, state, place)
        self._members[group].change(place, state)
        if self._tasks is not None:
            self._tasks.update(task)
        self._ending(task)
        return True

    def _ending(self, task: TaskInfo) -> None:
        if task.state not in LIVE:
            self._ended.append(task.id)
            if task.state == FAILED:
                kind = (task.name, task.error)
                count, first = self.failures.get(kind, (0, task.id))
                if count or len(self.failures) < FAILURES_KEPT:
                    self.failures[kind] = (count + 1, first)

    def _forget(self) -> None:
        while len(self._ended) > self._memory:
            task = self._ended.popleft()
            known = self._known.get(task)
            if known is not None and known[1] not in _LIVE_NUMBERS:
                del self._known[task]
                self._depths.pop(task, None)
                if known[2] >= 0:
                    self._members[known[0]].ids[known[2]] = None
                self._forgot = True

    # -- what viewers are told -----------------------------------------------------------------

    def snapshot(self) -> dict[str, Any]:
        """All there is to draw, as JSON; deltas after it start from here."""
        self._told = self.version
        opened = {str(group): members.whole() for group, members in self._unfolded()}
        return {**self._numbers(), **self.picture.whole(), "open": opened}

    def delta(self) -> dict[str, Any] | None:
        """What changed since the last snapshot or delta; None if only a snapshot can say it."""
        if self._told < 0:
            return None
        base, self._told = self._told, self.version
        cells = {}
        for group, members in self._unfolded():
            changed = members.changes()
            if changed is not None:
                cells[str(group)] = changed
        return {**self._numbers(), "base": base, **self.picture.changes(), "cells": cells}

    def _unfolded(self) -> list[tuple[int, Members]]:
        if self._tasks is not None:
            return []
        return [(n, members) for n, members in enumerate(self._members) if members.columns]

    def _numbers(self) -> dict[str, Any]:
        failures = [
            [name, error[:200], count, first]
            for (name, error), (count, first) in self.failures.items()
        ]
        return {
            "version": self.version,
            "counts": list(self.counts),
            "total": self.total,
            "failures": failures,
        }

    # -- what viewers ask ----------------------------------------------------------------------

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        ask = question.get("ask")
        if ask in ("unfold", "fold"):
            chosen = question.get("group", -1)
            for group, members in enumerate(self._members):
                if chosen in (-1, group):
                    members.unfold() if ask == "unfold" else members.fold()
            self._told = -1  # the next message is a snapshot
            self.version += 1
            return {}
        if ask == "find":
            return self._find(str(question.get("text", "")).strip().lower())
        if ask in ("task", "log"):
            task = self._named(question)
            if ask == "log":
                return tasktext.log(task, engine)
            told = tasktext.story(task, engine)
            told["inputs"] = [
                [self._known[source][0], self._known[source][2]]
                for source in told["deps"]
                if source in self._known
            ]
            return told
        return super().answer(question, engine)

    def _named(self, question: dict[str, Any]) -> str:
        """The id of the task that a question is about."""
        if "id" in question:
            return str(question["id"])
        try:
            task = self._members[int(question["group"])].ids[int(question["cell"])]
        except (KeyError, IndexError, ValueError):
            raise Refused("there is no such task") from None
        if task is None:
            raise Refused("It ended long ago, or in a moment among many: its story is not kept.")
        return task

    def _find(self, text: str) -> dict[str, Any]:
        """Cells whose id or state has the text; names are searched where they are drawn."""
        states = {n for n, look in enumerate(LOOKS) if text and text in look["label"]}
        found = [
            [group, place]
            for task, (group, state, place) in self._known.items()
            if place >= 0 and text and (state in states or text in task)
        ]
        return {"found": found[:FOUND], "count": len(found)}

    def bundle(self, view: str = "") -> dict[str, str]:
        return svg.bundle(self, view)

    def headline(self) -> str:
        """`128 tasks: 4 running, 124 finished`"""
        return still.headline(self.counts, self.total)

    def functions(self) -> list[tuple[str, list[int]]]:
        """Each function with its tasks by state, in the order they were first seen."""
        return [(node.label, list(node.counts or ())) for node in self._groups.nodes]

    def flows(self) -> list[tuple[str, str, int]]:
        """(from, to, how many) for the data that goes from one function to another."""
        nodes = self._groups.nodes
        return [
            (nodes[source].label, nodes[target].label, weight)
            for (source, target, relation), weight in self._groups.edges.items()
            if relation == DATA
        ]
