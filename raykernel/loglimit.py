"""How much task output a notebook shows: so many lines of a cell, so many bytes of a session.

The rest stands in the log files, and one line says so, where the output breaks off.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

#: Cells remembered. An older one may show as much again.
MEMORY = 2000
_LONG = 10_000  # characters of one line


class Limit:
    """0 is no limit. `number(cell)` is what a cell's prompt shows, 0 for none."""

    def __init__(self, lines: int, size: int, number: Callable[[str], int]) -> None:
        self._lines = lines
        self._size = size
        self._number = number
        self._shown: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def take(self, cell: str, text: str, skipped: bool = False) -> str:
        """What of `text` is to be shown. `skipped`: more of this cell's is not even here."""
        if self._size and self._bytes >= self._size:
            return ""
        shown = self._shown.setdefault(cell, 0)
        if self._lines and shown > self._lines:
            return ""
        count = text.count("\n")
        if self._lines and (skipped or shown + count > self._lines):
            kept = text.split("\n", self._lines - shown)[: self._lines - shown]
            text = "".join(f"{line}\n" for line in kept) if shown + count > self._lines else text
            text = _cut(text) + self._end_of_cell(cell)
            self._shown[cell] = self._lines + 1
        else:
            text = _cut(text)
            self._shown[cell] = shown + count
        self._shown.move_to_end(cell)
        while len(self._shown) > MEMORY:
            self._shown.popitem(last=False)
        self._bytes += len(text)
        if self._size and self._bytes >= self._size:
            text += (
                f"… this session's tasks have printed {self._size:,} bytes: what follows is in the "
                "log files only, see %ray logs\n"
            )
        return text

    def _end_of_cell(self, cell: str) -> str:
        number = self._number(cell)
        see = f"%ray logs --cell {number}" if number else "%ray logs"
        return (
            f"… this cell's tasks have printed more than {self._lines:,} lines: the rest is in the "
            f"log files, see {see}\n"
        )


def _cut(text: str) -> str:
    if len(text) <= _LONG or max(map(len, text.split("\n"))) <= _LONG:
        return text
    return "\n".join(
        line if len(line) <= _LONG else f"{line[:_LONG]} … ({len(line):,} characters)"
        for line in text.split("\n")
    )
