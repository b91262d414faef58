"""The views that the dashboard has, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raykernel.holders import report
from raykernel.widgets.cluster_model import ClusterModel
from raykernel.widgets.log_model import LogModel
from raykernel.widgets.memory_model import MemoryModel
from raykernel.widgets.model import GraphModel
from raykernel.widgets.picture import SIZES
from raykernel.widgets.style import FUNCTIONS, STORE
from raykernel.widgets.subject import Subject
from raykernel.widgets.timeline_model import TimelineModel

SUBJECTS: dict[str, Callable[[], Subject]] = {
    "cluster": ClusterModel,
    "timeline": TimelineModel,
    "graph": GraphModel,
    "memory": lambda: MemoryModel(report),
    "logs": LogModel,
}

STYLE: dict[str, Any] = {"stops": True, "sizes": SIZES, "functions": FUNCTIONS, "store": STORE}
