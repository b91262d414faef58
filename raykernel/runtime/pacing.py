"""How far a generator in a worker may run ahead of who takes what it yields.

The consumer tells the head what it took, and the head the worker, which notes it here while it
reads. A stream with a limit waits while so many of its items are not taken; the streams of an actor
may share a cap besides. One that nobody takes any more is stopped: it ends where it would wait, or
after a while.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from . import execute
from . import messages as m
from .context import Running

if TYPE_CHECKING:
    from .client import Client

#: Seconds that a stream nobody takes any more may go on, unhindered: what is nearly done ends well.
GRACE = 1.0


class Pacing:
    """The streams of one worker. `took` and `stop` are called by who reads; all else by the thread
    that a stream runs in."""

    def __init__(self, client: Client) -> None:
        self.cap = 0  # items of all streams that nobody has taken; 0: any number
        self._client = client
        self._taken: dict[bytes, int] = {}  # by stream
        self._stopped: dict[bytes, float] = {}  # nobody takes them: when they are to end
        self._made: dict[bytes, int] = {}  # by stream that runs, where they share a cap
        self._lock = threading.Lock()  # guards `_made`

    def took(self, stream: bytes, position: int) -> None:
        """The consumer has taken all items before this position."""
        self._taken[stream] = position

    def stop(self, stream: bytes) -> None:
        """Nobody takes its items any more."""
        self._stopped[stream] = time.monotonic() + GRACE

    def end_of(self, stream: bytes) -> float | None:
        """When it is to end, if nobody takes it."""
        return self._stopped.get(stream)

    def ahead(self, stream: bytes, position: int) -> int:
        """How many items before this position are not taken."""
        return position - self._taken.get(stream, 0)

    def forget(self, stream: bytes) -> None:
        """It has ended."""
        with self._lock:
            self._made.pop(stream, None)
        self._taken.pop(stream, None)
        self._stopped.pop(stream, None)

    def run(self, running: Running, generator: Any) -> m.TaskFinished:
        """Run a generator to its end, as far as somebody takes what it yields. In any thread."""
        try:
            return execute.stream(self._client, running, generator, self._room(running.spec))
        finally:
            self.forget(running.spec.id)

    def _room(self, spec: m.TaskSpec) -> Callable[[int], bool]:
        """Blocks while the consumer of a stream is too far behind; False once it is gone."""
        limit = spec.extra.backpressure if spec.extra is not None else 0
        client = self._client
        made, taken = self._made, self._taken
        cap = self.cap

        def full(position: int) -> bool:
            if not limit:
                return False
            if position - taken.get(spec.id, 0) >= limit:
                return True
            if not cap:
                return False
            with self._lock:
                made[spec.id] = position
                if sum(n - taken.get(i, 0) for i, n in made.items()) >= cap:
                    return True
                made[spec.id] = position + 1  # the one about to be made
            return False

        def wait(position: int) -> bool:
            with client.guard:
                while True:
                    end = self._stopped.get(spec.id)
                    if end is not None:
                        return time.monotonic() < end
                    if not full(position):
                        return True
                    client.flush()
                    if client.guard.noted:
                        client.guard.deliver()
                    seen = client.turn()
                    if not full(position):
                        return True
                    client.pump(seen, 0.05 if cap else None)  # another stream's end tells nobody

        return wait
