"""`LogView`: the log pane in a notebook. See log_model.py for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .log_model import LogModel
from .modules import bundle, styles
from .view import LiveView

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class LogView(LiveView):
    """What the tasks of a session write, as they write it."""

    _esm = bundle("logs.js")
    _css = styles("panels.css")

    def __init__(self, engine: Engine | None, model: LogModel | None = None, **how: Any) -> None:
        model = model or LogModel()
        super().__init__(model, engine, variant=model.about, **how)
