"""What the buttons of a cell's progress do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Controls:
    """What the view's buttons do, each called in the thread that handles the front end's messages.

    `explain(task)` gives the traceback of a failed task, as text.
    """

    stop: Callable[[], object]
    background: Callable[[], object]
    explain: Callable[[str], str]
