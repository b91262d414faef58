"""The views that the dashboard has, by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raykernel.widgets.cluster_model import ClusterModel
from raykernel.widgets.model import GraphModel
from raykernel.widgets.picture import SIZES
from raykernel.widgets.style import FUNCTIONS
from raykernel.widgets.subject import Subject
from raykernel.widgets.timeline_model import TimelineModel

SUBJECTS: dict[str, Callable[[], Subject]] = {
    "cluster": ClusterModel,
    "timeline": TimelineModel,
    "graph": GraphModel,
}

STYLE: dict[str, Any] = {"sizes": SIZES, "functions": FUNCTIONS}
