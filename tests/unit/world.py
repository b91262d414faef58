"""A world of well-behaved processes around a scheduler, for the state machine to drive.

    Proc      a connected process: what it says and hears waits in queues, so that words cross
    Driver    holds references and streams
    WorkerProc  runs what it is sent, as worker.py does: one at a time, or several if it is an actor
                that allows it; hands back what is queued when it blocks or is recalled
    Arena     who may read and write which bytes, and what lies in files

The processes check what they are told: nothing runs twice, in-order actors keep their callers'
order, and no byte is given out while somebody may look at it.
"""

from __future__ import annotations

import pickle
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime.dispatch import POKE
from raykernel.runtime.ids import IdFactory, handle_id, item_id, return_id

T = TypeVar("T")

QUICK, SLOW, CLASS = b"quick", b"slow", b"class"
TOOK = {QUICK: 0.0001, SLOW: 0.5}
INLINE, LARGE = 1, 9000


def pick(things: Any, n: int) -> Any:
    """One of some things, as a drawn number says."""
    things = list(things)
    return things[n % len(things)]


class Arena:
    """The bytes of the session, and who looks at them."""

    def __init__(self) -> None:
        self.blocks: dict[int, tuple[int, bytes]] = {}  # offset: size, object written there
        self.views: Counter[tuple[int, int, bytes]] = Counter()
        self.disk: dict[str, bytes] = {}  # file: object written there
        self.repeatable: set[bytes] = set()  # lost objects that are to come again

    def write(self, offset: int, size: int, object_id: bytes) -> None:
        for start, length, seen in self.views:
            free = start + length <= offset or offset + size <= start
            assert free, f"{object_id!r} is written over {seen!r}, which somebody looks at"
        for start in [
            s for s, (n, _) in self.blocks.items() if s < offset + size and offset < s + n
        ]:
            del self.blocks[start]
        self.blocks[offset] = size, object_id

    def look(self, value: m.Value) -> None:
        assert self.blocks.get(value.offset) == (value.size, value.id), "its bytes are gone"
        self.views[value.offset, value.size, value.id] += 1

    def look_away(self, value: m.Value) -> None:
        key = value.offset, value.size, value.id
        self.views[key] -= 1
        if not self.views[key]:
            del self.views[key]

    def copy(self, offset: int, size: int, file: str) -> str:
        """A block goes to a file; its name."""
        found, object_id = self.blocks[offset]
        assert found == size, "a part of an object is moved"
        self.disk[file + ".pickle"] = object_id
        return file + ".pickle"

    def unlink(self, file: str) -> None:
        for name in [n for n in self.disk if n.partition(".")[0] == file.partition(".")[0]]:
            del self.disk[name]

    def discard(self, offset: int, size: int) -> None:
        for start, length, seen in self.views:
            free = start + length <= offset or offset + size <= start
            assert free, f"the pages of {seen!r} are dropped under somebody's eyes"


@dataclass
class Stream:
    """A generator of refs in its consumer."""

    task: bytes
    position: int = 0


class Proc:
    """A connected process: its references, the values it has, what it says and is told."""

    def __init__(self, arena: Arena, name: bytes) -> None:
        self.id = name
        self.arena = arena
        self.ids = IdFactory(name[-8:].ljust(16, b"."))
        self.inbox: deque[Any] = deque()
        self.outbox: deque[Any] = deque()
        self.alive = True
        self.refs: Counter[bytes] = Counter()
        self.wanted: set[bytes] = set()
        self.values: dict[bytes, m.Value] = {}
        self.streams: dict[bytes, Stream] = {}
        self.replies = 0
        self.writing: dict[int, tuple[int, Any]] = {}  # allocations asked for: size, what then
        self.looking: set[bytes] = set()  # objects of which it holds views

    def say(self, *messages: Any) -> None:
        self.outbox.extend(messages)

    def told(self, message: Any) -> None:
        """Bytes on their way to this process: memory in them must stay."""
        for value in carried(message):
            self.arena.look(value)
        self.inbox.append(message)

    def die(self) -> None:
        """It is gone, and with it whatever it looked at."""
        self.alive = False
        while self.inbox:
            for value in carried(self.inbox.popleft()):
                self.arena.look_away(value)
        for value in self.values.values():
            if value.offset >= 0:
                self.arena.look_away(value)
        self.values.clear()
        self.refs.clear()
        self.streams.clear()

    # -- references ----------------------------------------------------------------------------

    def gain(self, ids: tuple[bytes, ...]) -> None:
        """Unpickle refs."""
        for object_id in ids:
            self.refs[object_id] += 1
            self.say(m.AddRef([object_id]))

    def drop(self, object_id: bytes) -> None:
        """The end of one ref instance."""
        self.refs[object_id] -= 1
        self.say(m.Release([object_id]))
        if not self.refs[object_id]:
            del self.refs[object_id]
            self.forget(object_id)

    def forget(self, object_id: bytes) -> None:
        self.wanted.discard(object_id)
        self.looking.discard(object_id)
        value = self.values.pop(object_id, None)
        if value is not None and value.offset >= 0:
            self.unpin(value)

    def unpin(self, value: m.Value) -> None:
        self.arena.look_away(value)
        self.say(m.Unpin([value.offset]))

    def want(self, ids: Any) -> None:
        fresh = [
            i for i in dict.fromkeys(ids)
            if i not in self.wanted and (i not in self.values or self.values[i].offset == m.AWAY)
        ]  # fmt: skip
        if fresh:
            self.wanted.update(fresh)
            self.say(m.Want(fresh))

    def drop_all(self) -> None:
        for stream in list(self.streams.values()):
            self.close(stream)
        for object_id in list(self.refs.elements()):
            self.drop(object_id)

    # -- values --------------------------------------------------------------------------------

    def make(
        self, object_id: bytes, large: bool, contained: tuple[bytes, ...], then: Any,
        result: bool = True,
    ) -> None:  # fmt: skip
        """Bring a value into its form, then go on with it: at once, or when there is memory."""
        if not large:
            then(m.Value(object_id, b"inline", contained=contained))
            return
        self.replies += 1
        self.writing[self.replies] = LARGE, (object_id, contained, then)
        self.say(m.Allocate(self.replies, LARGE, result))

    def put(self, large: bool, contained: tuple[bytes, ...]) -> None:
        object_id = self.ids.put()

        def store(value: m.Value | None) -> None:
            if value is not None:
                self.refs[object_id] += 1
                self.say(m.PutObject(value))

        self.make(object_id, large, contained, store, result=False)

    def submit(self, spec: m.TaskSpec) -> None:
        self.say(spec)
        if spec.kind == m.CREATION:
            self.refs[handle_id(spec.actor)] += 1
            return
        for i in range(1, (spec.returns if spec.returns >= 0 else 1) + 1):
            self.refs[return_id(spec.id, i)] += 1
            self.wanted.add(return_id(spec.id, i))  # it comes unasked
        if spec.returns == m.STREAMING:
            self.streams[spec.id] = Stream(spec.id)

    # -- streams -------------------------------------------------------------------------------

    def consume(self, stream: Stream) -> None:
        """Take the next item if it is there, else ask for it."""
        item, end = item_id(stream.task, stream.position), return_id(stream.task, 1)
        known = self.values.get(end)
        if known is not None and not known.error and pickle.loads(known.data) <= stream.position:
            self.over(stream)
        elif item in self.values:
            stream.position += 1
            self.refs[item] += 1
            if known is not None and known.error and self.values[item].error:
                self.over(stream)  # the last item says why there is no more
        else:
            if known is None and item not in self.wanted:
                self.say(m.Consumed(stream.task, stream.position))
            self.want([item, end])

    def over(self, stream: Stream) -> None:
        del self.streams[stream.task]
        self.forget(item_id(stream.task, stream.position))
        self.drop(return_id(stream.task, 1))

    def close(self, stream: Stream) -> None:
        self.say(m.DropStream(stream.task, stream.position))
        self.over(stream)

    # -- hearing -------------------------------------------------------------------------------

    def read(self) -> None:
        """Handle all that has arrived."""
        while self.inbox and self.alive:
            self.hear(self.inbox.popleft())

    def hear(self, message: Any) -> None:
        if isinstance(message, m.Objects):
            for value in message.values:
                if value.id in self.wanted:
                    self.wanted.remove(value.id)
                    self.values[value.id] = value
                    self.gain(value.contained)
                    self.check(value)
                elif value.offset >= 0:
                    self.unpin(value)
        elif isinstance(message, m.Reply) and message.request in self.writing:
            size, (object_id, contained, then) = self.writing.pop(message.request)
            if message.error:
                then(None)
                return
            place = msgspec.msgpack.decode(message.data)
            if isinstance(place, int):
                self.arena.write(place, size, object_id)
                then(m.Value(object_id, offset=place, size=size, contained=contained))
            else:
                name = place + ".pickle"
                self.arena.disk[name] = object_id
                then(m.Value(object_id, name.encode(), False, m.ON_DISK, size, contained))
        elif isinstance(message, m.LetGo):
            for object_id in message.ids:
                known = self.values.get(object_id)
                if known is not None and known.offset >= 0 and object_id not in self.looking:
                    self.values[object_id] = msgspec.structs.replace(known, offset=m.AWAY)
                    self.unpin(known)
            self.say(m.LetGone())

    def check(self, value: m.Value) -> None:
        """Read a value that came: a file may be lost, and what can be made again is."""
        if value.error and value.id in self.arena.repeatable:
            record = msgspec.msgpack.decode(value.data, type=m.ErrorRecord)
            assert record.kind != "lost", "an object is given up that could be made again"
        if value.offset == m.ON_DISK and not self.can_read(value):
            self.values[value.id] = msgspec.structs.replace(value, offset=m.AWAY)
            self.wanted.add(value.id)
            self.say(m.Missing(value.id, value.data.decode()))

    def can_read(self, value: m.Value) -> bool:
        found = self.arena.disk.get(value.data.decode())
        assert found in (None, value.id), "a file holds another object"
        return found is not None


@dataclass
class Run:
    """A task in a worker."""

    spec: m.TaskSpec
    attempt: int
    views: list[m.Value]
    cancelled: bool = False
    produced: int = 0
    finishing: bool = False
    borrowed: list[bytes] = field(default_factory=list)


class WorkerProc(Proc):
    """Runs what it is sent."""

    def __init__(self, arena: Arena, name: bytes, log: Log) -> None:
        super().__init__(arena, name)
        self.log = log
        self.queue: deque[m.RunTask] = deque()
        self.running: dict[bytes, Run] = {}
        self.blocked: list[bytes] | None = None  # the objects it waits for
        self.actor: m.ActorOptions | None = None
        self.poked = False
        self.leaving = False

    @property
    def attentive(self) -> bool:
        """Whether it reads its socket: while user code runs only a signal makes it."""
        busy = self.running and not self.concurrent and self.blocked is None and not self.writing
        return self.poked or not busy

    @property
    def concurrent(self) -> bool:
        return self.actor is not None and self.actor.max_concurrency > 1

    def signal(self, number: int) -> None:
        if number == POKE:
            self.poked = True

    def die(self) -> None:
        super().die()
        for run in self.running.values():
            self._look_away(run.views)
        for message in self.queue:
            self._look_away([v for v in message.values if v.offset >= 0])
        for task in (*self.running, *(q.spec.id for q in self.queue)):
            self.log.left(task)
        self.running.clear()
        self.queue.clear()

    def _look_away(self, views: list[m.Value]) -> None:
        for value in views:
            self.arena.look_away(value)

    def hear(self, message: Any) -> None:
        if isinstance(message, m.RunTask):
            self.log.came(message, self)
            if self.blocked is not None and self.actor is None:
                self._hand_back([message])
            else:
                self.queue.append(message)
        elif isinstance(message, m.CancelTask):
            self._cancel(message.task)
        elif isinstance(message, m.Recall):
            if self.actor is None:
                waiting, self.queue = list(self.queue), deque()
                self._hand_back(waiting)
        elif isinstance(message, m.StopStream):
            if message.task in self.running:
                self.running[message.task].cancelled = True
        elif isinstance(message, m.Exit):
            self.leaving = True
        else:
            super().hear(message)

    def read(self) -> None:
        super().read()
        self.poked = False

    def _hand_back(self, messages: list[m.RunTask]) -> None:
        for message in messages:
            self._look_away([v for v in message.values if v.offset >= 0])
            self.log.left(message.spec.id)
        self.say(m.TasksReturned([message.spec.id for message in messages]))

    def _cancel(self, task: bytes) -> None:
        for message in self.queue:
            if message.spec.id == task:
                self.queue.remove(message)
                self._look_away([v for v in message.values if v.offset >= 0])
                self.log.left(task)
                self.say(m.TaskFinished(task, [], "cancelled"))
                return
        if task in self.running:
            self.running[task].cancelled = True

    # -- running -------------------------------------------------------------------------------

    def begin(self) -> bool:
        """Start the next task, if there is room."""
        room = self.actor.max_concurrency if self.actor is not None else 1
        if not self.queue or len(self.running) >= room:
            return False
        message = self.queue.popleft()
        spec = message.spec
        run = Run(spec, message.attempt, [v for v in message.values if v.offset >= 0])
        assert [v.id for v in message.values] == list(spec.deps)
        assert not any(v.error for v in message.values), "it runs in spite of a failed argument"
        self.running[spec.id] = run
        self.log.began(message, self)
        inner = [c for v in message.values for c in v.contained]
        lost = [v for v in message.values if v.offset == m.ON_DISK and not self.can_read(v)]
        run.borrowed = [*spec.contained, *inner, *(v.id for v in lost)]
        self.gain(tuple(run.borrowed))
        for value in lost:
            self.wanted.add(value.id)
            self.say(m.Missing(value.id, value.data.decode()))
        return True

    def block(self, ids: list[bytes]) -> None:
        """`get` in the running task."""
        missing = [i for i in ids if i not in self.values]
        if not missing:
            return
        self.want(missing)
        self.blocked = missing
        waiting: list[m.RunTask] = []
        if self.actor is None:
            waiting, self.queue = list(self.queue), deque()
        for message in waiting:
            self._look_away([v for v in message.values if v.offset >= 0])
            self.log.left(message.spec.id)
        self.say(m.Blocked([w.spec.id for w in waiting]))

    def resume(self, give_up: bool = False) -> None:
        """The wait is over: all is there, one is an error, or time is up."""
        if self.blocked is None:
            return
        here = [self.values[i] for i in self.blocked if i in self.values]
        if give_up or len(here) == len(self.blocked) or any(v.error for v in here):
            self.blocked = None
            self.say(m.Unblocked())

    def finish(self, run: Run, how: str, large: bool, contained: tuple[bytes, ...]) -> None:
        """End a task: "ok", "error", "retry" (an exception that its options retry), "exit"."""
        spec = run.spec
        run.finishing = True
        if run.cancelled and spec.returns != m.STREAMING:
            self._end(run, m.TaskFinished(spec.id, [], "cancelled"))
        elif how in ("error", "retry"):
            record = m.ErrorRecord("task", name=spec.name, cause_repr="ValueError: no")
            value = m.Value(b"", msgspec.msgpack.encode(record), error=True)
            self._end(run, m.TaskFinished(spec.id, [value], "error", how == "retry", "no"))
        elif how == "exit" and spec.kind == m.CALL:
            self._end(run, m.TaskFinished(spec.id, [m.Value(return_id(spec.id, 1))], "exit"))
            self.say(m.ActorExited())
            self.leaving = True
        elif spec.returns == m.STREAMING:
            end = m.Value(return_id(spec.id, 1), pickle.dumps(run.produced, 5))
            self._end(run, m.TaskFinished(spec.id, [end]))
        elif spec.kind == m.CREATION or spec.returns == 0:
            self._end(run, self._ok(spec, []))
        else:
            self._return(run, 1, [], large, contained)

    def _return(
        self, run: Run, index: int, done: list[m.Value], large: bool, contained: tuple[bytes, ...]
    ) -> None:
        """Make the return values one after the other; memory may have to be asked for."""

        def then(value: m.Value | None) -> None:
            if value is None:
                record = m.ErrorRecord("full", "no room")
                error = m.Value(b"", msgspec.msgpack.encode(record), error=True)
                for made in done:  # what was written before is of no use
                    if made.offset != m.INLINE:
                        self.say(m.Abandon(made.offset, made.data.decode()))
                self._end(run, m.TaskFinished(run.spec.id, [error], "error", False, "full"))
            elif index == run.spec.returns:
                self._end(run, self._ok(run.spec, [*done, value]))
            else:
                self._return(run, index + 1, [*done, value], False, ())

        self.make(return_id(run.spec.id, index), large, contained, then)

    def _ok(self, spec: m.TaskSpec, values: list[m.Value]) -> m.TaskFinished:
        took = TOOK.get(spec.function, 0.0)
        return m.TaskFinished(spec.id, values, started=1.0, ended=1.0 + took)

    def _end(self, run: Run, message: m.TaskFinished) -> None:
        spec = run.spec
        self.say(message)
        del self.running[spec.id]
        self.log.left(spec.id)
        for value in run.views:
            self.unpin(value)
        for object_id in run.borrowed:
            if self.refs[object_id] and self.actor is None:  # an actor may keep them
                self.drop(object_id)
        if spec.kind == m.CREATION and message.status == "ok":
            assert spec.extra is not None
            self.actor = spec.extra.actor
        if self.actor is None and not self.running:
            self.drop_all()

    def produce(self, run: Run, large: bool) -> None:
        """Yield an item of a stream."""
        run.finishing = True  # busy until the item is on its way

        def then(value: m.Value | None) -> None:
            run.finishing = False
            if value is not None:
                self.say(m.Yielded(run.spec.id, run.produced, value))
                run.produced += 1

        self.make(item_id(run.spec.id, run.produced), large, (), then)


class Log:
    """Who has which task, and in what order calls began."""

    def __init__(self) -> None:
        self.where: dict[bytes, WorkerProc] = {}
        self.numbers: dict[bytes, int] = {}  # calls, numbered as they were submitted
        self.last: dict[tuple[bytes, bytes], int] = {}
        self.begun: set[bytes] = set()

    def came(self, message: m.RunTask, worker: WorkerProc) -> None:
        task = message.spec.id
        assert task not in self.where, f"{task!r} is with two workers"
        self.where[task] = worker

    def left(self, task: bytes) -> None:
        self.where.pop(task, None)

    def began(self, message: m.RunTask, worker: WorkerProc) -> None:
        spec = message.spec
        if spec.kind == m.CALL and message.attempt == 1:
            assert worker.actor is not None
            again = spec.id in self.begun  # to make a lost result
            self.begun.add(spec.id)
            if not worker.actor.out_of_order and not again:
                key = worker.id, spec.id[:16]  # of one caller
                number = self.numbers[spec.id]
                assert self.last.get(key, -1) < number, "a later call of its caller went before"
                self.last[key] = number


def carried(message: Any) -> list[m.Value]:
    """The values in the arena that a message refers to."""
    if isinstance(message, (m.Objects, m.RunTask)):
        return [v for v in message.values if v.offset >= 0]
    return []
