"""The seam between the API and whatever carries its messages: a process's one connection.

The API layer (refs, handles, generators, remote functions) and the running of tasks speak in the
words of `messages` and hold nothing but a `Connection`. `Client` (client.py) carries them to the
head of a session on this machine; another engine brings a class of its own with these methods and
has all of the API work with it, in drivers and inside tasks.

An object is known by its id. Each instance of a ref counts once: a submission's results and what
`put` stores count one by themselves, `add_ref` and `drop_ref` are for each further instance and for
every instance's end. With the last instance of a process its value goes.

All methods may be called from any thread. Those that block say so, and raise ConnectionLost when
the session is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from . import messages as m
from .ids import IdFactory
from .serialize import Buffer, Serialized


class ConnectionLost(Exception):
    """The head is gone, and with it the session."""


class RequestFailed(Exception):
    """The head said no; the text is its reason. `kind` is the reply's."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind


class Timeout(Exception):
    """The objects did not come in time."""


class Connection(Protocol):
    """See the head comment."""

    id: bytes
    ids: IdFactory  # of what this process makes
    closed: str  # why there is no session any more, "" while there is
    welcome: m.Welcome  # what the session is
    left_over: list[bytes]  # the API's: what its last `wait` left

    # -- messages ------------------------------------------------------------------------------

    def submit(self, spec: m.TaskSpec, results: Sequence[bytes]) -> None:
        """Post a task or an actor's call. `results` come by themselves: no need to ask for them."""
        ...

    def post(self, message: Any) -> None:
        """Send a message soon: an actor's creation (TaskSpec), Consumed, PutObject, Abandon."""
        ...

    def queue(self, message: Any) -> None:
        """Keep a message for the next `flush`, whenever that is: Cancel, KillActor, RemoveGroup,
        DropStream, Consumed, Release."""
        ...

    def flush(self) -> None:
        """Send what was queued. May block for as long as nobody reads at the other end."""
        ...

    def request(self, make: Callable[[int], Any], timeout: float | None = None) -> bytes:
        """Send the message that `make(number)` returns (Query, CreateGroup, CancelCell, Resize) and
        wait for the answer, in MessagePack. Raises RequestFailed, Timeout."""
        ...

    def query(self, what: str, kind: Any = Any, **filters: Any) -> Any:
        """Ask a question (see queries.py) and wait for the answer, as `kind`. Raises
        RequestFailed."""
        ...

    def register_function(
        self, key: bytes, name: str, payload: bytes, contained: tuple[bytes, ...]
    ) -> None:
        """Make a function or class known to the session, once. `contained`: refs in the payload."""
        ...

    def forget_function(self, key: bytes) -> None:
        """Take that back: nobody here will submit it. Called by finalizers, so it may not block."""
        ...

    # -- objects -------------------------------------------------------------------------------

    def put(self, value: Serialized, object_id: bytes = b"", result: bool = False) -> bytes:
        """Store a value; its id. `result`: as in `make_value`. May block. Raises RequestFailed when
        the store is full."""
        ...

    def make_value(self, object_id: bytes, value: Serialized, result: bool = True) -> m.Value:
        """Bring a value into the form it travels in; `result`: it must not fail because others look
        at too much. May block. Raises RequestFailed when the store is full."""
        ...

    def peek(self, object_id: bytes) -> m.Value | None:
        """The value if it is here."""
        ...

    def get(self, ids: Sequence[bytes], timeout: float | None) -> list[m.Value]:
        """Wait until all are here or one of them is an error, with which the list then ends.
        Raises Timeout, KeyboardInterrupt."""
        ...

    def load(self, value: m.Value, timeout: float | None = None) -> Any:
        """Unpickle a value that was got. Blocks only if it is not here any more. Raises Timeout,
        and the error that took the place of a value that was lost."""
        ...

    def load_argument(self, value: m.Value) -> Any:
        """The same for a value that came with a task."""
        ...

    def raw(self, value: m.Value) -> Buffer:
        """The bytes of a value as they are stored."""
        ...

    def ready(self, ids: Sequence[bytes], count: int) -> list[int]:
        """The positions of the first `count` of `ids` whose values are here."""
        ...

    def wait(self, ids: Sequence[bytes], count: int, timeout: float | None) -> list[int]:
        """The positions of the first `count` of `ids` that are ready, in order; of fewer when time
        is up first. Raises KeyboardInterrupt."""
        ...

    def get_any(self, ids: Sequence[bytes], timeout: float | None) -> None:
        """Wait until one of `ids` is ready. Raises Timeout, KeyboardInterrupt."""
        ...

    def when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Call `callback` once the value is here or the session is lost, perhaps at once, in
        whichever thread notices: it must be quick."""
        ...

    def no_longer_when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Take a callback back. It may be called all the same if the value comes just now."""
        ...

    def give_up(self, ids: list[bytes]) -> None:
        """Note that this cell has stopped waiting for these objects, by an interruption."""
        ...

    def forget(self, object_id: bytes) -> None:
        """Drop an answer that is of no more use (a stream's item that never came)."""
        ...

    # -- references ----------------------------------------------------------------------------

    def add_ref(self, object_id: bytes) -> None:
        """One more instance of a ref in this process."""
        ...

    def drop_ref(self, object_id: bytes) -> None:
        """One instance less. Called by finalizers: must not block, take a lock or raise."""
        ...

    def revive(self, object_id: bytes) -> bool:
        """One instance more of a ref of which this process may have none; False if the object is
        gone. Blocks for a round trip."""
        ...

    def hand_out(self, object_id: bytes) -> bytes:
        """A ref, or an actor's handle, is being pickled by hand: nobody knows when the bytes are
        gone, so it counts as one instance for good. What a process elsewhere needs to find the
        object by, b"" where the id will do."""
        ...

    def take_in(self, object_id: bytes, found_by: bytes) -> None:
        """As `add_ref`, for one that was pickled by hand; `found_by` is what `hand_out` gave."""
        ...

    def lend(self, actor: bytes) -> bytes:
        """A handle that doesn't count is being pickled. By hand: what `hand_out` gives."""
        ...

    def borrow(self, actor: bytes, found_by: bytes) -> None:
        """A handle that doesn't count was unpickled here; `found_by` is what `lend` gave."""
        ...

    # -- what lies where -----------------------------------------------------------------------

    def placed(self) -> dict[int, bytes]:
        """The objects here that lie in shared memory, by their place."""
        ...

    def place_of(self, address: int) -> int | None:
        """The place of the object in shared memory that this process sees at `address`."""
        ...
