"""Where a mark of the graph is drawn: layered, left to right, and never moved again.

A place is final when it is given, so the picture grows but nothing in it jumps. What is known at
that moment is enough: a task comes after the right edge of its inputs, in the first free slot of
a column. A column belongs to one function, so that a block of columns reads like a wrapped line of
that function's tasks under one header; it opens wide where a dependency needs room for edges, and
tight where only its predecessor was full. In a column a task prefers its first input's row, which
keeps pipelines straight and draws reductions as trees.

Actors live above the tasks: lanes stack upwards (negative y) while rows grow downwards, so that
neither pushes the other.

        lane 1   [actor] ▪▪▪▪▪▪
        lane 0   [actor] ▪▪▪▪
        ----------------------------- y = 0
        load     train           score
        ▢        ▢▢              ▢
        ▢        ▢▢

Units are CSS pixels at zoom 1. Pure: no clock, no randomness.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

TASK_SIZE = 22.0
CALL_SIZE = 10.0
CARD_WIDTH, CARD_HEIGHT = 176.0, 56.0

_ROWS = 12
_ROW = 28.0  # from one row to the next
_TIGHT = 6.0  # between columns of a block
_WIDE = 54.0  # between blocks: room for edges
_ROOM = 24.0  # the least an edge needs
_CHARACTER = 6.6  # of a header, on average
HEADER_CHARACTERS = 22
_OWNERS = 24  # more functions than this share their columns

_LANE = 58.0
_LANES_BOTTOM = -34.0
_CALL = 12.0

_CARD_ROWS = 5
_CARD_X, _CARD_Y = CARD_WIDTH + 52.0, CARD_HEIGHT + 20.0
_CARD_LANE = CARD_HEIGHT + 46.0


@dataclass(frozen=True)
class Box:
    x: float
    y: float
    w: float
    h: float

    @property
    def right(self) -> float:
        return self.x + self.w


@dataclass
class Lane:
    """An actor's strip. `right` grows with its calls; `y` and `h` are fixed."""

    label: str
    x: float
    y: float
    h: float
    right: float
    calls_x: float
    next_call: int = 0


@dataclass
class _Column:
    x: float
    owner: str
    taken: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Header:
    x: float
    y: float
    text: str


def shorten(text: str, characters: int = HEADER_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


class TaskLayout:
    """Places single tasks, actors and calls.

    `after` is the right edge of the rightmost input (`-inf` for none), `beside` an input's box.
    """

    def __init__(self) -> None:
        self.headers: list[Header] = []
        self.lanes: dict[str, Lane] = {}
        self._columns: list[_Column] = []
        self._owners: set[str] = set()

    def task(self, function: str, after: float, beside: Box | None = None) -> Box:
        self._owners.add(function)
        owner = function if len(self._owners) <= _OWNERS else ""
        column = self._column(owner, after)
        row = _free_row(column.taken, _ROWS, beside, _ROW)
        column.taken.add(row)
        return Box(column.x, row * _ROW, TASK_SIZE, TASK_SIZE)

    def actor(self, actor: str, label: str, after: float) -> Box:
        lane = self._lane(actor, label, max(0.0, after + _WIDE))
        if lane.next_call == 0:
            lane.calls_x = lane.x + TASK_SIZE + 12.0
            lane.right = max(lane.right, lane.calls_x)
            return Box(lane.x, lane.y + 22.0, TASK_SIZE, TASK_SIZE)
        lane.x -= TASK_SIZE + 12.0  # the actor came to be known after its calls
        return Box(lane.x, lane.y + 22.0, TASK_SIZE, TASK_SIZE)

    def call(self, actor: str, label: str, after: float) -> Box:
        lane = self._lane(actor, label, 0.0)
        pair, half = divmod(lane.next_call, 2)  # two calls on top of each other
        if after + _ROOM > lane.calls_x + pair * _CALL:
            pair, half = math.ceil((after + _ROOM - lane.calls_x) / _CALL), 0
        lane.next_call = pair * 2 + half + 1
        box = Box(lane.calls_x + pair * _CALL, lane.y + 22.0 + half * _CALL, CALL_SIZE, CALL_SIZE)
        lane.right = max(lane.right, box.right)
        return box

    def _lane(self, actor: str, label: str, x: float) -> Lane:
        lane = self.lanes.get(actor)
        if lane is None:
            y = _LANES_BOTTOM - (len(self.lanes) + 1) * _LANE
            wide = x + 16.0 + len(shorten(label)) * _CHARACTER
            lane = self.lanes[actor] = Lane(label, x, y, _LANE - 8.0, wide, x)
        return lane

    def _column(self, owner: str, after: float) -> _Column:
        for column in self._columns:
            if column.owner == owner and column.x >= after + _ROOM and len(column.taken) < _ROWS:
                return column
        if not self._columns:
            x, headed = max(0.0, after + _WIDE), True
        else:
            last = self._columns[-1]
            headed = last.owner != owner
            edge = last.x + TASK_SIZE
            if headed:
                x = max(edge + _WIDE, self.headers[-1].x + self._header_width())
            else:
                x = edge + _TIGHT
            if x < after + _ROOM:
                x = after + _WIDE
        column = _Column(x, owner)
        self._columns.append(column)
        if headed:
            self.headers.append(Header(x, -12.0, shorten(owner)))
        return column

    def _header_width(self) -> float:
        return len(self.headers[-1].text) * _CHARACTER + 18.0


class GroupLayout:
    """Places the cards that stand for all tasks of a function."""

    def __init__(self) -> None:
        self.lanes: dict[str, Lane] = {}
        self._columns: list[set[int]] = []

    def card(self, after: float, beside: Box | None = None) -> Box:
        column = _card_column(after)
        while column < len(self._columns) and len(self._columns[column]) >= _CARD_ROWS:
            column += 1
        while column >= len(self._columns):
            self._columns.append(set())
        row = _free_row(self._columns[column], _CARD_ROWS, beside, _CARD_Y)
        self._columns[column].add(row)
        return Box(column * _CARD_X, row * _CARD_Y, CARD_WIDTH, CARD_HEIGHT)

    def method(self, actor_class: str, after: float) -> Box:
        """The next card in the lane of a class of actors."""
        lane = self.lanes.get(actor_class)
        if lane is None:
            y = _LANES_BOTTOM - (len(self.lanes) + 1) * _CARD_LANE
            lane = self.lanes[actor_class] = Lane(actor_class, 0.0, y, _CARD_LANE - 12.0, 0.0, 0.0)
        column = max(lane.next_call, _card_column(after))
        box = Box(column * _CARD_X, lane.y + 24.0, CARD_WIDTH, CARD_HEIGHT)
        lane.next_call = column + 1
        lane.right = box.right
        return box


def _card_column(after: float) -> int:
    """The first column of cards to the right of an edge."""
    return max(0, math.floor(after / _CARD_X) + 1) if after > -math.inf else 0


def _free_row(taken: set[int], rows: int, beside: Box | None, pitch: float) -> int:
    """The row beside an input if it is free, else the topmost free one."""
    if beside is not None and beside.y >= 0:
        row = round(beside.y / pitch)
        if row < rows and row not in taken:
            return row
    return next(row for row in range(rows) if row not in taken)
