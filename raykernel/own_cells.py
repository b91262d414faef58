"""Which cells are a notebook's own, also after its kernel was restarted.

A session may be used by several notebooks, and each shows what its own cells caused. What a kernel
ran it knows; what the kernel before it ran stands in a file of the session's folder, a line for
each cell that submitted something. Only the notebook that a session belongs to writes and reads it:
that is the one which comes back.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_NAME = "cells"


class OwnCells:
    """`folder` is the session's, "" where there is nothing to be kept. `earlier` are the cells of
    the kernels before this one."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._file = Path(folder, _NAME) if folder else None
        self.earlier: frozenset[str] = frozenset()
        if self._file is not None:
            with contextlib.suppress(OSError):  # nothing was written yet
                self.earlier = frozenset(self._file.read_text(encoding="utf-8").splitlines())

    def note(self, cell: str) -> None:
        """A cell of this kernel's submits."""
        if self._file is not None and cell:
            with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
                file.write(f"{cell}\n")
