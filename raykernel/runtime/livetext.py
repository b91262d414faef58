"""Text that rewrites itself, as progress bars do, told from text that is there to stay.

A program that ends its text with a carriage return instead of a newline, or moves the cursor up,
means a screen. `LiveText` plays that screen for one task's stream: rows that are still being
rewritten are bars, rows that the cursor has left behind for good are lines like any other. What
tqdm writes is read back into numbers; of any other bar the text itself is shown.
"""

from __future__ import annotations

import itertools
import re

import msgspec

from .events import BarInfo, LogLine

#: Seconds between two states of a bar, at least.
INTERVAL = 0.1

_TOKENS = re.compile(r"(\r\n|\r|\n|\x1b\[A|\x1b\[[0-9;]*[A-Za-z])")
_numbers = itertools.count(1)
_UP = "\x1b[A"

#: As tqdm draws them: "desc:  40%|####      | 40/100 [00:01<00:02, 30.00it/s, loss=1]", and
#: without a total "desc: 40it [00:01, 30.00it/s]".
_WITH_TOTAL = re.compile(
    r"^(?:(?P<desc>.*?): +)?\s*\d+%\|.*\|\s*(?P<n>\d+(?:\.\d+)?)/(?P<total>\d+(?:\.\d+)?)\s*"
    r"\[(?P<rest>[^\[\]]*)\]$"
)
_WITHOUT = re.compile(
    r"^(?:(?P<desc>.*?): +)?(?P<n>\d+(?:\.\d+)?)(?P<unit>[^\d\s\[]*)\s*\[(?P<rest>[^\[\]]*)\]$"
)
_UNIT = re.compile(r"[\d.?]+\s?(?P<unit>[^\d\s/,]+)/s|s/(?P<per>[^\d\s,]+)")


def rewrites(text: str) -> bool:
    """Whether a text asks for a screen."""
    return "\r" in text and text.replace("\r\n", "\n").count("\r") > 0


class Screens:
    """The screens of one process's tasks: takes what they wrote, gives back what is to be shown.

    Not thread-safe. `sift` is to be called again within `INTERVAL` while `pending`.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, str], LiveText] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def pending(self) -> bool:
        """Whether there is more to show than was shown."""
        return any(screen.pending for screen in self._open.values())

    def sift(self, lines: list[LogLine], now: float) -> tuple[list[LogLine], list[BarInfo]]:
        """The text that stays, and the bars that moved."""
        kept: list[LogLine] = []
        for line in lines:
            key = (line.task, line.stream)
            screen = self._open.get(key)
            if screen is None:
                if not rewrites(line.text):
                    kept.append(line)
                    continue
                screen = self._open[key] = LiveText(line)
            screen.feed(line.text)
        bars: list[BarInfo] = []
        for key, screen in list(self._open.items()):
            self._show(screen, screen.settle(), kept)
            bars += screen.bars(now)
            if screen.empty:
                del self._open[key]
        return kept, bars

    def end(self, task: str, kept: list[LogLine], bars: list[BarInfo]) -> None:
        """The task is over: add what it left on its screens."""
        for key in [key for key in self._open if key[0] == task]:
            screen = self._open.pop(key)
            self._show(screen, screen.settle(everything=True), kept)
            bars += screen.bars(float("inf"))

    def _show(self, screen: LiveText, text: str, kept: list[LogLine]) -> None:
        if text:
            line = msgspec.structs.replace(screen.line, text=text)
            kept.append(line)


class _Row:
    """A line of a screen. `began` is when it was first shown as a bar, 0.0 before that."""

    __slots__ = ("began", "number", "text")

    def __init__(self) -> None:
        self.number = next(_numbers)
        self.text = ""
        self.began = 0.0


class LiveText:
    """One task's stream from its first carriage return on."""

    def __init__(self, line: LogLine) -> None:
        self.line = line
        self._rows = [_Row()]
        self._at = 0  # the cursor's row
        self._before = 0  # where it was when rows were settled last
        self._column = 0
        self._gone: list[_Row] = []  # bars that nobody was told of yet that they are over
        self._sent = 0.0
        self._moved = False

    @property
    def empty(self) -> bool:
        """Whether nothing is left on the screen, and everybody knows."""
        return len(self._rows) == 1 and not self._rows[0].text.strip() and not self._gone

    @property
    def pending(self) -> bool:
        return self._at > 0 or self._moved or bool(self._gone)

    def feed(self, text: str) -> None:
        self._moved = True
        for token in _TOKENS.split(text):
            if not token:
                continue
            row = self._rows[self._at]
            if token == "\r":
                self._column = 0
            elif token in ("\n", "\r\n"):
                self._at += 1
                self._column = 0
                if self._at == len(self._rows):
                    self._rows.append(_Row())
            elif token == _UP:
                self._at = max(0, self._at - 1)
            elif token[0] == "\x1b":
                if token[-1] == "K":
                    row.text = row.text[: self._column]
            else:
                end = self._column + len(token)
                row.text = row.text.ljust(self._column)[: self._column] + token + row.text[end:]
                self._column = end

    def settle(self, everything: bool = False) -> str:
        """Take the rows that the cursor has left behind, as plain text.

        A bar below another leaves it for a moment at a time, so a row counts as left only when it
        was left the last time too.
        """
        left = len(self._rows) if everything else min(self._at, self._before)
        done, self._rows = self._rows[:left], self._rows[left:]
        self._at = self._before = max(0, self._at - left)
        if not self._rows:
            if not done[-1].text.strip():
                self._gone += [row for row in done[-1:] if row.began]
                done.pop()
            self._rows = [_Row()]
        self._gone += [row for row in done if row.began]
        return "".join(row.text.rstrip() + "\n" for row in done)

    def bars(self, now: float) -> list[BarInfo]:
        """The rows as bars, unless they were told a moment ago. What is gone is told as closed."""
        if not (self._moved or self._gone) or now - self._sent < INTERVAL:
            return []
        self._sent, self._moved = now, False
        out = []
        for position, row in enumerate(self._rows):
            text = row.text.strip()
            if text:
                row.began = row.began or now
                out.append(self._bar(row, read_bar(text), position, now - row.began))
            elif row.began:
                self._gone.append(row)
        for row in self._gone:
            row.began = 0.0
            out.append(self._bar(row, BarInfo("", closed=True), 0, 0.0))
        self._gone = []
        return out

    def _bar(self, row: _Row, bar: BarInfo, position: int, elapsed: float) -> BarInfo:
        line = self.line
        return msgspec.structs.replace(
            bar, id=f"{line.worker}-text-{row.number}", task=line.task, name=line.name,
            cell=line.cell, worker=line.worker, position=position, elapsed=elapsed, drawn=True,
        )  # fmt: skip


def read_bar(text: str) -> BarInfo:
    """A bar's numbers from its text; the text itself where they can't be found."""
    found = _WITH_TOTAL.match(text)
    if found is not None:
        total = _number(found["total"])
        unit = _unit(found["rest"])
        return BarInfo("", desc=found["desc"] or "", n=_number(found["n"]), total=total, unit=unit)
    found = _WITHOUT.match(text)
    if found is not None:
        unit = found["unit"] or "it"
        return BarInfo("", desc=found["desc"] or "", n=_number(found["n"]), unit=unit)
    return BarInfo("", text=text)


def _unit(rest: str) -> str:
    found = _UNIT.search(rest)
    return (found["unit"] or found["per"]) if found is not None else "it"


def _number(text: str) -> int | float:
    return float(text) if "." in text else int(text)
