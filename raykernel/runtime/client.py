"""A process's side of the connection to the head: what drivers and workers share.

It carries out `Connection` on floors of its own, each a class that the next one extends:

    transport.py   the socket: when messages leave, who reads
    waiting.py     answers and values that came, and who waits for them
    looking.py     values where they lie, in shared memory or in files
    client.py      joining, storing values, references; instances.py counts these

With a ref's last instance the value kept for it goes too. Thread-safe where not said otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from . import files
from . import messages as m
from .connection import ConnectionLost, RequestFailed
from .guard import Guard
from .ids import IdFactory
from .instances import Back, Instances, Plus
from .looking import Looking
from .serialize import Serialized, deserialize
from .shm import FULL, Arena


class Client(Looking):
    """One connection. `on_message` gets what is not for the client itself (see worker.py)."""

    def __init__(
        self,
        path: str,
        role: str,
        client_id: bytes,
        pid: int,
        namespace: str = "",
        guard: Guard | None = None,
        on_message: Callable[[Any], None] | None = None,
    ) -> None:
        super().__init__(path, guard, on_message)
        self.id = client_id
        self.ids = IdFactory()
        self._instances = Instances(self.ids.prefix, self._wanted)
        self._functions: set[bytes] = set()
        self._welcome: list[m.Welcome] = []
        self._out.append(m.Hello(role, client_id, pid, namespace))
        self.flush()
        while not self._welcome:
            if self.closed:
                self._sock.close()
                raise ConnectionLost(self.closed)
            self._pump(self._turn, None)
        self.welcome: m.Welcome = self._welcome[0]
        self.arena: Arena = Arena(self.welcome.arena, self.welcome.capacity)

    def _process(self, messages: list[Any]) -> None:
        for message in messages:
            kind = type(message)
            if kind is m.Objects:
                for value in message.values:
                    self._arrive(value)
            elif kind is m.Reply:
                self._replies[message.request] = message
            elif kind is m.Welcome:
                self._welcome.append(message)
            elif kind is m.LetGo:
                self._let_go(message)
            elif self.on_message is not None:
                self.on_message(message)

    def _fold(self, out: list[Any]) -> list[Any]:
        messages, gone, unpinned = self._instances.fold(out)
        unpinned += self._drop_values(gone)
        if unpinned:
            messages.append(m.Unpin(unpinned))
        return messages

    # -- tasks ---------------------------------------------------------------------------------

    def submit(self, spec: m.TaskSpec, results: Sequence[bytes]) -> None:
        """Post a task. Its results come by themselves: no need to ask for them."""
        self._wanted.update(results)
        self.post(spec)

    def register_function(
        self, key: bytes, name: str, payload: bytes, contained: tuple[bytes, ...]
    ) -> None:
        """Make a function known to the head, once."""
        if key not in self._functions:
            self._out.append(m.RegisterFunction(key, name, payload, contained))
            self._functions.add(key)

    def forget_function(self, key: bytes) -> None:
        """Tell the head that nobody here will submit it. Called by finalizers."""
        self._functions.discard(key)
        self._out.append(m.ForgetFunction(key))

    # -- objects -------------------------------------------------------------------------------

    def put(self, value: Serialized, object_id: bytes = b"", result: bool = False) -> bytes:
        """Store a value; its id. `result`: as in `make_value`. Raises RequestFailed when the store
        is full."""
        object_id = object_id or self.ids.put()
        if value.size <= m.INLINE_LIMIT:
            message = m.Value(object_id, value.to_bytes(), contained=value.contained)
            self._values[object_id] = message
            self.post(m.PutObject(message))
        else:
            with self.guard:  # an interruption must not leave an allocated block behind
                self.post(m.PutObject(self.make_value(object_id, value, result)))
                self._put_away.add(object_id)
        return object_id

    def make_value(self, object_id: bytes, value: Serialized, result: bool = True) -> m.Value:
        """Bring a value into the form it travels in: large ones are written to the arena, or where
        that has no room, to a file. `result`: it must not fail because others look at too much.

        Raises RequestFailed when the store is full.
        """
        if value.size <= m.INLINE_LIMIT:
            return m.Value(object_id, value.to_bytes(), contained=value.contained)
        place = self._allocate(value.size, result)
        if isinstance(place, int):
            try:
                self.arena.write(place, value.chunks())
            except OSError as error:
                self.post(m.Abandon(place))
                if error.errno not in FULL:
                    raise self._unwritten(value, self.arena.path, error) from error
                place = self._allocate(value.size, result, broken=True)
            else:
                return m.Value(object_id, offset=place, size=value.size, contained=value.contained)
        assert isinstance(place, str)  # who can't write to the arena is not sent there again
        try:
            name = files.write(self.welcome.spill, place, value.chunks())
        except OSError as error:
            self.post(m.Abandon(m.ON_DISK, place))
            raise self._unwritten(value, self.welcome.spill, error) from error
        return m.Value(
            object_id, name.encode(), offset=m.ON_DISK, size=value.size, contained=value.contained
        )

    def _unwritten(self, value: Serialized, path: str, error: OSError) -> RequestFailed:
        text = (
            f"an object of {value.size:,} bytes could not be written to the object store ({path}): "
            f"{error.strerror}"
        )
        return RequestFailed(text, "disk" if error.errno in FULL else "")

    def _allocate(self, size: int, result: bool, broken: bool = False) -> int | str:
        """A place for an object: an offset in the arena, or a file's name."""
        place: int | str = msgspec.msgpack.decode(
            self.request(lambda number: m.Allocate(number, size, result, broken))
        )
        return place

    def load_argument(self, value: m.Value) -> Any:
        """As `load`, for a value that came with a task: pinned for it, and not kept here."""
        if value.offset == m.INLINE:
            return deserialize(value.data)
        view = self._open(value)
        if view is not None:
            return deserialize(view)
        self.add_ref(value.id)  # it comes again, as if it were got
        try:
            return self.load(self._away(value))
        finally:
            self.drop_ref(value.id)

    # -- references ----------------------------------------------------------------------------

    def add_ref(self, object_id: bytes) -> None:
        """One more instance of a ref in this process."""
        known = not object_id.startswith(self.ids.prefix) or (
            object_id in self._wanted or object_id in self._values or object_id in self._put_away
        )
        self._out.append(Plus(object_id) if known else Back(object_id))

    def drop_ref(self, object_id: bytes) -> None:
        """One instance less. Called by finalizers: appends and nothing else."""
        self._out.append(object_id)

    def hand_out(self, object_id: bytes) -> bytes:
        self.add_ref(object_id)
        return b""  # the head knows every object by its id

    def take_in(self, object_id: bytes, found_by: bytes) -> None:
        self.add_ref(object_id)

    def lend(self, actor: bytes) -> bytes:
        return b""  # and every actor

    def borrow(self, actor: bytes, found_by: bytes) -> None:
        """Nothing."""

    def revive(self, object_id: bytes) -> bool:
        """One instance more of a ref of which this process may have none; False if the object is
        gone. Blocks for a round trip."""
        with self.guard:
            held = self.query("held", int, object=object_id)
            if held < 0:
                return False
            self.add_ref(object_id)
            self.flush()
            if held == 0:  # it stands for the first instance, which nobody counts
                with self._send_lock:
                    self._instances.is_first(object_id)
        return True
