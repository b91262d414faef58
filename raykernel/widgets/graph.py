"""`GraphView`: the live task graph in a notebook, and the picture it leaves in the saved file.

The model is in model.py, its drawing in graph.js and, for the saved file, in svg.py; view.py says
when which of them is shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model import GraphModel
from .modules import bundle, styles
from .picture import SIZES
from .view import LiveView

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class GraphView(LiveView):
    """The tasks of a session, or of one cell (`cell`), as a graph that follows the work."""

    _esm = bundle("graph.js")
    _css = styles()

    def __init__(
        self, engine: Engine | None, cell: str = "", *, depth: int | None = None, **how: Any
    ) -> None:
        super().__init__(GraphModel(depth=depth), engine, cell, style={"sizes": SIZES}, **how)
