"""A process's side of the connection to the head: what drivers and workers share.

Sending: messages are appended to a list (one atomic step, from any thread, even from a finalizer)
and leave in one frame at the next flush. The first message after a quiet moment leaves at once;
those that follow on its heels wait for company: a full batch, a blocking call, or `FLUSH_DELAY`.

Receiving: there is no thread between the socket and who waits. Whoever waits takes the reader's
role, reads for all, and wakes the others. When nobody waits, a driver's IO thread reads, so that
logs, events and futures arrive; it steps aside for a while as soon as somebody else reads.

References: a ref made here counts one at the head with its submission, each further instance says
AddRef, each instance's end says Release; all in the order in which they happened. With the last
instance the value kept for it goes too.

Thread-safe where not said otherwise.
"""

from __future__ import annotations

import contextlib
import gc
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from raykernel.exceptions import from_record

from . import context, files
from . import messages as m
from .connection import ConnectionLost, RequestFailed, Timeout
from .guard import Guard, is_main_thread
from .ids import IdFactory
from .iothread import IoThread
from .serialize import Buffer, Serialized, deserialize
from .shm import FULL, Arena
from .wire import Framer, encode

_CHUNK = 1 << 18
BATCH = 128
QUIET = 0.00005


class _Plus(bytes):
    """In the queue: one instance more of this ref."""


class Client:
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
        self.id = client_id
        self.ids = IdFactory()
        self.guard = guard or Guard(swap_sigint=True)
        self.closed = ""
        self.on_message = on_message
        #: What was waited for when the wait was given up, and the cell that did.
        self.given_up: tuple[str, list[bytes]] = ("", [])
        self._values: dict[bytes, m.Value] = {}
        self._views: dict[bytes, memoryview] = {}
        self._loading: set[bytes] = set()  # about to be looked at: not to be let go
        self._dropped = False  # the last fold dropped a view
        self._answered = False  # something was queued in reply to the head
        self._extra: dict[bytes, int] = {}
        self._wanted: set[bytes] = set()
        self._errors = 0
        self._replies: dict[int, m.Reply] = {}
        self._requests = 0
        self.left_over: list[bytes] = []  # the API's: what the last `wait` left
        self._callbacks: dict[bytes, list[Callable[[], None]]] = {}
        self._callback_lock = threading.Lock()  # guards _callbacks; taken under the guard
        self._due: deque[Callable[[], None]] = deque()
        self._functions: set[bytes] = set()
        self._out: list[Any] = []
        # guards flushing (the fold, the bytes' order), _wanted, _views and what _values is let go
        self._send_lock = threading.Lock()
        self._reader = threading.Lock()  # held by who reads the socket
        self._arrived = threading.Condition()  # those who wait while another reads
        self._sleepers = 0
        self._turn = 0  # batches processed so far
        self._last_post = 0.0
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.connect(path)
        self._sock.setblocking(False)
        self._framer: Framer[Any] = Framer(m.ToClient)
        # kept: a fresh buffer for each `recv` costs three system calls and a page fault
        self._inbox = memoryview(bytearray(_CHUNK))
        self._poller = select.poll()
        self._poller.register(self._sock, select.POLLIN)
        self._main_poller: select.poll | None = None
        self._io: IoThread | None = None
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

    # -- out -----------------------------------------------------------------------------------

    def post(self, message: Any) -> None:
        """Queue a message; it leaves at once if nothing left just before, else soon."""
        self._out.append(message)
        now = time.perf_counter()
        before, self._last_post = self._last_post, now
        if now - before > QUIET or len(self._out) >= BATCH:
            self.flush()
        elif self._io is None or not self._io.flushing:
            self._io_thread().flush_soon()

    def submit(self, spec: m.TaskSpec, results: Sequence[bytes]) -> None:
        """Post a task. Its results come by themselves: no need to ask for them."""
        self._wanted.update(results)
        self.post(spec)

    def queue(self, message: Any) -> None:
        """Queue a message for the next flush, whenever that is."""
        self._out.append(message)

    def flush(self) -> None:
        """Send all that is queued. Blocks while the socket is full."""
        if not self._out:
            return
        with self.guard, self._send_lock:
            while True:
                out, self._out = self._out, []
                if not out or self.closed:
                    return
                self._dropped = False
                data = memoryview(encode(self._fold(out)))
                while data:
                    try:
                        data = data[self._sock.send(data) :]
                    except BlockingIOError:
                        select.select([], [self._sock], [])
                    except OSError:
                        self._lose("the connection to the session's head broke")
                        return
                if not self._dropped:
                    return

    def _fold(self, out: list[Any]) -> list[Any]:
        """Gather runs of single ids into messages, in order; forget what has no ref left.

        `_extra` counts the instances that came by unpickling. Of an object made elsewhere these are
        all; of one made here the first instance, which nobody counts, may live besides.
        """
        messages: list[Any] = []
        released: list[bytes] = []
        unpinned: list[int] = []
        gone: dict[bytes, bool] = {}  # and whether it was asked for
        for item in out:
            kind = type(item)
            if kind is bytes:
                released.append(item)
                extra = self._extra.get(item)
                if extra is None:
                    gone[item] = item in self._wanted
                    self._wanted.discard(item)
                elif extra > 1:
                    self._extra[item] = extra - 1
                else:
                    del self._extra[item]
                    if not item.startswith(self.ids.prefix):
                        gone[item] = item in self._wanted
                        self._wanted.discard(item)
            elif kind is tuple:
                unpinned.append(item[0])
            else:
                if released:
                    messages.append(m.Release(released))
                    released = []
                if kind is _Plus:
                    plain = bytes(item)
                    messages.append(m.AddRef([plain]))
                    asked = gone.pop(plain, None)
                    if asked:  # to the head, who has none has asked for none
                        self._wanted.add(plain)
                        messages.append(m.Want([plain]))
                    if asked is None or not plain.startswith(self.ids.prefix):
                        self._extra[plain] = self._extra.get(plain, 0) + 1
                else:
                    messages.append(item)
        if released:
            messages.append(m.Release(released))
        for object_id in gone:
            value = self._values.pop(object_id, None)
            if value is not None and value.offset != m.INLINE:
                if object_id in self._views:
                    # its finalizer may queue the unpin while we are at it: in the next round
                    del self._views[object_id]
                    self._dropped = True
                elif value.offset >= 0:
                    unpinned.append(value.offset)
        if unpinned:
            messages.append(m.Unpin(unpinned))
        return messages

    # -- in ------------------------------------------------------------------------------------

    def turn(self) -> int:
        """Note this before looking for what you wait for, and give it to `pump`."""
        return self._turn

    def pump(self, seen: int, timeout: float | None) -> None:
        """Wait until a batch after turn `seen` was processed, or `timeout` seconds.

        Raises ConnectionLost. In the main thread returns early when an interruption was noted.
        """
        if self.closed:
            raise ConnectionLost(self.closed)
        self._pump(seen, timeout)

    def _pump(self, seen: int, timeout: float | None) -> None:
        if not self._reader.acquire(blocking=False):
            with self._arrived:
                # who holds the role gives it up before it looks for sleepers: either it sees this
                # one, or the role is free now
                self._sleepers += 1
                try:
                    if self._turn != seen or self.closed:
                        return
                    if not self._reader.acquire(blocking=False):
                        self._arrived.wait(timeout)
                        return
                finally:
                    self._sleepers -= 1
        try:
            if self._turn == seen and not self.closed:
                self._read(timeout)
        finally:
            self._hand_over()

    def _hand_over(self) -> None:
        self._reader.release()
        if self._answered:
            self._answered = False
            self.flush()
        if self._sleepers:
            with self._arrived:
                self._arrived.notify_all()
        # callbacks may run user code: not while holding the reader's role
        while self._due:
            try:
                callback = self._due.popleft()
            except IndexError:
                return
            callback()

    def _read(self, timeout: float | None) -> None:
        """Wait for data and process it. The caller has the reader's role."""
        milliseconds = None if timeout is None else max(0, int(timeout * 1000 + 0.999))
        if is_main_thread() and self.guard.deferring:
            if self._main_poller is None:
                self._main_poller = select.poll()
                self._main_poller.register(self._sock, select.POLLIN)
                self._main_poller.register(self.guard.wake_fd(), select.POLLIN)
            events = self._main_poller.poll(milliseconds)
        else:
            events = self._poller.poll(milliseconds)
        if events:
            self._receive()

    def _receive(self) -> None:
        try:
            size = self._sock.recv_into(self._inbox)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        if not size:
            self._lose("the session's head is gone")
            return
        messages = self._framer.feed(self._inbox[:size])
        if messages:
            self._process(messages)
            self._turn += 1

    def poll_now(self) -> bool:
        """Process what has arrived, without waiting. False, and nothing is done, while another
        thread reads, or this one in what it was doing when a signal came."""
        if not self._reader.acquire(blocking=False):
            return False
        try:
            while self._poller.poll(0) and not self.closed:
                self._receive()
        finally:
            self._hand_over()
        return True

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

    def _arrive(self, value: m.Value) -> None:
        if value.id not in self._wanted:
            # nobody has a ref to it any more
            if value.offset >= 0:
                self._out.append((value.offset,))
            return
        self._wanted.remove(value.id)
        self._values[value.id] = value
        if value.error:
            self._errors += 1
        if self._callbacks:
            with self.guard, self._callback_lock:
                self._due.extend(self._callbacks.pop(value.id, ()))

    def _lose(self, reason: str) -> None:
        self.closed = self.closed or reason
        with self.guard, self._callback_lock:
            callbacks, self._callbacks = self._callbacks, {}
        for each in callbacks.values():
            self._due.extend(each)
        if self.on_message is not None:
            self.on_message(None)

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

    def get(self, ids: Sequence[bytes], timeout: float | None) -> list[m.Value]:
        """The values of `ids`, in order, as soon as all are there or one of them is an error.

        With an error the list ends with it. Raises Timeout, ConnectionLost, KeyboardInterrupt.
        """
        values = self._values
        missing = [i for i in ids if i not in values]
        if missing:
            self._await_all(ids, missing, timeout)
        out = []
        for object_id in ids:
            value = values.get(object_id)
            if value is None:  # a later one failed
                continue
            out.append(value)
            if value.error:
                return [value]
        return out

    def _await_all(self, ids: Sequence[bytes], missing: list[bytes], timeout: float | None) -> None:
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            self.want(missing)
            self.flush()
            self.before_wait()
            values, errors = self._values, self._errors
            try:
                if any(i in values and values[i].error for i in ids):
                    return
                for object_id in missing:
                    while True:
                        seen = self._turn
                        if object_id in values:
                            break
                        if self._errors != errors:
                            errors = self._errors
                            if any(i in values and values[i].error for i in missing):
                                return
                        self._wait_turn(seen, deadline)
            except KeyboardInterrupt:
                self.give_up([i for i in missing if i not in values])
                raise
            finally:
                self.after_wait()

    def _wait_turn(self, seen: int, deadline: float | None) -> None:
        """One pump on the way to a deadline. Raises Timeout, KeyboardInterrupt."""
        if self.guard.noted:
            self.guard.deliver()
        left = None
        if deadline is not None:
            left = deadline - time.perf_counter()
            if left <= 0:
                self.poll_now()
                if self._turn == seen:
                    raise Timeout
                return
        self.pump(seen, left)

    def wait(self, ids: Sequence[bytes], count: int, timeout: float | None) -> list[int]:
        """The positions of the first `count` of `ids` that are ready, in order; of fewer when time
        is up first."""
        ready = self.ready(ids, count)
        if len(ready) >= count:
            return ready
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            self.want(ids, look=False)
            self.flush()
            self.before_wait()
            try:
                while True:
                    seen = self._turn
                    ready = self.ready(ids, count)
                    if len(ready) >= count:
                        return ready
                    try:
                        self._wait_turn(seen, deadline)
                    except Timeout:
                        return self.ready(ids, count)
            except KeyboardInterrupt:
                self.give_up([i for i in ids if i not in self._values])
                raise
            finally:
                self.after_wait()

    def give_up(self, ids: list[bytes]) -> None:
        """Note that this cell has stopped waiting for these objects, by an interruption."""
        cell = context.current_cell()
        before, others = self.given_up
        self.given_up = (cell, others + ids if cell == before else ids)

    def ready(self, ids: Sequence[bytes], count: int) -> list[int]:
        """The positions of the first `count` of `ids` whose values are here."""
        values = self._values
        ready: list[int] = []
        if count == 1 and values.keys().isdisjoint(ids):  # at C's speed
            return ready
        for i, object_id in enumerate(ids):
            if object_id in values:
                ready.append(i)
                if len(ready) == count:
                    break
        return ready

    def get_any(self, ids: Sequence[bytes], timeout: float | None) -> None:
        """Wait until one of `ids` is ready. Raises Timeout, ConnectionLost, KeyboardInterrupt."""
        if not self.wait(ids, 1, timeout):
            raise Timeout

    def want(self, ids: Sequence[bytes], look: bool = True) -> None:
        """Ask for objects, each once; `look`: they will be looked at as soon as they come."""
        with self.guard, self._send_lock:  # not while a fold forgets what had no ref just now
            if self._wanted.issuperset(ids):  # at C's speed
                return
            fresh = [i for i in ids if i not in self._wanted and i not in self._values]
            if fresh:
                self._wanted.update(fresh)
                self._out.append(m.Want(fresh, look))

    def before_wait(self) -> None:
        """A hook for the worker: the calling thread is about to wait."""

    def after_wait(self) -> None:
        """A hook for the worker: the wait is over, however it ended."""

    def peek(self, object_id: bytes) -> m.Value | None:
        """The value if it is here."""
        return self._values.get(object_id)

    def forget(self, object_id: bytes) -> None:
        """Drop an answer that is of no more use (a stream's item that never came)."""
        self._values.pop(object_id, None)
        self._wanted.discard(object_id)

    def when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Call `callback` once the value is here or the session is lost; perhaps at once, perhaps
        in the IO thread."""
        with self.guard, self._callback_lock:
            waits = object_id not in self._values and not self.closed
            if waits:
                self._callbacks.setdefault(object_id, []).append(callback)
        if waits:
            self.want([object_id])
            self.flush()
            self._io_thread().attend()
        else:
            callback()

    def no_longer_when_ready(self, object_id: bytes, callback: Callable[[], None]) -> None:
        """Take a callback back, so that nothing it holds waits for the value. It may be called all
        the same if that comes just now."""
        with self.guard, self._callback_lock:
            waiting = self._callbacks.get(object_id)
            if waiting is not None and callback in waiting:
                waiting.remove(callback)
                if not waiting:
                    del self._callbacks[object_id]

    def load(self, value: m.Value, timeout: float | None = None) -> Any:
        """Unpickle a value that was got. Large ones are views into the arena, or into a file.

        Blocks only if the value was let go meanwhile, or lost. Raises Timeout, ConnectionLost, and
        the error that took the place of a value that was lost.
        """
        if value.offset == m.INLINE:
            return deserialize(value.data)
        return deserialize(self._look_at(value, timeout))

    def raw(self, value: m.Value) -> Buffer:
        """The bytes of a value as they are stored. As `load` otherwise."""
        return value.data if value.offset == m.INLINE else self._look_at(value, None)

    def load_argument(self, value: m.Value) -> Any:
        """The same for a value that came with a task: pinned for it, and not kept here."""
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

    def _look_at(self, value: m.Value, timeout: float | None) -> Buffer:
        """The bytes of a value. They stay while somebody has a view of them."""
        object_id = value.id
        deadline = None if timeout is None else time.perf_counter() + timeout
        self._loading.add(object_id)
        try:
            while True:
                with self.guard, self._send_lock:
                    value = self._values.get(object_id, value)
                    view = self._views.get(object_id)
                    if view is None and value.offset not in (m.INLINE, m.AWAY):
                        view = self._open(value)
                        if view is not None and object_id in self._values:
                            self._views[object_id] = view
                if view is not None:
                    return view
                if value.error:
                    raise from_record(value.data)
                if value.offset == m.INLINE:
                    return value.data
                if value.offset != m.AWAY:
                    self._away(value)
                self._await_again(object_id, deadline)
        finally:
            self._loading.discard(object_id)

    def _open(self, value: m.Value) -> memoryview | None:
        """A view of a value where it lies; None if its file is lost."""
        if value.offset >= 0:
            entry = (value.offset,)
            return self.arena.view(value.offset, value.size, lambda: self._out.append(entry))
        try:
            return files.view(self.welcome.spill, value.data.decode(), value.size)
        except OSError:
            return None

    def _away(self, value: m.Value) -> m.Value:
        """A value's file can't be read: ask for it once it is somewhere else."""
        with self.guard, self._send_lock:
            away = msgspec.structs.replace(value, data=b"", offset=m.AWAY)
            self._values[value.id] = away
            self._wanted.add(value.id)
            self._out.append(m.Missing(value.id, value.data.decode()))
        return away

    def _await_again(self, object_id: bytes, deadline: float | None) -> None:
        """Wait for a value that is ready, and not here. Asked for as often as it takes: the head
        may answer a question from before with no more than that it is ready."""
        with self.guard:
            self.before_wait()
            try:
                while True:
                    seen = self._turn
                    with self._send_lock:
                        if self._values[object_id].offset != m.AWAY:
                            return
                        if object_id not in self._wanted:
                            self._wanted.add(object_id)
                            self._out.append(m.Want([object_id]))
                    self.flush()
                    self._wait_turn(seen, deadline)
            finally:
                self.after_wait()

    def _let_go(self, message: m.LetGo) -> None:
        """Give up the large values nobody looks at here. They stay ready: to look at one again is
        to ask for it again."""
        if message.collect:
            gc.collect()
        with self.guard, self._send_lock:
            for object_id in message.ids:
                value = self._values.get(object_id)
                if value is None or value.offset < 0 or object_id in self._loading:
                    continue
                self._values[object_id] = msgspec.structs.replace(value, offset=m.AWAY)
                if self._views.pop(object_id, None) is None:
                    self._out.append((value.offset,))
        self._out.append(m.LetGone())
        self._answered = True

    # -- references ----------------------------------------------------------------------------

    def add_ref(self, object_id: bytes) -> None:
        """One more instance of a ref in this process."""
        self._out.append(_Plus(object_id))

    def drop_ref(self, object_id: bytes) -> None:
        """One instance less. Called by finalizers: appends and nothing else."""
        self._out.append(object_id)

    def revive(self, object_id: bytes) -> bool:
        """One instance more of a ref of which this process may have none; False if the object is
        gone. Blocks for a round trip."""
        with self.guard:
            held = self.query("held", int, object=object_id)
            if held < 0:
                return False
            self._out.append(_Plus(object_id))
            self.flush()
            if held == 0:  # it stands for the first instance, which nobody counts
                with self._send_lock:
                    if object_id.startswith(self.ids.prefix):
                        self._extra.pop(object_id, None)
        return True

    def placed(self) -> dict[int, bytes]:
        """The objects here that lie in the arena, by their place."""
        return {value.offset: i for i, value in list(self._values.items()) if value.offset >= 0}

    def place_of(self, address: int) -> int | None:
        """The place of the object in the arena that this process sees at `address`."""
        return self.arena.place(address)

    # -- requests ------------------------------------------------------------------------------

    def request(self, make: Callable[[int], Any], timeout: float | None = None) -> bytes:
        """Send a request and wait for its answer. Raises RequestFailed, ConnectionLost, Timeout."""
        deadline = None if timeout is None else time.perf_counter() + timeout
        with self.guard:
            with self._send_lock:
                self._requests += 1
                number = self._requests
            self._out.append(make(number))
            self.flush()
            while True:
                seen = self._turn
                reply = self._replies.pop(number, None)
                if reply is not None:
                    break
                left = None if deadline is None else deadline - time.perf_counter()
                if left is not None and left <= 0:
                    raise Timeout
                self.pump(seen, left)
        if reply.error:
            raise RequestFailed(reply.error, reply.kind)
        return reply.data

    def query(self, what: str, kind: Any = Any, **filters: Any) -> Any:
        """Ask the head a question (see queries.py); the answer as `kind`."""
        data = self.request(lambda number: m.Query(number, what, filters))
        return msgspec.msgpack.decode(data, type=kind)

    def register_function(
        self, key: bytes, name: str, payload: bytes, contained: tuple[bytes, ...]
    ) -> None:
        """Make a function known to the head, once."""
        if key not in self._functions:
            self._out.append(m.RegisterFunction(key, name, payload, contained))
            self._functions.add(key)

    # -- the end -------------------------------------------------------------------------------

    def _io_thread(self) -> IoThread:
        if self._io is None:
            self._io = IoThread(self, reads=False)
        return self._io

    def start_io(self) -> None:
        """Read in the background whenever nobody waits. For drivers."""
        self._io = IoThread(self, reads=True)

    def close(self) -> None:
        """Leave the session. Refs that are still around are void."""
        self.flush()
        self.closed = self.closed or "the session was shut down"
        if self._io is not None:
            self._io.stop()
        with self._arrived:
            self._arrived.notify_all()
        self._views.clear()
        self._values.clear()
        self.arena.close()
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()
        self.guard.close()
        self._lose(self.closed)
        while self._due:
            self._due.popleft()()
        self._out = _Sink()  # type: ignore[assignment]


class _Sink:
    """Takes the last words of refs that outlive their session."""

    def append(self, item: object) -> None:
        pass

    def __len__(self) -> int:
        return 0
