"""What a viewer reads about one task when it asks: the whole story, and what the task wrote.

The feed carries little, so that it stays cheap; sizes, tries and output are fetched from the
engine for the one task that somebody looks at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .subject import Refused

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

LOG_LINES = 400
LOG_CHARACTERS = 20_000


def story(task: str, engine: Engine | None) -> dict[str, Any]:
    """All that is known of a task, as JSON: the fields of TaskInfo, its tries and its sizes."""
    if engine is None:
        raise Refused("The session has ended.")
    told: dict[str, Any] | None = engine.query("task", task=task)
    if told is None:
        raise Refused("This task ended long ago; its details are no longer kept.")
    return told


def log(task: str, engine: Engine | None) -> dict[str, Any]:
    """The end of what a task wrote."""
    if engine is None:
        raise Refused("The session has ended.")
    lines = engine.query("logs", task=task, tail=LOG_LINES)
    return {"text": "\n".join(line.text for line in lines)[-LOG_CHARACTERS:]}
