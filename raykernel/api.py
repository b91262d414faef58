"""The core API: start and end a session, get, put, wait, cancel, kill, and what there is to ask.

Every function starts a session by itself if none runs. All work from any thread of a driver and
inside tasks and actors.
"""

from __future__ import annotations

import atexit
import inspect
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from raykernel import actor as actors
from raykernel import exceptions, named_objects, sessions
from raykernel import options as opts
from raykernel.actor import ActorClass, ActorHandle
from raykernel.calling import explain
from raykernel.generators import ObjectRefGenerator
from raykernel.refs import ObjectRef
from raykernel.remote import RemoteFunction
from raykernel.runtime import context, session
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection, ConnectionLost, RequestFailed, Timeout
from raykernel.runtime.engines import local
from raykernel.runtime.engines.base import ApiEngine, Engine
from raykernel.runtime.events import BarInfo, LogLine, TaskInfo
from raykernel.runtime.serialize import Serialized, deserialize, serialize
from raykernel.runtime_env import canonical

SessionCallback = Callable[["Engine | None"], None]

_callbacks: list[SessionCallback] = []
_log_to_driver = True
_log_handled_elsewhere = 0
_driver_pid = 0
_session_context: RayContext | None = None
logger = logging.getLogger("raykernel")

_IGNORED = {
    "dashboard_host", "dashboard_port", "include_dashboard", "job_config", "labels",
    "configure_logging", "logging_level", "logging_format", "logging_config",
    "log_to_driver", "_temp_dir", "_system_config", "_memory", "_redis_password",
    "_node_ip_address", "_metrics_export_port", "_tracing_startup_hook",
    "_enable_object_reconstruction", "enable_resource_isolation",
}  # fmt: skip


# -- sessions -------------------------------------------------------------------------------------


class RayContext(Mapping[str, Any]):
    """What `init` returns: a mapping with the session's addresses, and a context manager that ends
    the session."""

    def __init__(self, engine: ApiEngine) -> None:
        self.address_info: dict[str, Any] = {
            "node_id": engine.node,
            "session_dir": engine.folder,
            "address": f"unix:{engine.folder}/head.sock",
            "node_ip_address": "127.0.0.1",
            "session_name": engine.session,
            "webui_url": "",
        }
        self.dashboard_url = ""
        self.python_version = ".".join(map(str, sys.version_info[:3]))

    def __getitem__(self, key: str) -> Any:
        return self.address_info[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.address_info)

    def __len__(self) -> int:
        return len(self.address_info)

    def __enter__(self) -> RayContext:
        return self

    def __exit__(self, *exc: object) -> None:
        self.disconnect()

    def disconnect(self) -> None:
        """End the session."""
        shutdown()

    def __repr__(self) -> str:
        return f"RayContext(session={self.address_info['session_name']!r})"

    def _repr_html_(self) -> str:
        from raykernel.reprs import session_html

        return session_html(self)


def init(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    resources: dict[str, float] | None = None,
    object_store_memory: int | None = None,
    namespace: str | None = None,
    ignore_reinit_error: bool = False,
    log_to_driver: bool = True,
    runtime_env: Mapping[str, Any] | None = None,
    object_spilling_directory: str | None = None,
    name: str | None = None,
    session_ttl: float | None = None,
    **others: Any,
) -> RayContext:
    """Start a session on this machine, or connect to one. Blocks until it answers, about 0.2 s.

    `address`: the name of a session that runs (or its `session.json`, or what its context has for
    "address") connects to it, as one more driver. "local" always starts one. Without it a notebook
    whose session has outlived its kernel comes back to that; all others start one.

    `object_store_memory` is in bytes (default: 30 % of the machine's memory). Objects beyond it go
    to files, in the session's folder or in `object_spilling_directory`; that they don't is said as
    for Ray, by `_system_config={"automatic_object_spilling_enabled": False}`. `name` is the
    session's name, `session_ttl` the seconds it outlives its last driver (default 0; in a notebook
    with the extension loaded, what that is configured to).

    Raises RuntimeError if a session runs already (unless `ignore_reinit_error`) or a keyword is not
    known, ConnectionError if there is none at `address` or it can't be used, ValueError for options
    of a session to be started beside an `address`. Options of Ray that make no sense on one
    machine's engine (the dashboard's, the
    cluster's) are accepted and have no effect.
    """
    global _log_to_driver, _driver_pid, _session_context
    unknown = set(others) - _IGNORED
    if unknown:
        raise RuntimeError(f"Unknown keyword argument(s): {', '.join(sorted(unknown))}")
    if context.engine is not None and context.engine.client.closed:
        shutdown()  # that session is gone; what is left of it here goes too
    if context.engine is not None and not _forked():
        if ignore_reinit_error:
            logger.info("Calling ray.init() again after it has already been called.")
            assert _session_context is not None
            return _session_context
        raise RuntimeError(
            "Maybe you called ray.init twice by accident? This error can be suppressed by passing "
            "in 'ignore_reinit_error=True' or by calling 'ray.shutdown()' prior to 'ray.init()'."
        )
    if namespace is not None:
        opts._namespace("namespace", namespace)
    if not os.path.isabs(others.get("_temp_dir") or "/"):
        raise ValueError("temp_dir must be absolute path or None.")
    if session_ttl is not None and not 0 <= session_ttl < float("inf"):
        raise ValueError(f"session_ttl={session_ttl!r} is no number of seconds")
    asked = {
        "num_cpus": num_cpus, "num_gpus": num_gpus, "resources": resources, "name": name,
        "object_store_memory": object_store_memory, "session_ttl": session_ttl,
        "object_spilling_directory": object_spilling_directory,
        "_system_config": others.get("_system_config"),
    }  # fmt: skip
    total = _total(num_cpus, num_gpus, resources)
    environment = json.loads(canonical(runtime_env) or "{}")
    variables = environment.pop("env_vars", {})
    capacity = object_store_memory or session.default_capacity()
    if capacity < 1 << 20:
        raise ValueError(f"object_store_memory={capacity} is too small: it is in bytes")
    total["object_store_memory"] = int(capacity)
    engine: ApiEngine | None = sessions.connect(address, asked, namespace or "")
    if engine is None:
        try:
            engine = sessions.start(total, int(capacity), asked, namespace or "", variables)
        except (local.StartFailed, session.SessionError, OSError) as error:
            raise RuntimeError(f"could not start a session: {error}") from None
    elif variables:  # its workers have others: a task brings its own
        environment, variables = {**environment, "env_vars": variables}, {}
    _log_to_driver = log_to_driver
    _driver_pid = os.getpid()
    context.engine = engine
    context.job_variables = variables
    context.environment = json.dumps(environment, sort_keys=True) if environment else ""
    _session_context = RayContext(engine)
    engine.on_log(_print_log)
    engine.on_bars(_draw_bars)
    engine.on_warning(_warn)
    for callback in list(_callbacks):
        callback(engine)
    return _session_context


_DEFAULT_RESOURCES = {
    "CPU": "num_cpus", "GPU": "num_gpus", "memory": "_memory",
    "object_store_memory": "object_store_memory",
}  # fmt: skip


def _total(
    num_cpus: int | None, num_gpus: int | None, others: dict[str, float] | None
) -> dict[str, float]:
    for key in others or {}:
        assert key not in _DEFAULT_RESOURCES, (
            f"`{key}` cannot be a custom resource because it is one of the default resources "
            f"({', '.join(_DEFAULT_RESOURCES)}). Use `{_DEFAULT_RESOURCES[key]}` instead."
        )
    for key, amount in (others or {}).items():
        if amount < 0 or amount != int(amount):
            raise ValueError(
                "Resource quantities must be nonnegative whole numbers. Violated by "
                f"{key!r}: {amount}"
            )
    for label, n in (("num_cpus", num_cpus), ("num_gpus", num_gpus)):
        if n is not None and (isinstance(n, bool) or not isinstance(n, (int, float)) or n < 0):
            raise ValueError(f"{label} must be a non-negative number, not {n!r}")
    total: dict[str, float] = dict(others or {})
    total["CPU"] = _cpu_count() if num_cpus is None else num_cpus
    if num_gpus is None:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        num_gpus = len([d for d in visible.split(",") if d.strip()])
    if num_gpus:
        total["GPU"] = num_gpus
    total["memory"] = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 0.7)
    total["node:127.0.0.1"] = 1.0
    return total


def _cpu_count() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def shutdown(_exiting_interpreter: bool = False) -> None:
    """End the session, with all its processes and memory. Harmless if there is none.

    A session that another driver uses goes on, and so does one that this driver connected to by
    its address: then only the connection ends, and this driver's tasks with it.
    """
    _part(end=True)


def _leave() -> None:
    """The program ends: what is to outlive it goes on."""
    _part(end=context.engine is not None and not context.engine.lasting)


def _part(end: bool) -> None:
    global _session_context
    running, context.engine = context.engine, None
    if running is None:
        return
    _session_context = None
    if _driver_pid != os.getpid():
        return
    for callback in list(_callbacks):
        callback(None)
    if end:
        running.shutdown()
    else:
        running.leave()
    context.environment, context.job_variables = "", {}


atexit.register(_leave)


def is_initialized() -> bool:
    """Whether a session runs, or this is code in one."""
    return context.engine is not None


def auto_init() -> ApiEngine:
    """The engine; starts a session if there is none."""
    if context.engine is None:
        init()
    return connected()


def connected() -> ApiEngine:
    """The engine this process is connected to; starts a session if there is none."""
    current: ApiEngine | None = context.engine
    if current is None:
        return auto_init()
    if _driver_pid and _forked():
        raise RuntimeError(
            "this process was forked from the one that started the session, and can't use its "
            "connection. Use ray tasks instead of a forked process, or call ray.shutdown() and "
            "ray.init() here for a session of its own."
        )
    return current


def _forked() -> bool:
    return bool(_driver_pid) and _driver_pid != os.getpid()


def engine() -> Engine | None:
    """The current session's engine, None if there is no session."""
    current: Engine | None = context.engine
    return current


def on_session(callback: SessionCallback) -> Callable[[], None]:
    """Call `callback` with the engine when a session starts and with None when it ends, in the
    thread that starts or ends it. Returns the function that removes it."""
    _callbacks.append(callback)

    def remove() -> None:
        if callback in _callbacks:
            _callbacks.remove(callback)

    return remove


def take_over_logs() -> Callable[[], None]:
    """Somebody else shows what tasks print (the notebook layer). Returns the way back."""
    global _log_handled_elsewhere
    _log_handled_elsewhere += 1

    def give_back() -> None:
        global _log_handled_elsewhere
        _log_handled_elsewhere -= 1

    return give_back


def shows_logs() -> bool:
    """Whether this session was started with `log_to_driver`."""
    return _log_to_driver


def _print_log(line: LogLine) -> None:
    if not _log_to_driver or _log_handled_elsewhere:
        return
    _hide_bars()
    stream = sys.stderr if line.stream == "stderr" else sys.stdout
    label = f"({line.name or 'worker'} pid={line.worker})"
    for text in line.text.splitlines() * line.times:
        print(f"{label} {text}", file=stream)


def _draw_bars(bars: list[BarInfo]) -> None:
    if _log_to_driver and not _log_handled_elsewhere:
        from raykernel.barlines import default_lines  # for the few whose tasks have bars

        default_lines().show(bars)


def _hide_bars() -> None:
    lines = sys.modules.get("raykernel.barlines")
    if lines is not None:
        lines.default_lines().hide()


def _warn(text: str) -> None:
    logger.warning(text)


# -- tasks, actors, objects -----------------------------------------------------------------------


def remote(*args: Any, **options: Any) -> Any:
    """Make a function a remote function, a class an actor class.

    `@ray.remote` or `@ray.remote(num_cpus=2, ...)`. Raises TypeError, ValueError for options that
    are not known or not allowed.
    """
    if len(args) == 1 and not options and callable(args[0]):
        return _make_remote(args[0], {})
    if args or not options:
        raise TypeError(
            "The @ray.remote decorator must be applied either with no arguments and no "
            "parentheses, for example '@ray.remote', or it must be applied using some of the "
            "arguments 'num_returns', 'num_cpus', ..., for example '@ray.remote(num_returns=2)'."
        )
    return lambda thing: _make_remote(thing, options)


def _make_remote(thing: Any, options: dict[str, Any]) -> RemoteFunction | ActorClass:
    if isinstance(thing, (RemoteFunction, ActorClass)):
        raise TypeError(
            "The @ray.remote decorator must be applied to either a function or a class, not to "
            f"{thing!r}, which is remote already."
        )
    if inspect.isclass(thing):
        return ActorClass(thing, options)
    if inspect.isroutine(thing) or callable(thing):
        if not hasattr(thing, "__name__"):
            raise TypeError(
                "The @ray.remote decorator must be applied to either a function or a class, not "
                f"to {thing!r}"
            )
        return RemoteFunction(thing, options)
    raise TypeError("The @ray.remote decorator must be applied to either a function or a class.")


def get(object_refs: Any, *, timeout: float | None = None) -> Any:
    """The value of a ref, or the list of values of a list of refs, in order. Blocks.

    `timeout` in seconds; 0 polls. Raises the task's error (a RayTaskError that is also an instance
    of what the task raised), GetTimeoutError, ObjectLostError, and so on. Arrays are read-only
    views into shared memory.
    """
    __tracebackhide__ = True  # IPython shows the line that called this, and not these
    current = connected()
    client: Connection = current.client
    if type(object_refs) is ObjectRef:
        value = client.peek(object_refs._id)
        if value is None:
            object_refs = counted(client, object_refs)
            value = _fetch(client, [object_refs._id], timeout)[0]
        if value.error:
            del object_refs
            raise exceptions.from_record(value.data) from None
        return _load(client, value, timeout)
    if isinstance(object_refs, ObjectRefGenerator):
        raise ValueError(
            "Invalid type of object refs: an ObjectRefGenerator. Iterate over it, and get the refs "
            "it yields."
        )
    if not isinstance(object_refs, list):
        raise ValueError(
            "Invalid type of object refs, "
            f"{type(object_refs)}, is given. 'object_refs' must either be an ObjectRef or a list "
            "of ObjectRefs."
        )
    all_count, ref = True, None
    for ref in object_refs:
        if type(ref) is not ObjectRef:
            raise TypeError(
                f"Attempting to call `get` on the value {ref!r}, which is not an ray.ObjectRef."
            )
        all_count = all_count and ref._client is client
    if not all_count:
        object_refs = [counted(client, ref) for ref in object_refs]
    ids = [ref._id for ref in object_refs]
    try:
        values = _fetch(client, ids, timeout)
    except BaseException:
        del object_refs, ref  # a traceback is kept for long, and is to keep no object alive
        raise
    if values and values[-1].error:
        error = exceptions.from_record(values[-1].data)
        _tell_of_others(client, object_refs, error)
        del object_refs, ref
        raise error from None
    return [_load(client, value, timeout) for value in values]


def _load(client: Connection, value: m.Value, timeout: float | None) -> Any:
    if value.offset == m.INLINE:
        return deserialize(value.data)
    __tracebackhide__ = True
    try:
        return client.load(value, timeout)
    except Timeout:
        raise _timed_out(timeout) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None


_COUNTED = 10_000  # of refs asked for together


def _tell_of_others(client: Connection, refs: list[Any], error: BaseException) -> None:
    """Add how many more of these have failed by now."""
    if len(refs) < 2:
        return
    tasks = {ref._id[:24]: client.peek(ref._id) for ref in refs[:_COUNTED]}
    failed = [value.data for value in tasks.values() if value is not None and value.error]
    exceptions.tell_of_others(error, failed, len(tasks))


def counted(client: Connection, ref: ObjectRef[Any]) -> ObjectRef[Any]:
    """The ref itself if it counts in this session; of one that doesn't, as it stands in `Out`, one
    that does. Raises ValueError for another session's, ObjectLostError if the object was freed."""
    __tracebackhide__ = True
    if ref._client is client:
        return ref
    if ref._client is not None or ref.is_nil():
        raise ValueError(
            f"{ref!r} is from a different cluster: it belongs to a session that is over or that "
            "this process is not connected to"
        )
    if not client.revive(ref._id):
        raise exceptions.ObjectLostError(
            f"{ref!r} was freed: nothing else referred to it. Out, _ and the like keep no object "
            "alive: assign the ref to a name for that."
        )
    return ObjectRef(ref._id, client)


def _fetch(client: Connection, ids: list[bytes], timeout: float | None) -> list[m.Value]:
    __tracebackhide__ = True
    if timeout is not None and timeout < 0:
        raise ValueError("The 'timeout' argument must be nonnegative or None.")
    _warn_if_in_loop()
    try:
        return client.get(ids, timeout)
    except Timeout:
        raise _timed_out(timeout) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None
    except KeyboardInterrupt as interruption:
        if context.interrupted is not None:
            context.interrupted()
        raise interruption.with_traceback(None) from None  # where in here it struck says nothing


def _timed_out(timeout: float | None) -> exceptions.GetTimeoutError:
    return exceptions.GetTimeoutError(f"Get timed out: some object(s) not ready after {timeout} s.")


def _warn_if_in_loop() -> None:
    running = context.running()
    if running is None or not running.spec.actor or "asyncio" not in sys.modules:
        return
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    warnings.warn(
        "Using blocking ray.get inside async actor. This blocks the event loop. Please use `await` "
        "on object ref with asyncio.gather if you want to yield execution to the event loop "
        "instead.",
        stacklevel=4,
    )


def put(value: Any, *, name: str | None = None) -> ObjectRef[Any]:
    """Store a value; its ref. Raises TypeError for a ref or a value that can't be pickled,
    ObjectStoreFullError.

    With a `name` the session keeps the object, for `get_object`, until the name is given to another
    or the session ends: also when the notebook's kernel is restarted. A task's ref can be named as
    well: the object is that task's result, whether or not it is there yet.
    """
    client: Connection = connected().client
    if name is not None:
        _check_object_name(name)
        if isinstance(value, ObjectRef):
            value = counted(client, value)
            return named_objects.give(name, value)
    if isinstance(value, ObjectRef):
        raise TypeError(
            "Calling 'put' on an ray.ObjectRef is not allowed. If you really want to do this, you "
            "can wrap the ray.ObjectRef in a list and call 'put' on it."
        )
    if isinstance(value, ObjectRefGenerator):
        raise TypeError("Calling 'put' on an ObjectRefGenerator is not allowed.")
    try:
        data = serialize(value)
    except Exception as error:
        raise TypeError(explain(f"Could not serialize the put value {value!r}", value)) from error
    ref: ObjectRef[Any] = ObjectRef(client.ids.put(), client)
    _store(client, ref._id, data)
    return ref if name is None else named_objects.give(name, ref)


def _check_object_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"an object's name is a string, not {name!r}")
    if not name.strip():
        raise ValueError("an object's name must not be empty")


def get_object(name: str, namespace: str | None = None) -> ObjectRef[Any]:
    """The ref of the object that `put(value, name=name)` stored, in whichever driver.

    Raises ValueError if there is none of that name in the namespace (default: the session's).
    """
    _check_object_name(name)
    if namespace is not None:
        opts._namespace("namespace", namespace)
    return named_objects.find(connected(), name, namespace)


def _store(client: Connection, object_id: bytes, data: Serialized) -> None:
    try:
        client.put(data, object_id)
    except RequestFailed as error:
        full = exceptions.OutOfDiskError if error.kind else exceptions.ObjectStoreFullError
        raise full(str(error)) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None


def wait(
    ray_waitables: Sequence[Any],
    *,
    num_returns: int = 1,
    timeout: float | None = None,
    fetch_local: bool = True,
) -> tuple[list[Any], list[Any]]:
    """Wait until `num_returns` of the refs are ready, or `timeout` seconds.

    Returns (ready, rest), each in the order given; at most `num_returns` are in the first, even if
    more are ready. Doesn't raise the tasks' errors: a failed task is ready.
    """
    client: Connection = connected().client
    if isinstance(ray_waitables, (ObjectRef, ObjectRefGenerator)):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or ObjectRefGenerator, got a single one"
        )
    if not isinstance(ray_waitables, list):
        raise TypeError(
            "wait() expected a list of ray.ObjectRef or ObjectRefGenerator, got "
            f"{type(ray_waitables)}"
        )
    if timeout is not None and timeout < 0:
        raise ValueError("The 'timeout' argument must be nonnegative.")
    if isinstance(num_returns, bool) or not isinstance(num_returns, int):
        raise TypeError(f"num_returns must be an integer, not {num_returns!r}")
    refs = list(ray_waitables)
    ids = _left_over(client, refs)
    known = ids is not None
    held = []
    if ids is None:
        held = [counted(client, ref) for ref in refs if _uncounted(ref)]
        ids = _waitable_ids(client, refs)
    if not refs:
        return [], []
    if num_returns <= 0:
        raise ValueError(f"Invalid number of objects to return {num_returns}.")
    if not known and len(set(refs if ids is None else ids)) != len(refs):
        raise ValueError("Wait requires a list of unique ray_waitables.")
    if num_returns > len(refs):
        raise ValueError(
            "num_returns cannot be greater than the number of ray_waitables provided to ray.wait."
        )
    try:
        if ids is None:
            ready = _wait_any(client, refs, num_returns, timeout)
        else:
            ready = client.ready(ids, num_returns)
            if len(ready) < num_returns:
                ready = client.wait(ids, num_returns, timeout)
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None
    except KeyboardInterrupt as interruption:
        if context.interrupted is not None:
            context.interrupted()
        raise interruption.with_traceback(None) from None
    del held
    done = [refs[i] for i in ready]
    for i in reversed(ready):
        del refs[i]
        if ids is not None:
            del ids[i]
    client.left_over = ids or []
    return done, refs


def _uncounted(ref: Any) -> bool:
    return type(ref) is ObjectRef and ref._client is None


def _left_over(client: Connection, refs: list[Any]) -> list[bytes] | None:
    """The ids of `refs` if these are what the last `wait` left, else None.

    A program that waits for its results one by one comes with the rest each time: that each is a
    ref, and once in the list, was looked at then.
    """
    rest = client.left_over
    if not refs or len(rest) != len(refs) or type(refs[0]) is not ObjectRef:
        return None
    try:
        ids = list(map(_id_of, refs))
        same = ids == rest and set(map(_client_of, refs)) == {client}
    except AttributeError:
        return None
    return ids if same else None


def _waitable_ids(client: Connection, refs: list[Any]) -> list[bytes] | None:
    """What to wait for; None if there are generators.

    Lists of plain refs, by far the most, are checked at C's speed.
    """
    if set(map(type, refs)) == {ObjectRef}:
        if not set(map(_client_of, refs)) <= {client, None}:
            for ref in refs:
                counted(client, ref)
        return list(map(_id_of, refs))
    for ref in refs:
        if type(ref) is ObjectRef:
            counted(client, ref)
        elif not isinstance(ref, ObjectRefGenerator):
            raise TypeError(
                "wait() expected a list of ray.ObjectRef or ObjectRefGenerator, got list "
                f"containing {type(ref)}"
            )
    return None if refs else []


def _wait_any(client: Connection, refs: list[Any], count: int, timeout: float | None) -> list[int]:
    """`client.wait` where there are generators among the refs: a generator is ready with its next
    item, or with its end."""
    deadline = None if timeout is None else time.monotonic() + timeout
    ids: list[bytes] = []
    places: list[int] = []
    for place, ref in enumerate(refs):
        own = ref._wait_ids() if isinstance(ref, ObjectRefGenerator) else (ref._id,)
        ids += own
        places += [place] * len(own)
    wanted = count
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        found = client.wait(ids, wanted, left)
        ready = sorted({places[i] for i in found})
        if len(ready) >= count or len(found) < wanted:
            return ready[:count]
        wanted = len(found) + 1  # a generator's item and end both: one thing


_id_of = attrgetter("_id")
_client_of = attrgetter("_client")


def cancel(ref: Any, *, force: bool = False, recursive: bool = True) -> None:
    """Cancel the task behind a ref (or a generator of refs).

    A waiting one never runs; a running one gets KeyboardInterrupt, or with `force` is killed. `get`
    then raises TaskCancelledError. Does nothing to a task that is done.
    """
    client: Connection = connected().client
    if isinstance(ref, ObjectRefGenerator):
        ref = ref._end
    if not isinstance(ref, ObjectRef):
        raise TypeError(
            f"ray.cancel() only supported for object refs, got: {type(ref)}. To end an actor use "
            "ray.kill()."
        )
    ref = counted(client, ref)
    if force:
        kind = client.query("task_kind", str, task=ref._id[:24])
        if kind == "call":
            raise ValueError(
                "force=True is not supported for actor tasks. Use ray.kill() to end the actor."
            )
    client.queue(m.Cancel(ref._id, force, recursive))
    client.flush()


def kill(actor: ActorHandle, *, no_restart: bool = True) -> None:
    """End an actor at once. With `no_restart=False` it may be restarted as its options say."""
    client: Connection = connected().client
    if not isinstance(actor, ActorHandle):
        raise ValueError(
            "ray.kill() only supported for actors. For tasks, try ray.cancel(). Got: "
            f"{type(actor)}."
        )
    if actor._client is not client:
        raise ValueError(f"{actor!r} is from a different cluster")
    client.queue(m.KillActor(actor._id, no_restart))
    client.flush()


def kept() -> dict[str, list[str]]:
    """The names of what the session keeps whoever leaves, in this driver's namespace."""
    current = connected()
    actors = current.query("named_actors", namespace=current.namespace)
    objects = current.query("named_objects")
    return {
        "actors": sorted(one["name"] for one in actors),
        "objects": sorted(o["name"] for o in objects if o["namespace"] == current.namespace),
    }


def get_actor(name: str, namespace: str | None = None) -> ActorHandle:
    """The handle of a named actor. It doesn't keep the actor alive.

    Raises ValueError if there is none of that name in the namespace (default: the session's).
    """
    current = connected()
    if not isinstance(name, str) or not name.strip():
        raise ValueError("Please supply a non-empty value to get_actor")
    if namespace is not None:
        opts._namespace("namespace", namespace)
    where = namespace or current.namespace
    client: Connection = current.client
    deadline = time.monotonic() + 5
    while True:
        found = client.query("find_actor", dict[str, bytes], name=name, namespace=where)
        if not found["actor"]:
            raise ValueError(
                f"Failed to look up actor with name '{name}'. This could because 1. You are trying "
                "to look up a named actor you didn't create. 2. The named actor died. 3. You did "
                "not use a namespace matching the namespace of the actor."
            )
        if found["meta"] or time.monotonic() > deadline:
            break
    return ActorHandle(found["actor"], deserialize(found["meta"]), None, client)


# -- what there is --------------------------------------------------------------------------------


def nodes() -> list[dict[str, Any]]:
    """The machines of the session: one."""
    found: list[dict[str, Any]] = connected().query("nodes")
    for node in found:
        node.update(
            NodeManagerHostname=os.uname().nodename, NodeManagerAddress="127.0.0.1", alive=True,
            NodeName="127.0.0.1",
        )  # fmt: skip
    return found


def cluster_resources() -> dict[str, float]:
    """All resources by name."""
    total: dict[str, float] = connected().query("resources")["total"]
    return total


def available_resources() -> dict[str, float]:
    """The resources that are free now; names with nothing free are left out."""
    free: dict[str, float] = connected().query("resources")["available"]
    return free


def get_gpu_ids() -> list[int | str]:
    """The GPUs assigned to the running task or actor; empty in a driver.

    Numbers from 0, or what the session's CUDA_VISIBLE_DEVICES calls them.
    """
    running = context.running()
    if running is None:
        return []
    names = (context.cards.get(i, str(i)) for i in running.gpus or ())
    return [int(name) if name.isdigit() else name for name in names]


def timeline(filename: str | None = None) -> list[dict[str, Any]] | None:
    """What ran where and when, as Chrome trace events; written to `filename` if given.

    The file loads in Perfetto and chrome://tracing. Times are in microseconds. See util/trace.py.
    """
    from raykernel.util import trace  # which imports this module's neighbours

    tasks: list[TaskInfo] = connected().query("tasks")
    events = trace.events(tasks)
    if filename is None:
        return events
    Path(filename).write_text(json.dumps(events))
    return None


exit_actor = actors.exit_actor
