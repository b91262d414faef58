"""The remote engine: a session on another machine, seen from a driver.

It is the local engine over a connection whose other end is a tunnel (runtime/remote): `Client`
finds its socket, its shared memory and its files where they are for a session on this machine.
What else lies in files of the session's folder, logs and failed tasks' variables, is asked for.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raykernel.runtime.attach import Build
from raykernel.runtime.client import Client
from raykernel.runtime.connection import ConnectionLost
from raykernel.runtime.engines.local import LocalEngine
from raykernel.runtime.logfiles import LogEntry
from raykernel.runtime.remains_files import Files
from raykernel.runtime.remote.address import AddressError
from raykernel.runtime.remote.attaching import Line, attach
from raykernel.runtime.remote.stream import Timing
from raykernel.runtime.remote.tunnel import FAR_FAILED, FAR_LOGS, FAR_MACHINE
from raykernel.runtime.swallowed import strike_again

#: Seconds in which what was said last should have arrived. It arrives later too.
_LAST_WORDS = 3.0


class RemoteClient(Client):
    """A client that knows from its tunnel why the session is gone."""

    def __init__(
        self, line: Line, namespace: str, on_message: Callable[[Any], None] | None
    ) -> None:
        self._line = line
        super().__init__(
            line.socket, "driver", os.urandom(16), os.getpid(), namespace, on_message=on_message
        )

    def _lose(self, reason: str) -> None:
        if not self.closed:
            reason = self._line.why_lost()
        super()._lose(reason)


class RemoteEngine(LocalEngine):
    """See `Engine` in base.py."""

    name = "remote"

    def __init__(self, client: Client, line: Line, place: str) -> None:
        super().__init__(client)
        self.place = place
        self._line = line
        self.owner = line.started
        self.lasting = True  # what outlives its driver ends by itself
        self.remains = Files(self.folder, self._fetch_failed)

    def query(self, what: str, **filters: Any) -> Any:
        if what == "logs":
            if filters.get("actors") is not None:
                filters["actors"] = list(filters["actors"])
            re.compile(filters.get("grep", ""))  # what is wrong with it is said here
            return self.client.query(FAR_LOGS, list[LogEntry], **filters)
        if what == "machine":
            return self.client.query(FAR_MACHINE, Any, **filters)
        return super().query(what, **filters)

    def _fetch_failed(self, task: str) -> None:
        """Bring the variables of a failed task, of all with "", to where they are looked for."""
        folder = Path(self.folder, "failed")
        folder.mkdir(mode=0o700, exist_ok=True)
        found = self.client.query(FAR_FAILED, dict[str, bytes], task=task)
        for name, data in found.items():
            if name.isalnum():
                (folder / name).write_bytes(data)

    def shutdown(self) -> None:
        """End the session if it was started over ssh for this driver and no other uses it, else
        only the connection."""
        self.ended = self.owner and self._end()
        self.leave()

    def _close(self) -> None:
        super()._close()
        self._line.close(_LAST_WORDS)


def connect(place: str, namespace: str, mine: Build, timing: Timing = Timing()) -> RemoteEngine:  # noqa: B008
    """Connect to the head that a connection file or an ssh:// address names, as one more driver.

    Raises AddressError.
    """
    engine: RemoteEngine | None = None

    def hear(message: Any) -> None:
        if engine is not None:
            engine.hear(message)

    line = attach(place, mine, timing)
    try:
        client = RemoteClient(line, namespace, hear)
    except (OSError, ConnectionLost) as error:
        line.kill()
        raise AddressError(f"the head at {line.address.address}: {error}") from None
    engine = RemoteEngine(client, line, place)
    engine.namespace = namespace or engine.namespace
    client.start_io()
    engine.undo.append(strike_again(signal.SIGINT))
    return engine
