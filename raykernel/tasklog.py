"""Lines of task output with the name of who wrote them in front: `(train pid=123) epoch 1`.

Tasks of one cell share its output. The pipes they write to are read in pieces that end anywhere,
so a line's beginning is held back for its rest. Text that stays without a newline, as of a
progress bar, is shown after `HOLD` seconds all the same; then the line is open for its writer,
who goes on in it without a second prefix, and somebody else's text begins on a line of its own.
Repeated lines are folded (folding.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from raykernel.folding import Folding
from raykernel.runtime.events import LogLine

HOLD = 0.5

#: Streams whose open line is remembered; beyond it the oldest is taken as ended.
MEMORY = 1000

Place = tuple[str, str]  # cell, stream
Writer = tuple[str, str]  # worker, task


@dataclass(slots=True)
class _Held:
    line: LogLine
    since: float


class LogText:
    def __init__(self, folding: Folding | None = None) -> None:
        self._folding = folding
        self._open: dict[Place, Writer] = {}
        self._held: dict[tuple[Place, Writer], _Held] = {}

    @property
    def holds(self) -> bool:
        """Whether there is text that only time will bring out."""
        return bool(self._held) or (self._folding is not None and self._folding.holds)

    def render(
        self, lines: Iterable[LogLine], now: float, everything: bool = False
    ) -> list[tuple[str, str, str]]:
        """What to show by now: (cell, stream, text) in order, joined where it goes to one place.

        `now` is in seconds of any monotonic clock. With `everything` nothing is held back.
        """
        out: list[tuple[Place, list[str]]] = []

        def show(line: LogLine) -> None:
            place = (line.cell, line.stream)
            if not out or out[-1][0] != place:
                out.append((place, []))
            out[-1][1].append(self._text(line))

        for line in lines:
            if line.text:
                for ready in self._take(line, now):
                    for piece in self._fold(ready, now):
                        show(piece)
        for key, held in list(self._held.items()):
            if everything or now - held.since >= HOLD:
                del self._held[key]
                show(held.line)
        if self._folding is not None:
            for summary in self._folding.due(now, everything):
                show(summary)
        return [(cell, stream, "".join(parts)) for (cell, stream), parts in out]

    def _take(self, line: LogLine, now: float) -> Iterable[LogLine]:
        """The lines that are whole by now, and a partial one if it goes on in an open line."""
        place, writer = (line.cell, line.stream), (line.worker, line.task)
        held = self._held.pop((place, writer), None)
        if held is not None:
            line = _with_text(line, held.line.text + line.text)
        whole, newline, rest = line.text.rpartition("\n")
        if newline:
            told = _with_text(line, whole + newline)
            told.times = line.times if held is None else 1
            yield told
        if rest and self._open.get(place) == writer:
            yield _with_text(line, rest)
        elif rest:
            since = now if held is None or newline else held.since
            self._held[place, writer] = _Held(_with_text(line, rest), since)

    def _fold(self, line: LogLine, now: float) -> Iterable[LogLine]:
        """What is to be shown of it, line by line where repetitions may be folded."""
        folding = self._folding
        if (
            folding is None
            or not line.text.endswith("\n")
            or "\r" in line.text
            or (line.cell, line.stream) in self._open
        ):
            yield line
        elif line.times > 1:
            yield from folding.take(line, now)
        else:
            for part in _split(line.text):
                yield from folding.take(_with_text(line, part), now)

    def _text(self, line: LogLine) -> str:
        place, writer = (line.cell, line.stream), (line.worker, line.task)
        prefix = f"({line.name} pid={line.worker}) " if line.name else f"(pid={line.worker}) "
        owner = self._open.pop(place, None)
        # A carriage return rewrites its line, as progress bars do; the prefix is to survive it.
        body = line.text.replace("\r\n", "\n").replace("\r", "\r" + prefix)
        first, *rest = _split(body)
        before = "" if owner is None or owner == writer else "\n"
        text = first if owner == writer else f"{before}{prefix}{first}"
        text += "".join(prefix + part for part in rest)
        if not body.endswith("\n"):
            self._open[place] = writer
            while len(self._open) > MEMORY:
                del self._open[next(iter(self._open))]
        return text


def _with_text(line: LogLine, text: str) -> LogLine:
    return LogLine(line.cell, line.task, line.name, line.worker, line.stream, text)


def _split(text: str) -> list[str]:
    """Split after newlines, and at nothing else that `str.splitlines` takes for one."""
    *whole, last = text.split("\n")
    return [part + "\n" for part in whole] + ([last] if last else [])
