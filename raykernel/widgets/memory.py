"""`MemoryView`: the memory view in a notebook. See memory_model.py for what it shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .memory_model import Look, MemoryModel
from .modules import bundle, styles
from .style import STORE
from .view import LiveView

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class MemoryView(LiveView):
    """The objects of a session by size, and who keeps each; it outlives the session."""

    _esm = bundle("memory.js")
    _css = styles("panels.css")

    def __init__(
        self, engine: Engine | None, look: Callable[[Engine], Look], *, rows: int = 20, **how: Any
    ) -> None:
        super().__init__(MemoryModel(look, rows), engine, style={"store": STORE}, **how)
