"""A function or class as a session knows it: pickled once, sent once, called by its key.

The session keeps what a function closes over, so that tasks which are submitted later find it.
Where that is objects of the store, the function is claimed: when the last remote function of that
key is gone from this process, the session is told, and lets the objects go once no task needs them.
"""

from __future__ import annotations

import os
from typing import Any
from weakref import WeakValueDictionary

from raykernel import redefinition
from raykernel.calling import pack_code
from raykernel.runtime.connection import Connection


class Claim:
    """Somebody in this process may submit the function of that key."""

    __slots__ = ("__weakref__", "_client", "_key")

    def __init__(self, client: Connection, key: bytes) -> None:
        self._client = client
        self._key = key

    def __del__(self) -> None:
        if not self._client.closed:
            self._client.forget_function(self._key)


#: By client and key: copies of a remote function share theirs.
_claims: WeakValueDictionary[tuple[bytes, bytes], Claim] = WeakValueDictionary()


class Exported:
    """Before each submission:

        if code.client is not client or code.watched or code.epoch != redefinition.epoch:
            code.send(client)

    Then `code.key` is known to the session. Travels with the function: other processes submit it
    under the same key, and needn't send what is there.
    """

    __slots__ = ("claim", "client", "epoch", "key", "thing", "watch", "watched")

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.key = os.urandom(16)
        self.client: Connection | None = None
        self.claim: Claim | None = None
        self.epoch = 0
        self.watch: redefinition.Watch | None = None
        self.watched = False  # whether it uses anything by the notebook's names

    def is_old(self) -> bool:
        """Whether it may have to be pickled again: `send` finds out."""
        watch = self.watch
        return self.epoch != redefinition.epoch or (watch is not None and watch.moved())

    def send(self, client: Connection) -> None:
        """Make it known to `client`'s session, unless it is. Raises TypeError, ValueError."""
        self._look()
        if self.client is client:
            return
        payload, contained = pack_code(client, self.thing)
        self.epoch = redefinition.epoch
        self.watch = redefinition.Watch(self.thing) if self.epoch else None
        self.watched = self.watch is not None and self.watch.counts
        claim = _claims.get((client.id, self.key)) if contained else None
        client.register_function(self.key, self.thing.__name__, payload, contained)
        if contained and claim is None:
            claim = _claims[client.id, self.key] = Claim(client, self.key)
        self.claim = claim
        self.client = client

    def _look(self) -> None:
        """See whether what it uses is another thing by now: then it is another function to the
        session."""
        if not self.is_old():
            return
        self.epoch = redefinition.epoch
        if self.watch is not None and self.watch.changed():
            self.key = os.urandom(16)
            self.client = self.watch = self.claim = None

    def __getstate__(self) -> Any:
        self._look()
        return self.thing, self.key

    def __setstate__(self, state: Any) -> None:
        self.thing, self.key = state
        self.client = self.watch = self.claim = None
        self.epoch, self.watched = 0, False
