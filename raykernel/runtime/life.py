"""When a session ends by itself: once nobody has used it for its time to live. Sans-IO.

    used ── last driver leaves ──▶ idle since then ── a driver comes ──▶ used
                                     └── `ttl` seconds later ──▶ over

With a `ttl` of 0 a session is over as soon as its last driver has left. A session that no driver
ever comes to is over after `BIRTH` seconds at the earliest.
"""

from __future__ import annotations

#: Seconds a driver has, from a session's start, to come to it.
BIRTH = 60.0


class Life:
    """Owned by the scheduler. Times are seconds since the epoch."""

    def __init__(self, ttl: float) -> None:
        self.ttl = ttl
        self.home: tuple[str, str] | None = None  # if it was settled since the start: see `Home`
        self.drivers = 0
        self.idle_since = 0.0  # 0: somebody uses it
        self.born = False

    def begin(self, now: float) -> None:
        """The session starts; its first driver is on the way."""
        self.idle_since = now

    def joined(self) -> bool:
        """A driver came. Whether it found the session idle, after others had left."""
        woken = self.born and bool(self.idle_since)
        self.drivers += 1
        self.idle_since = 0.0
        self.born = True
        return woken

    def left(self, now: float) -> bool:
        """A driver has left. Whether it was the last."""
        self.drivers -= 1
        if not self.drivers:
            self.idle_since = now
        return not self.drivers

    def prolong(self, now: float) -> None:
        """Something still goes on that is to end first: the time to live begins anew."""
        self.idle_since = now

    def left_to_live(self, now: float) -> float | None:
        """Seconds until the session is over, at least 0; None while somebody uses it."""
        if not self.idle_since:
            return None
        most = self.ttl if self.born else max(self.ttl, BIRTH)
        return max(0.0, self.idle_since + most - now)
