"""Lines of task output with the name of who wrote them in front: `(train pid=123) epoch 1`.

Tasks of one cell share its output, so a partial line stays open for its writer: it goes on
without a second prefix, and somebody else's text begins on a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

from raykernel.runtime.events import LogLine

#: Streams whose open line is remembered; beyond it the oldest is taken as ended.
MEMORY = 1000


class LogText:
    def __init__(self) -> None:
        # (cell, stream) -> (worker, task) whose line is open there
        self._open: dict[tuple[str, str], tuple[str, str]] = {}

    def render(self, lines: Iterable[LogLine]) -> list[tuple[str, str, str]]:
        """Join what goes to one place: (cell, stream, text) in order of appearance."""
        out: list[tuple[str, str, list[str]]] = []
        for line in lines:
            if not line.text:
                continue
            if not out or out[-1][:2] != (line.cell, line.stream):
                out.append((line.cell, line.stream, []))
            out[-1][2].append(self._text(line))
        return [(cell, stream, "".join(parts)) for cell, stream, parts in out]

    def _text(self, line: LogLine) -> str:
        place, writer = (line.cell, line.stream), (line.worker, line.task)
        prefix = f"({line.name} pid={line.worker}) " if line.name else f"(pid={line.worker}) "
        owner = self._open.pop(place, None)
        before = "" if owner is None or owner == writer else "\n"
        # A carriage return rewrites its line, as progress bars do; the prefix is to survive it.
        body = line.text.replace("\r\n", "\n").replace("\r", "\r" + prefix)
        first, *rest = _split(body)
        text = first if owner == writer else f"{before}{prefix}{first}"
        text += "".join(prefix + part for part in rest)
        if not line.text.endswith("\n"):
            self._open[place] = writer
            while len(self._open) > MEMORY:
                del self._open[next(iter(self._open))]
        return text


def _split(text: str) -> list[str]:
    """Split after newlines, and at nothing else that `str.splitlines` takes for one."""
    *whole, last = text.split("\n")
    return [part + "\n" for part in whole] + ([last] if last else [])
