"""A function or class as a session knows it: pickled once, sent once, called by its key."""

from __future__ import annotations

import os
from typing import Any

from raykernel import redefinition
from raykernel.calling import pack_code
from raykernel.runtime.connection import Connection


class Exported:
    """Before each submission:

        if code.client is not client or code.epoch != redefinition.epoch:
            code.send(client)

    Then `code.key` is known to the session. Travels with the function: other processes submit it
    under the same key, and needn't send what is there.
    """

    __slots__ = ("client", "epoch", "key", "thing", "watch")

    def __init__(self, thing: Any) -> None:
        self.thing = thing
        self.key = os.urandom(16)
        self.client: Connection | None = None
        self.epoch = 0
        self.watch: redefinition.Watch | None = None

    def send(self, client: Connection) -> None:
        """Make it known to `client`'s session, unless it is. Raises TypeError, ValueError."""
        self._look()
        if self.client is client:
            return
        payload, contained = pack_code(client, self.thing)
        self.epoch = redefinition.epoch
        self.watch = redefinition.Watch(self.thing) if self.epoch else None
        client.register_function(self.key, self.thing.__name__, payload, contained)
        self.client = client

    def _look(self) -> None:
        """See, once in a cell, whether what it uses is another thing by now: then it is another
        function to the session."""
        if self.epoch == redefinition.epoch:
            return
        self.epoch = redefinition.epoch
        if self.watch is not None and self.watch.changed():
            self.key = os.urandom(16)
            self.client = self.watch = None

    def __getstate__(self) -> Any:
        self._look()
        return self.thing, self.key

    def __setstate__(self, state: Any) -> None:
        self.thing, self.key = state
        self.client = self.watch = None
        self.epoch = 0
