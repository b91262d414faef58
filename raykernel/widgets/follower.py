"""Keeps a subject up to date with its engine, and its viewers with the subject.

    engine's IO thread --queues--> take_in --> subject --> tell --> `send` a delta, `snap` a whole

Used by a notebook's view (view.py) and by a page of the dashboard, which differ in where the
messages go. What goes out is held to `BYTES_PER_SECOND`: after a message nothing is sent for as
long as it would take to send it at that rate; changes gather meanwhile.

Threads: the engine's IO thread only queues. Everything else is called under the owner's lock.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from raykernel.runtime.events import EventBatch, TaskInfo

from .subject import Refused, Subject, answered, reply

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

SNAPSHOT_EVERY = 2.0  # seconds; in between, changes travel as deltas
SNAPSHOT_SHARE = 15 * 1024  # bytes a second that snapshots may take by themselves
LOOKED_AT = 12.0  # seconds for which a browser's word that it shows the view holds
BYTES_PER_SECOND = 120 * 1024


class Follower:
    """`wake` is called when there is something to take in, from any thread."""

    def __init__(
        self,
        subject: Subject,
        engine: Engine | None,
        cell: str,
        *,
        send: Callable[[dict[str, Any]], object],
        snap: Callable[[dict[str, Any]], object],
        wake: Callable[[], object],
        everybodys: bool = False,
    ) -> None:
        self.subject = subject
        self.engine = engine
        self._cell = cell
        self._send = send
        self._snap = snap
        self._wake = wake
        self._everybodys = everybodys  # whether Stop is for what other drivers do, too
        self._undo: list[Callable[[], None]] = []
        self._queued = threading.Lock()  # guards the next
        self._batches: list[EventBatch] = []
        self._pouring = False  # quick tasks come: none is live, and more will end at once
        self._looked_at = -1e9
        self._polled_at = -1e9
        self._next_snapshot = 0.0
        self._quiet_until = 0.0
        self.snapped = -1  # the version of the last whole that was sent
        self.behind = False  # changes that no message has told yet

    # -- the engine ----------------------------------------------------------------------------

    def join(self) -> None:
        """Subscribe, and ask for what there is. Raises what the engine raises."""
        engine = self.engine
        if engine is None:
            return
        if self.subject.follows:
            subject = self.subject
            self._undo.append(
                engine.subscribe(
                    self._receive,
                    self._cell,
                    brief=subject.brief,
                    sample=subject.sample,
                    stretches=subject.stretches,
                )
            )
        self.recall()

    def leave(self) -> None:
        while self._undo:
            self._undo.pop()()

    def recall(self) -> bool:
        """Ask for all tasks there are: those that ended before, or that fell out of the feed."""
        if self.engine is None:
            return False
        changed = False
        if self.subject.follows:
            tasks = self.engine.query("tasks", cell=self._cell)
            if self.subject.partial:  # the list holds what the numbers have told, and are to tell
                changed = self.take_in()
                changed |= self.subject.merge(tasks)
            else:
                changed = self._begin(tasks)
        changed |= self.take_in()
        if self.subject.poll_every:
            changed |= self.subject.poll(self.engine)
        return changed

    def _begin(self, tasks: list[TaskInfo]) -> bool:
        """Take in a list before all that is queued, of which it knows already."""
        changed = self.subject.merge(tasks)
        with self._queued:
            batches, self._batches = self._batches, []
        for batch in batches:
            # The list first: it has the inputs of the live tasks that the first batch holds.
            changed |= self.subject.merge(batch.tasks)
            changed |= self.subject.apply(EventBatch([], batch.time))
        return changed

    def _receive(self, batch: EventBatch) -> None:
        """On the engine's IO thread."""
        with self._queued:
            self._batches.append(batch)
        self._wake()

    def take_in(self) -> bool:
        """Fold in what is queued; whether something is different."""
        with self._queued:
            batches, self._batches = self._batches, []
        changed = False
        for batch in batches:
            changed |= self.subject.apply(batch)
            self._pouring = bool(batch.finished)
        return changed

    # -- the viewers ---------------------------------------------------------------------------

    def looked_at(self, now: float) -> None:
        """Somebody looks: what is polled is polled for a while."""
        self._looked_at = now

    def answer(self, question: dict[str, Any]) -> None:
        before = self.subject.version
        if question.get("ask") == "cancel":
            self._send(answered(question, self._cancel))
        else:
            self._send(reply(self.subject, question, self.engine))
        self.behind |= self.subject.version != before
        self._polled_at = -1e9  # what was done should show at once

    def _cancel(self) -> dict[str, Any]:
        """End the unfinished tasks that are shown."""
        if self.engine is None:
            raise Refused("The session has ended.")
        cell = self._cell
        if cell:
            count = self.engine.cancel_cell(cell)
        else:
            count = self.engine.cancel_all(everybodys=self._everybodys)
        return {"cancelled": count}

    def turn(self, now: float) -> float | None:
        """Take in, poll and tell. Returns the seconds until the next turn is due, None for only
        after new events."""
        behind = self.snapped != self.subject.version
        changed = self.take_in()
        wait = self._poll(now)
        if changed or self.behind:
            self.tell(now)
        elif behind and now >= self._next_snapshot and now >= self._quiet_until:
            self.tell_all(now)  # for a page that missed the deltas
        if self.behind:
            quiet = max(0.01, self._quiet_until - now)
            wait = quiet if wait is None else min(wait, quiet)
        elif self.snapped != self.subject.version:
            rest = max(0.05, self._next_snapshot - now)
            wait = rest if wait is None else min(wait, rest)
        return wait

    def _poll(self, now: float) -> float | None:
        every = self.subject.poll_every  # which may change with what a look takes
        if not every or self.engine is None or now - self._looked_at > LOOKED_AT:
            return None
        if now - self._polled_at >= every:
            self._polled_at = now
            if not self.look():
                return None
        return max(0.05, self._polled_at + every - now)

    def look(self) -> bool:
        """Poll, whoever looks; False if the session has ended."""
        try:
            self.behind |= self.subject.poll(self.engine)
        except Exception:  # whatever an engine raises once its session has ended
            return False
        return True

    def tell(self, now: float) -> None:
        """Send what changed: as a delta, or once in a while as a whole."""
        if now < self._quiet_until:
            self.behind = True
            return
        overdue = now >= self._next_snapshot
        resting = not self.subject.live and not self._pouring
        delta = None if overdue or resting else self.subject.delta()
        if delta is None:
            self.tell_all(now)
            return
        self.behind = False
        self.spend(now, delta)
        self._send(delta)

    def tell_all(self, now: float) -> None:
        snapshot = self.subject.snapshot()
        self.behind = False
        self.snapped = self.subject.version
        size = self.spend(now, snapshot)
        self._next_snapshot = now + max(SNAPSHOT_EVERY, size / SNAPSHOT_SHARE)
        self._snap(snapshot)

    def spend(self, now: float, message: dict[str, Any]) -> int:
        """Count what is sent, here or by the owner; returns its size in bytes."""
        size = len(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode())
        self._quiet_until = max(now, self._quiet_until) + size / BYTES_PER_SECOND
        return size
