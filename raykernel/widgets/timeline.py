"""`TimelineView`: the live timeline in a notebook. See timeline_model.py for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .modules import bundle, styles
from .style import FUNCTIONS
from .timeline_model import TimelineModel
from .view import LiveView

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class TimelineView(LiveView):
    """When the tasks of a session, or of one cell (`cell`), waited, ran and moved data."""

    _esm = bundle("timeline.js")
    _css = styles()

    def __init__(self, engine: Engine | None, cell: str = "", **how: Any) -> None:
        super().__init__(TimelineModel(), engine, cell, style={"functions": FUNCTIONS}, **how)
