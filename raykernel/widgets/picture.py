"""The two pictures of a graph: one mark per task, and one card per function.

A picture is what gets drawn: nodes with a place, edges between them, headers and lanes. It only
ever grows, and keeps account of what changed since it was last sent, so that a live view costs a
few hundred bytes per change. Rows are plain lists, ready for JSON:

    task    [kind, x, y, state, label, id, worker, submitted, started, ended, error, taken, made]
    group   ["group", x, y, counts, label]                 counts: tasks by state
    edge    [from, to, weight, relation]                   from, to: places in the node list

Pure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from raykernel.runtime.events import ACTOR, CALL, STATES, TaskInfo

from .layout import CALL_SIZE, CARD_HEIGHT, CARD_WIDTH, TASK_SIZE, Box, GroupLayout, TaskLayout

DATA = 0  # a task's result is an argument of the other
PARENT = 1  # a task submitted the other

GROUP = "group"
STATE_NUMBER = {state: number for number, state in enumerate(STATES)}
SIZES = {
    "task": [TASK_SIZE, TASK_SIZE],
    "actor": [TASK_SIZE, TASK_SIZE],
    "call": [CALL_SIZE, CALL_SIZE],
    GROUP: [CARD_WIDTH, CARD_HEIGHT],
}

_ERROR = 400  # characters of an error that a view carries


@dataclass
class Node:
    """A mark. `task` is its newest state; a group has `counts` instead."""

    kind: str
    label: str
    box: Box
    task: TaskInfo | None = None
    counts: list[int] | None = None

    def row(self) -> list[Any]:
        x, y = round(self.box.x, 1), round(self.box.y, 1)
        if self.task is None:
            return [self.kind, x, y, self.counts, self.label]
        t = self.task
        times = [round(moment, 3) for moment in (t.submitted, t.started, t.ended)]
        error = t.error[:_ERROR]
        return [
            self.kind, x, y, STATE_NUMBER[t.state], self.label, t.id, t.worker, *times, error,
            t.taken, t.made,
        ]  # fmt: skip


class Picture:
    """Nodes and edges, and which of them a viewer has not been told about."""

    mode = ""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.edges: dict[tuple[int, int, int], int] = {}
        self._changed_nodes: set[int] = set()
        self._changed_edges: set[tuple[int, int, int]] = set()

    def headers(self) -> list[list[Any]]:
        return []

    def lanes(self) -> list[list[Any]]:
        raise NotImplementedError

    def connect(self, source: int, target: int, relation: int) -> None:
        """Count one more dependency between two nodes; data outshines parentage."""
        if relation == PARENT and (source, target, DATA) in self.edges:
            return
        key = (source, target, relation)
        self.edges[key] = self.edges.get(key, 0) + 1
        self._changed_edges.add(key)

    def touch(self, index: int) -> None:
        self._changed_nodes.add(index)

    def whole(self) -> dict[str, Any]:
        """All of it; what changed until now counts as told."""
        self._changed_nodes.clear()
        self._changed_edges.clear()
        return {
            "mode": self.mode,
            "nodes": [node.row() for node in self.nodes],
            "edges": [self._edge(key) for key in self.edges],
            "headers": self.headers(),
            "lanes": self.lanes(),
        }

    def changes(self) -> dict[str, Any]:
        """What changed since the last `whole` or `changes`."""
        nodes = [[index, self.nodes[index].row()] for index in sorted(self._changed_nodes)]
        edges = [self._edge(key) for key in sorted(self._changed_edges)]
        self._changed_nodes.clear()
        self._changed_edges.clear()
        return {"nodes": nodes, "edges": edges, "headers": self.headers(), "lanes": self.lanes()}

    def _edge(self, key: tuple[int, int, int]) -> list[int]:
        return [key[0], key[1], self.edges[key], key[2]]

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        self.touch(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def _after(self, sources: Iterable[int]) -> float:
        return max((self.nodes[source].box.right for source in sources), default=-math.inf)


class TaskPicture(Picture):
    """One mark per task."""

    mode = "tasks"

    def __init__(self) -> None:
        super().__init__()
        self.index: dict[str, int] = {}
        self._layout = TaskLayout()

    def headers(self) -> list[list[Any]]:
        return [[round(h.x, 1), h.y, h.text] for h in self._layout.headers if h.text]

    def lanes(self) -> list[list[Any]]:
        return _lanes(self._layout)

    def update(self, task: TaskInfo) -> None:
        index = self.index.get(task.id)
        if index is None:
            self.index[task.id] = self._place(task)
        else:
            self.nodes[index].task = task
            self.touch(index)

    def refresh(self, task: TaskInfo) -> bool:
        """Take over details that changed without the state; False if there are none."""
        if self.nodes[self.index[task.id]].task == task:
            return False
        self.update(task)
        return True

    def relate(self, task: TaskInfo) -> None:
        """Draw the edges into a task. Apart from `update`, so that its inputs are placed."""
        target = self.index[task.id]
        for source in dict.fromkeys(task.deps):
            if source in self.index:
                self.connect(self.index[source], target, DATA)
        if task.parent in self.index:
            self.connect(self.index[task.parent], target, PARENT)

    def _place(self, task: TaskInfo) -> int:
        sources = [self.index[source] for source in task.deps if source in self.index]
        after, layout = self._after(sources), self._layout
        if task.kind == ACTOR:
            label = class_of(task)
            return self._add(Node(ACTOR, label, layout.actor(task.actor, label, after), task))
        if task.kind == CALL:
            box = layout.call(task.actor, class_of(task), after)
            return self._add(Node(CALL, task.name, box, task))
        if not sources and task.parent in self.index:
            sources = [self.index[task.parent]]
            after = self._after(sources)
        beside = self.nodes[sources[0]].box if sources else None
        return self._add(Node("task", task.name, layout.task(task.name, after, beside), task))


class GroupPicture(Picture):
    """One card per function, with how many of its tasks are in which state."""

    mode = "groups"

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit
        self._index: dict[tuple[str, str], int] = {}
        self._layout = GroupLayout()

    def lanes(self) -> list[list[Any]]:
        return _lanes(self._layout)

    def group_of(self, task: TaskInfo, sources: Callable[[TaskInfo], list[int]]) -> int:
        """The task's card; placed after those of its sources if it is its function's first."""
        key = (task.kind, task.name)
        index = self._index.get(key)
        if index is None and len(self._index) >= self._limit:
            key = ("", "other functions")
            index = self._index.get(key)
        if index is None:
            known = sources(task)
            if task.kind in (ACTOR, CALL) and key[0]:
                box = self._layout.method(class_of(task), self._after(known))
            else:
                beside = self.nodes[known[0]].box if known else None
                box = self._layout.card(self._after(known), beside)
            counts = [0] * len(STATES)
            index = self._index[key] = self._add(Node(GROUP, key[1], box, counts=counts))
        return index

    def count(self, index: int, state: int, by: int) -> None:
        counts = self.nodes[index].counts
        assert counts is not None
        counts[state] += by
        self.touch(index)


def class_of(task: TaskInfo) -> str:
    """The class of the actor that a creation or a call belongs to: `Counter.add` -> `Counter`."""
    return task.name.rpartition(".")[0] or task.name


def _lanes(layout: TaskLayout | GroupLayout) -> list[list[Any]]:
    return [
        [round(lane.x, 1), lane.y, round(lane.right - lane.x, 1), lane.h, lane.label]
        for lane in layout.lanes.values()
    ]
