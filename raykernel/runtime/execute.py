"""Running one task in a worker: load, call, and put the outcome into a message.

Used by every way of running tasks (the main thread, an actor's threads, its event loop). Nothing
the user's code does escapes as an exception: it becomes a `TaskFinished`.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
import os
import pickle
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from types import GeneratorType
from typing import Any, NoReturn

from . import context, failures
from . import messages as m
from .connection import Connection, RequestFailed
from .context import Running
from .ids import FIRST_RETURN, item_id, return_id
from .serialize import deserialize, serialize
from .store import error_value


class ActorExit(SystemExit):
    """Raised by `exit_actor` inside an actor's method."""


#: What `exit_actor` raises in an async actor, where SystemExit would end the loop. The API sets it.
asyncio_exit: type[BaseException] = ActorExit

#: Set by the worker: the actor that lives here is to leave.
actor_leaves: Callable[[], None] | None = None


def exit_actor() -> NoReturn:
    """End this actor after the running call, whether or not that catches what this raises.

    Raises TypeError outside an actor.
    """
    running = context.running()
    if running is None or not running.spec.actor:
        raise TypeError("exit_actor API is called on a non-actor worker.")
    running.exiting = True
    extra = context.creation.extra if context.creation is not None else None
    if extra is None or extra.actor is None or not extra.actor.is_async:
        raise ActorExit
    if actor_leaves is not None:
        actor_leaves()  # the call this belongs to may be long over
    raise asyncio_exit


class Functions:
    """The functions and classes this worker has the code of. Main thread only."""

    def __init__(self) -> None:
        self._code: dict[bytes, bytes] = {}
        self._loaded: dict[bytes, Any] = {}

    def learn(self, key: bytes, code: bytes) -> None:
        self._code[key] = code

    def forget(self, key: bytes) -> None:
        self._code.pop(key, None)
        self._loaded.pop(key, None)

    def load_again(self) -> None:
        """What was loaded may hold things of modules that are other ones now."""
        self._loaded.clear()

    def get(self, key: bytes, what: str) -> Any:
        """The function. Raises RuntimeError if it can't be loaded here."""
        loaded = self._loaded.get(key)
        if loaded is None:
            try:
                loaded, sources = deserialize(self._code[key])
            except Exception as error:
                raise RuntimeError(
                    f"{what} failed to import on the worker. This may be because needed library "
                    "dependencies are not installed in the worker environment or cannot be found "
                    f"from sys.path {sys.path}:\n\n{failures.text_of(error)}"
                ) from None
            for filename, text in sources.items():
                # code from a cell or a string: tracebacks here should show its lines too
                lines = text.splitlines(keepends=True)
                linecache.cache[filename] = (len(text), None, lines, filename)
            self._loaded[key] = loaded
        return loaded


def arguments(
    client: Connection, spec: m.TaskSpec, values: list[m.Value]
) -> tuple[list[Any], dict[str, Any]]:
    """The call's arguments, refs at top level replaced by their values.

    The same ref twice gives the same object twice. Raises what unpickling raises.
    """
    if not values:
        return deserialize(spec.args) if spec.args else ([], {})
    loaded: dict[bytes, Any] = {}
    for i, value in enumerate(values):
        if value.id in loaded:
            let_go(client, [value])
            continue
        try:
            loaded[value.id] = client.load_argument(value)
        except BaseException:
            let_go(client, values[i + 1 :])
            raise
    if spec.args_ref:
        args, kwargs = loaded[spec.args_ref]
    else:
        args, kwargs = deserialize(spec.args) if spec.args else ([], {})
    for slot, dep in zip(spec.slots, spec.deps, strict=False):
        if isinstance(slot, int):
            args[slot] = loaded[dep]
        else:
            kwargs[slot] = loaded[dep]
    return args, kwargs


def let_go(client: Connection, values: Sequence[m.Value]) -> None:
    """Give back memory that was sent as arguments and is not looked at."""
    for value in values:
        if value.offset >= 0:
            client.queue((value.offset,))


def results(client: Connection, running: Running, value: Any) -> list[m.Value]:
    """A task's return value as the objects it promised. Raises ValueError on a wrong number."""
    spec = running.spec
    count = spec.returns
    if count == 1 or spec.kind == m.CREATION:
        if spec.kind == m.CREATION:
            return []
        if type(value) is GeneratorType:
            return _drawn(client, spec, value)
        return [client.make_value(spec.id + FIRST_RETURN, serialize(value))]
    if count == 0:
        return []
    if type(value) is Parts:
        return [_part(client, running, i, value) for i in range(len(value))]
    if count == m.DYNAMIC:
        running.keep = made = make_dynamic(_put_all(client, running, value))
        return [client.make_value(return_id(spec.id, 1), serialize(made))]
    if type(value) is GeneratorType:
        return _drawn(client, spec, value)
    try:
        parts = list(value)
    except TypeError:
        raise ValueError(
            f"Task returned one {type(value).__name__}, which is not iterable, but "
            f"num_returns={count}."
        ) from None
    if len(parts) != count:
        raise ValueError(f"Task returned {len(parts)} objects, but num_returns={count}.")
    return [
        client.make_value(return_id(spec.id, i), serialize(part)) for i, part in enumerate(parts, 1)
    ]


class Parts(list[Any]):
    """A task's return values, at least two, each of which may fail by itself: by a `Failed` in its
    place, or because it can't be sent. `names` are for what is said then."""

    def __init__(self, values: Iterable[Any], names: Sequence[str]) -> None:
        super().__init__(values)
        self.names = names


class Failed:
    """Stands for a value that is an error."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _part(client: Connection, running: Running, index: int, parts: Parts) -> m.Value:
    value = parts[index]
    object_id = return_id(running.spec.id, index + 1)
    if isinstance(value, Failed):
        error = value.error
    else:
        try:
            return client.make_value(object_id, serialize(value))
        except RequestFailed as full:
            error = full
        except Exception as reason:
            error = TypeError(f"{parts.names[index]} can't leave its task: {reason}")
    return error_value(object_id, failures.describe(running, error))


class Broken(Exception):
    """A generator failed, or ended early, after it had made some of what its task promised."""

    def __init__(self, error: BaseException, made: list[m.Value]) -> None:
        self.error = error
        self.made = made


def _drawn(client: Connection, spec: m.TaskSpec, generator: Any) -> list[m.Value]:
    """The first items of a generator as a task's fixed number of returns. Raises Broken."""
    made: list[m.Value] = []
    try:
        for item in itertools.islice(generator, spec.returns):
            made.append(client.make_value(return_id(spec.id, len(made) + 1), serialize(item)))
        if len(made) < spec.returns:
            raise ValueError(f"Task returned {len(made)} objects, but num_returns={spec.returns}.")
    except BaseException as error:
        raise Broken(error, made) from None
    try:
        next(generator, None)  # what follows the last `yield` runs too
    except Exception:
        traceback.print_exc()  # too late for a result: the values are promised
    return made


def _put_all(client: Connection, running: Running, generator: Any) -> list[bytes]:
    """Put what a "dynamic" task yields. Unless it can be tried again, an exception is the last."""
    spec = running.spec
    ids: list[bytes] = []
    try:
        for item in generator:
            ids.append(client.put(serialize(item), result=True))
    except Exception as error:
        if may_retry(running) and failures.retryable(spec, error):
            raise
        record = failures.describe(running, error)
        ids.append(client.ids.put())
        client.post(m.PutObject(error_value(ids[-1], record)))
    return ids


#: Set by the API: turns ids into the value a "dynamic" task returns.
make_dynamic: Callable[[list[bytes]], Any] = list


def stream(
    client: Connection, running: Running, generator: Any, wait_for_room: Callable[[int], bool]
) -> m.TaskFinished:
    """Send what a generator yields, item by item, until it ends or nobody wants more.

    `wait_for_room(position)` blocks until the consumer is near enough; False: it is gone.
    """
    spec = running.spec
    started = time.time()
    position = 0
    try:
        while wait_for_room(position):
            try:
                item = next(generator)
            except StopIteration:
                break
            client.post(yielded(client, spec, position, item))
            position += 1
        else:
            if hasattr(generator, "close"):
                generator.close()
    except BaseException as error:
        return failure(running, error, started)
    return stream_end(spec, position, started)


def yielded(client: Connection, spec: m.TaskSpec, position: int, item: Any) -> m.Yielded:
    value = client.make_value(item_id(spec.id, position), serialize(item))
    return m.Yielded(spec.id, position, value)


def stream_end(spec: m.TaskSpec, count: int, started: float) -> m.TaskFinished:
    end = m.Value(return_id(spec.id, 1), pickle.dumps(count, 5))
    return m.TaskFinished(spec.id, [end], started=started, ended=time.time())


def success(client: Connection, running: Running, value: Any, started: float) -> m.TaskFinished:
    """The outcome of a call that returned. What can't be sent makes it a failure."""
    running.call = None
    ended = time.time()
    if running.exiting:  # and it caught what `exit_actor` raised
        return m.TaskFinished(running.spec.id, [], "exit", started=started, ended=ended)
    try:
        values = results(client, running, value)
    except Broken as broken:
        outcome = failure(running, broken.error, started, made=broken.made)
        if outcome.status != "error":  # nobody gets what was made: its memory goes back
            for made in broken.made:
                if made.offset != m.INLINE:
                    client.queue(m.Abandon(made.offset, made.data.decode()))
        return outcome
    except BaseException as error:
        return failure(running, error, started)
    return m.TaskFinished(
        running.spec.id, values, started=started, ended=ended, called=running.called
    )


#: Set by the worker: ends this process with that exit code, once what is done is sent.
leave: Callable[[int], NoReturn] = os._exit


def _quit(running: Running, error: SystemExit) -> None:
    """`sys.exit` ends the process, as it does in any program. Returns for an actor that exits with
    code 0: that is the same as `exit_actor()`."""
    code = error.code
    if not isinstance(code, int):
        code = 0 if code is None else 1
    traceback.clear_frames(error.__traceback__)  # what its locals held is let go in order
    if code or running.spec.kind == m.TASK:
        leave(code & 0xFF)
    running.exiting = True


def failure(
    running: Running,
    error: BaseException,
    started: float,
    cancelled: bool = False,
    made: Sequence[m.Value] = (),
) -> m.TaskFinished:
    """The outcome of a call that raised; `cancelled` if that was what it was asked to do."""
    spec = running.spec
    ended = time.time()
    if cancelled or isinstance(error, KeyboardInterrupt):
        value = error_value(b"", failures.interrupted(running, error))
        return m.TaskFinished(spec.id, [value], "cancelled", started=started, ended=ended)
    if isinstance(error, SystemExit) and not running.exiting:
        _quit(running, error)
    if running.exiting:
        return m.TaskFinished(spec.id, [], "exit", started=started, ended=ended)
    again = failures.retryable(spec, error)
    final = not (again and may_retry(running))
    record = failures.describe(running, error, kept=final)
    if final:
        failures.keep(running, error, record)
    running.call = None
    return m.TaskFinished(
        spec.id, [error_value(b"", record), *made], "error",
        again, failures.summary(error), started, ended, running.called,
    )  # fmt: skip


def may_retry(running: Running) -> bool:
    """Whether its options leave it another try."""
    return running.spec.retries < 0 or running.attempt <= running.spec.retries


def check_stream(spec: m.TaskSpec, value: Any) -> None:
    if not (inspect.isgenerator(value) or hasattr(value, "__next__")):
        raise ValueError(
            f"{spec.name} has num_returns='streaming' but returned "
            f"{type(value).__name__}, not a generator"
        )
