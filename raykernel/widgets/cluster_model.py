"""What a session has and does, for the cluster panel: facts are polled, tasks come by the feed.

Kept beside the newest facts: a history of CPUs in use and store in use, for the small curves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from raykernel.runtime.events import EventBatch, TaskInfo

from . import cluster_still
from .cluster_facts import gather
from .counts import Counts
from .subject import Quiet, Refused

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

HISTORY = 120  # polls


class Controls(Protocol):
    """How the panel starts and ends sessions, where it may."""

    def start(self, cpus: int | None) -> None: ...

    def stop(self) -> None: ...


class ClusterModel(Quiet):
    kind = "cluster"
    poll_every = 1.0
    rests = False
    brief = True

    def __init__(self, controls: Controls | None = None) -> None:
        self.version = 0
        self.counts = Counts()
        self.facts: dict[str, Any] = {}
        #: What the session before had when it was last looked at: for the file, once it has ended.
        self.last: tuple[dict[str, Any], Counts] | None = None
        self.history: deque[list[float]] = deque(maxlen=HISTORY)  # [CPUs, store] in use
        self._controls = controls
        self._told: tuple[int, dict[str, Any] | None] = (-1, None)

    @property
    def partial(self) -> bool:  # type: ignore[override]  # a fact here, not a setting
        return self.counts.partial

    @property
    def live(self) -> int:
        return self.counts.live

    def apply(self, batch: EventBatch) -> bool:
        told = self.counts.take(batch.tasks)
        return self._changed(self.counts.tally(batch.finished) or told)

    def merge(self, tasks: Iterable[TaskInfo]) -> bool:
        return self._changed(self.counts.take(tasks, listed=True))

    def poll(self, engine: Engine | None) -> bool:
        if engine is None:
            if self.facts:
                self.last = self.facts, self.counts
            self.facts = {}
            self.counts = Counts()
            self.history.clear()
            return self._changed(True)
        facts = gather(engine)
        if self.facts and self.facts["session"] != facts["session"]:
            self.history.clear()
        self.history.append([facts["resources"].get("CPU", [0])[0], facts["store"]["used"]])
        self.facts = facts
        return self._changed(True)

    def _changed(self, changed: bool) -> bool:
        self.version += changed
        return changed

    def delta(self) -> dict[str, Any] | None:
        """Only the tasks change ten times a second; the facts come with their next snapshot."""
        base, facts = self._told
        if base < 0 or facts is not self.facts:
            return None
        self._told = (self.version, facts)
        counts = {"counts": list(self.counts.by_state), "total": self.counts.total}
        return {"base": base, "version": self.version, **counts}

    def snapshot(self) -> dict[str, Any]:
        self._told = (self.version, self.facts)
        return {
            "version": self.version,
            "counts": list(self.counts.by_state),
            "total": self.counts.total,
            "history": list(self.history),
            "controls": self._controls is not None,
            **self.facts,
        }

    def answer(self, question: dict[str, Any], engine: Engine | None) -> dict[str, Any]:
        ask = question.get("ask")
        if ask in ("start", "stop"):
            if self._controls is None:
                raise Refused("Sessions are started and stopped where their program runs.")
            if ask == "start":
                self._controls.start(None)
            else:
                self._controls.stop()
            return {}
        if ask not in ("kill", "resize"):
            return super().answer(question, engine)
        if engine is None:
            raise Refused("No session is running.")
        if ask == "kill":
            wanted = str(question.get("actor", ""))
            known = {row["id"]: row for row in self.facts.get("actors", ())}
            if wanted not in known:
                raise Refused("There is no such actor (any more).")
            engine.kill_actor(wanted)
        else:
            try:
                engine.resize(int(question.get("cpus", 0)))
            except ValueError as error:
                raise Refused(str(error)) from None
        return {}

    def bundle(self, view: str = "") -> dict[str, str]:
        return cluster_still.bundle(self, view)
