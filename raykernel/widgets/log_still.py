"""The static form of the log pane: the last lines, as text and as HTML. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from .still import frame

if TYPE_CHECKING:
    from .log_model import Line, LogModel

MOST = 180_000  # bytes of the lines in both forms


def bundle(model: LogModel, view: str = "") -> dict[str, str]:
    lines = _last(model)
    words = headline(model, len(lines))
    return {
        "text/html": frame(view, words, words, "", _listing(lines)),
        "text/plain": text(model),
    }


def headline(model: LogModel, shown: int) -> str:
    noun = "line" if model.total == 1 else "lines"
    about = f" of {model.about}" if model.about else ""
    if not model.total:
        return f"No task output{about} yet"
    last = "" if shown == model.total else f", the last {shown:,} of them here"
    return f"{model.total:,} {noun} of task output{about}{last}"


def text(model: LogModel) -> str:
    """As `%ray logs` prints it."""
    lines = _last(model)
    return "\n".join(f"({label(line)}) {line.text}" for line in lines) or headline(model, 0) + "."


def label(line: Line) -> str:
    return f"{line.name} pid={line.pid}" if line.name else f"pid={line.pid}"


def _last(model: LogModel) -> list[Line]:
    last: list[Line] = []
    room = MOST
    for line in reversed(model.lines):
        room -= len(line.text.encode()) + len(escape(line.text).encode()) + 120
        if room < 0 or len(last) >= model.tail:
            break
        last.append(line)
    return last[::-1]


def _listing(lines: Sequence[Line]) -> str:
    if not lines:
        return ""
    rows = "".join(
        f"<span style='opacity:.65'>({escape(label(line))})</span> {escape(line.text)}\n"
        for line in lines
    )
    return f"<pre style='max-height:24em;overflow:auto'>{rows}</pre>"
