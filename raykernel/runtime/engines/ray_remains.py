"""Failed tasks' variables on a Ray cluster: in the memory of the session's feed actor.

    failing worker ── Parcels ──▶ feed actor: Kept ──▶ RayShelf ── driver

They outlive the worker and its node, and go with the driver's job: no file of theirs is left on
anybody's disk. A failing task hands them to a thread and goes on; a feed that is slow or gone costs
it nothing, and of what waits for one the oldest goes. The driver asks for a failure's header when
it shows its traceback, and for each value when somebody looks at it.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from raykernel.runtime.events import FAILED
from raykernel.runtime.remains import CAP, COUNT, Shelf
from raykernel.runtime.serialize import Serialized

if TYPE_CHECKING:
    from raykernel.runtime.engines.ray import RayEngine

_SENT = 30.0  # seconds that what a worker sends at once may take to the feed actor
_PAUSE = 0.1  # seconds between two of these
#: Seconds that a process which is about to end waits for its last failure to be sent.
LAST = 2.0
_ON_ITS_WAY = 2.0  # seconds that the feed actor waits for what is to come
_ANSWER = 5.0  # seconds for the feed actor's answer, that wait included
_VALUE = 60.0  # the same for a value, which may be large
_NOTED = 1.5  # seconds for a worker's note that a task has ended
_RECENT = 10.0  # seconds after a failure in which its variables may be on their way
_AT_ONCE = 1000
_FORGOTTEN = 10_000
_GONE = (
    "they were not kept, have made room for those of later failures, or went with their worker or "
    "the actor that kept them"
)


Parcel = tuple[str, bytes, bytes]  # a task, its header, its values


class Kept:
    """What the feed actor has of them: up to `most` bytes and `count` failures. Sans-IO."""

    def __init__(self, most: int = CAP, count: int = COUNT) -> None:
        self._most = most
        self._count = count
        self._size = 0
        self._kept: dict[str, tuple[bytes, bytes]] = {}  # header, values; the oldest first
        self._gone: dict[str, None] = {}  # that have made room

    def add(self, task: str, header: bytes, values: bytes) -> None:
        if task in self._kept:
            self._drop(task)
        self._kept[task] = header, values
        self._size += len(header) + len(values)
        while len(self._kept) > 1 and (self._size > self._most or len(self._kept) > self._count):
            oldest = next(iter(self._kept))
            self._drop(oldest)
            self._gone[oldest] = None
        while len(self._gone) > _FORGOTTEN:
            del self._gone[next(iter(self._gone))]

    def _drop(self, task: str) -> None:
        self._size -= sum(map(len, self._kept.pop(task)))

    def came(self, task: str) -> bool:
        """Whether it is here, or was."""
        return task in self._kept or task in self._gone

    def header(self, task: str) -> bytes:
        """b"" if there is none."""
        return self._kept.get(task, (b"", b""))[0]

    def part(self, task: str, offset: int, size: int) -> bytes:
        return self._kept.get(task, (b"", b""))[1][offset : offset + size]

    def headers(self, known: set[str]) -> tuple[list[str], dict[str, bytes]]:
        """The ids of all, and the headers of those that are not known to whoever asks."""
        missing = {task: one for task, (one, _) in self._kept.items() if task not in known}
        return list(self._kept), missing


class Parcels:
    """A worker's end. The first failure is sent at once; up to `most` bytes of those that follow
    wait until it has arrived and a moment has passed, and are sent together."""

    def __init__(self, feed: Callable[[], Any], most: int = CAP) -> None:
        self._feed = feed  # blocks, in this one's thread
        self._most = most
        self._waiting: deque[Parcel] = deque()
        self._size = 0
        self._hurry = False
        self._changed = threading.Condition()  # guards all of these
        self._thread: threading.Thread | None = None  # while there is something to send

    def add(self, task: str, header: bytes, values: list[Serialized]) -> None:
        # copied now: what comes after the failure may change them
        body = b"".join(chunk for made in values for chunk in made.chunks())
        with self._changed:
            self._waiting.append((task, header, body))
            self._size += len(header) + len(body)
            while self._size > self._most and len(self._waiting) > 1:
                _, *old = self._waiting.popleft()
                self._size -= sum(map(len, old))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="raykernel-remains", daemon=True
                )
                self._thread.start()

    def flush(self, timeout: float = LAST) -> None:
        """Wait until all is sent, for so long at most."""
        with self._changed:
            self._hurry = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._thread is None, timeout)
            self._hurry = False

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._waiting:
                    self._thread = None
                    self._changed.notify_all()
                    return
                parcels = list(self._waiting)
                self._waiting.clear()
                self._size = 0
            with contextlib.suppress(Exception):  # the driver may be gone, and its feed with it
                # not by `ray.get`, for which Ray would lend out the CPU of a task that runs here
                self._feed().keep.remote(parcels).future().result(_SENT)
            del parcels
            with self._changed:
                self._changed.wait_for(lambda: self._hurry, _PAUSE)


class RayShelf(Shelf):
    """The driver's end. `keeps`: whether workers were told to keep them."""

    def __init__(self, engine: RayEngine, ray: Any, keeps: bool) -> None:
        self._engine = engine
        self._ray = ray
        self._keeps = keeps
        self._headers: dict[str, bytes] = {}

    def header(self, task: str, awaited: bool = False) -> bytes:
        found = self._headers.get(task)
        if found is None or self._engine.client.closed:
            patience = _ON_ITS_WAY if awaited else 0.0
            found = self._ask("header_of", _ANSWER, task, patience)
            if found:
                self._headers[task] = found
        if not found:
            raise LookupError(_GONE)
        return found

    def part(self, task: str, offset: int, size: int) -> bytes:
        found: bytes = self._ask("part_of", _VALUE, task, offset, size)
        if len(found) < size:
            self._headers.pop(task, None)
            raise LookupError("it is no longer kept")
        return found

    def headers(self, settled: bool) -> Iterable[bytes]:
        with contextlib.suppress(LookupError):
            awaited = self._recent() if settled and self._keeps else []
            there, missing = self._ask(
                "headers", _ANSWER, list(self._headers), awaited, _ON_ITS_WAY
            )
            known = self._headers | missing
            self._headers = {task: known[task] for task in there if task in known}
        return list(self._headers.values())

    def _ask(self, method: str, patience: float, *args: Any) -> Any:
        """Raises LookupError, with the reason."""
        if self._engine.client.closed:
            raise LookupError("its session is over")
        if not self._keeps:
            raise LookupError("they were not kept (keep_locals is off)")
        try:
            return self._ray.get(getattr(self._engine.feed, method).remote(*args), timeout=patience)
        except self._ray.exceptions.GetTimeoutError:
            why = f"the cluster gave no answer within {patience:g} s"
        except Exception as error:
            why = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        raise LookupError(f"they could not be brought here: {why}")

    def _recent(self) -> list[str]:
        """Tasks that failed a moment ago. A task whose result is there has a note on its way."""
        engine, end = self._engine, time.monotonic() + _NOTED
        while time.monotonic() < end:
            with engine.lock:
                own = list(engine.table.own.values())[-_AT_ONCE:]
            refs = [ref for ref in own if type(ref).__name__.endswith("ObjectRef")]
            if not refs or not self._ray.wait(refs, timeout=0, fetch_local=False)[0]:
                break
            time.sleep(0.02)
        since = time.time() - _RECENT
        with engine.lock:
            ended = list(engine.table.ended.values())[-_AT_ONCE:]
        # `returned`: a worker told so; of others nothing will come
        return [t.id for t in ended if t.state == FAILED and t.returned > since]
