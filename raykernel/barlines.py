"""Progress bars in a program without a notebook: the open ones, in one line of stderr.

On a terminal the line is rewritten in place. Into a file or a pipe goes one line for each bar, its
last. Called in the thread that reads from the head; `hide` lets others write in between.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import threading
from typing import TextIO

from raykernel.runtime.events import BarInfo

_WIDTH = 20


class BarLines:
    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream
        self._lock = threading.Lock()  # guards all below
        self._open: dict[str, BarInfo] = {}
        self._drawn = False

    def show(self, bars: list[BarInfo]) -> None:
        """Take in what moved and draw."""
        with self._lock, contextlib.suppress(OSError, ValueError):  # stderr may be closed
            stream = self._stream or sys.stderr
            for bar in bars:
                if not bar.closed:
                    self._open[bar.id] = bar  # where it was, if it is known
                    continue
                known = self._open.pop(bar.id, None)
                if not bar.drawn and (bar.n or known is not None):
                    self._clear(stream)
                    stream.write(bar_text(bar) + "\n")
            if stream.isatty() and self._open:
                columns = shutil.get_terminal_size().columns - 1
                width = _WIDTH // min(4, len(self._open))
                text = "  ".join(bar_text(bar, width) for bar in self._open.values())
                stream.write(f"\r\x1b[2K{text[:columns]}")
                self._drawn = True
            else:
                self._clear(stream)
            stream.flush()

    def hide(self) -> None:
        """Take the line away, for somebody else's text; the next state brings it back."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._clear(self._stream or sys.stderr)

    def _clear(self, stream: TextIO) -> None:
        if self._drawn:
            stream.write("\r\x1b[2K")
            self._drawn = False


def bar_text(bar: BarInfo, width: int = _WIDTH) -> str:
    """As in "train:  40% ████████            40/100 [12.1 it/s]"."""
    if bar.text:
        return bar.text
    label = bar.desc or bar.name
    head = f"{label}: " if label else ""
    done = bar.n - bar.initial
    rate = f" [{done / bar.elapsed:,.1f} {bar.unit}/s]" if bar.elapsed > 0 and done else ""
    if not bar.total:
        return f"{head}{bar.n:,g} {bar.unit}{rate}"
    part = min(1.0, max(0.0, bar.n / bar.total))
    drawn = ("█" * round(part * width)).ljust(width)
    return f"{head}{part:>4.0%} {drawn} {bar.n:,g}/{bar.total:,g}{rate}"


_default: BarLines | None = None


def default_lines() -> BarLines:
    global _default
    if _default is None:
        _default = BarLines()
    return _default
