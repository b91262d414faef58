"""`ClusterView`: the cluster panel in a notebook. See cluster_model.py for what it shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cluster_model import ClusterModel, Controls
from .modules import bundle, styles
from .view import LiveView

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine


class ClusterView(LiveView):
    """A session's resources, workers, actors and tasks; it outlives the session and shows the next
    one. `controls` starts and ends sessions."""

    _esm = bundle("cluster.js")
    _css = styles("cluster.css")

    def __init__(
        self, engine: Engine | None, *, controls: Controls | None = None, **how: Any
    ) -> None:
        super().__init__(ClusterModel(controls), engine, **how)
