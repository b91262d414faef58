"""What runs on the cluster: one task of ours inside one of Ray's.

Ray calls these with a spec, what it refers to, and the values of its arguments; the function is
loaded, called, and its outcome given to Ray: values as ray_values.py says, an error as a `Failure`
that is raised, a cancellation as Ray raised it. Code in tasks that says `import raykernel as ray`
finds an engine of its own here, made with the process's first task.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import inspect
import itertools
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import GeneratorType
from typing import Any, NoReturn

import msgspec

from raykernel.runtime import context, execute, failures, inherit
from raykernel.runtime import messages as m
from raykernel.runtime.context import Running
from raykernel.runtime.engines import ray_output
from raykernel.runtime.engines.ray_values import Failure, Fault, RayValue, Retry, value_of
from raykernel.runtime.events import CANCELLED, FAILED, FINISHED
from raykernel.runtime.execute import Functions
from raykernel.runtime.ids import return_id
from raykernel.runtime.remains import Keeper
from raykernel.runtime.serialize import serialize
from raykernel.runtime.wire import encode_one

_spec = msgspec.msgpack.Decoder(m.TaskSpec).decode


class Here:
    """This worker process."""

    def __init__(self) -> None:
        from raykernel.runtime.engines import ray as engines

        for name in ("generators", "actor", "api"):  # for what they lend to `execute`
            importlib.import_module(f"raykernel.{name}")
        self.engine = engines.in_worker()
        self.client = self.engine.client
        self.notes = self.client.watch
        self.ray = self.client.ray
        self.functions = Functions()
        self._known: set[bytes] = set()
        self.instance: Any = None
        assert self.engine.calls is not None
        self.calls = self.engine.calls
        context.engine = self.engine
        context.thread_origin = inherit.task
        inherit.install()
        failures.actor_instance = lambda: self.instance
        if self.engine.parcels is not None:
            failures.keeper = Keeper(self.engine.parcels)
        execute.leave = self.leave
        execute.actor_leaves = self.actor_leaves
        context.asked_to_end = self.asked_to_end
        ray_output.install(self.notes)

    def load(self, key: bytes, payload: bytes, nested: dict[bytes, Any], what: str) -> Any:
        """The function or class. Raises RuntimeError if it can't be loaded here."""
        if key not in self._known:
            self._known.add(key)
            self.functions.learn(key, payload)
        came = self.client.refs.adopt(nested)
        try:
            return self.functions.get(key, what)
        finally:
            self.client.refs.shed(came)

    def asked_to_end(self) -> bool:
        """Whether the running task was cancelled, as far as this Ray tells. Raises RuntimeError in
        an async actor, whose calls are cancelled at once."""
        ask = getattr(self.ray.get_runtime_context(), "is_canceled", None)
        return ask is not None and bool(ask())

    def actor_leaves(self) -> None:
        """The actor is to end after what runs just now."""
        with contextlib.suppress(Exception):  # a Ray that calls it otherwise hears it from a call
            self.ray._private.worker.global_worker.core_worker.set_current_actor_should_exit()

    def last_words(self) -> None:
        """This process is about to end. Blocks for a moment at most."""
        self.notes.send()
        if self.engine.parcels is not None:
            self.engine.parcels.flush()

    def leave(self, code: int) -> NoReturn:
        sys.stdout.flush()
        self.last_words()
        os._exit(code)


_this: list[Here] = []


def here() -> Here:
    if not _this:
        _this.append(Here())
    return _this[0]


class _NeedsFailed(Exception):
    """An argument is an error."""

    def __init__(self, record: bytes) -> None:
        self.record = record


class Job:
    """One task on its way through this process."""

    def __init__(self, head: bytes, deps: Sequence[Any]) -> None:
        self.here = here()
        self.spec: m.TaskSpec = _spec(head)
        refs: dict[bytes, Any] = {}
        if self.spec.contained:
            refs, deps = deps[0], deps[1:]
        self.deps = deps
        self.running = Running(self.spec, _attempt(self.here.ray), _gpus(self.here.ray, self.spec))
        self.started = time.time()
        client = self.here.client
        if self.spec.kind != m.CALL:
            extra = self.spec.extra
            context.captured = extra.group if extra is not None and extra.capture else b""
            context.environment = extra.env if extra is not None else ""
        client.refs.settle()
        self.came = client.refs.adopt(refs) if refs else []
        context.enter(self.running)
        self.here.notes.began(self.running)

    def arguments(self) -> tuple[list[Any], dict[str, Any]]:
        """Raises what loading them raises."""
        client, spec, running = self.here.client, self.spec, self.running
        values = [value_of(i, d) for i, d in zip(spec.deps, self.deps, strict=False)]
        for value in values:
            if value.error:
                raise _NeedsFailed(value.data)
        args, kwargs = running.call = execute.arguments(client, spec, list(values))
        client.refs.shed(self.came)
        self.taken = sum(v.size or len(v.data) for v in values)
        if values:
            running.called = time.time()
        self.deps = ()
        return args, kwargs

    taken = 0

    def succeeded(self, value: Any) -> Any:
        """What the function returned, for Ray. Raises what the outcome is for Ray."""
        outcome = execute.success(self.here.client, self.running, value, self.started)
        return self.close(outcome)

    def failed(self, error: BaseException, cancelled: bool = False) -> Any:
        if isinstance(error, _NeedsFailed):
            record = msgspec.msgpack.decode(error.record, type=m.ErrorRecord)
            record = msgspec.structs.replace(record, via=(*record.via, self.spec.name))
            value = m.Value(b"", encode_one(record), error=True)
            return self.close(m.TaskFinished(self.spec.id, [value], "error", error=record.message))
        return self.close(execute.failure(self.running, error, self.started, cancelled))

    def broken(
        self, error: BaseException, cancelled: type[BaseException] = KeyboardInterrupt
    ) -> NoReturn:
        """A stream's end by an error, for Ray. Raises what that is for Ray; `cancelled` is how a
        cancellation comes to where the stream runs."""
        try:
            self.failed(error, isinstance(error, asyncio.CancelledError))
        except Failure:
            # An error of ours is one item more, which Ray leaves out once the task was cancelled:
            # the stream would just end.
            ended = isinstance(error, cancelled)
            with contextlib.suppress(RuntimeError):  # of event loops Ray doesn't tell
                ended = ended or self.here.asked_to_end()
            if ended:
                raise cancelled from None
            raise
        raise AssertionError("an error that is none")

    def close(self, outcome: m.TaskFinished) -> Any:
        """The outcome for Ray."""
        spec, notes = self.spec, self.here.notes
        ray_output.end(self.running)
        context.enter(None)
        self.here.client.refs.shed(self.came)
        told = outcome.called, outcome.ended
        if outcome.status in ("ok", "exit", "stream"):
            made = sum(v.size or len(v.data) for v in outcome.values)
            notes.ended(spec.id, FINISHED, "", *told, made, self.taken)
        elif outcome.status == "cancelled":
            notes.ended(spec.id, CANCELLED, "cancelled", *told, 0, self.taken)
        else:
            notes.ended(spec.id, FAILED, outcome.error, *told, 0, self.taken)
        if outcome.status == "stream":
            return None
        if outcome.status == "ok":
            return _returns(spec, outcome.values)
        if outcome.status == "exit":
            self.here.last_words()
            self.here.ray.actor.exit_actor()
        first, made_first = outcome.values[0], outcome.values[1:]
        if spec.kind == m.CREATION:
            notes.died(spec.actor, first.data)
            self.here.engine.bury(spec.actor, first.data)
        if spec.kind == m.CREATION or _is_last(spec):
            self.here.last_words()
        if made_first and not outcome.retryable:
            rest = [Fault(first.data)] * (spec.returns - len(made_first))
            return (*map(stored, made_first), *rest)
        record = msgspec.msgpack.decode(first.data, type=m.ErrorRecord)
        kind = Retry if outcome.retryable else Failure
        raise kind(record.text or record.message or record.cause_repr, first.data) from None


def _returns(spec: m.TaskSpec, values: list[m.Value]) -> Any:
    if spec.returns == 0 or spec.kind == m.CREATION:
        return None
    if spec.returns > 1:
        return tuple(map(stored, values))
    return stored(values[0])


def stored(value: m.Value) -> Any:
    if value.error:
        return Fault(value.data)
    blob = value.blob if isinstance(value, RayValue) else None
    return value.data if blob is None else blob


def _is_last(spec: m.TaskSpec) -> bool:
    """Whether Ray may end the process after this task."""
    limited = spec.extra is not None and spec.extra.max_calls
    return spec.kind == m.TASK and bool(limited or "GPU=" in spec.resources)


def _attempt(ray: Any) -> int:
    try:
        worker = ray._private.worker.global_worker
        return int(worker.core_worker.get_current_task_attempt_number())
    except Exception:
        return 0  # a Ray that doesn't tell


def _gpus(ray: Any, spec: m.TaskSpec) -> tuple[int, ...] | None:
    made = context.creation
    of_actor = made.extra.actor if made is not None and made.extra is not None else None
    held = of_actor.keeps if of_actor is not None and spec.kind == m.CALL else spec.resources
    if "GPU=" not in held:
        return None
    return tuple(int(i) for i in ray.get_gpu_ids() if str(i).isdigit())


# -- tasks -----------------------------------------------------------------------------------------


def run(key: bytes, payload: bytes, nested: dict[bytes, Any], head: bytes, deps: Any) -> Any:
    """A task."""
    job = Job(head, deps)
    calls, task = job.here.calls, job.spec.id
    calls.wake()
    context.set_main(job.running)
    try:
        try:
            args, kwargs = job.arguments()
            function = job.here.load(key, payload, nested, "The remote function")
            job.running.function = function
            calls.enter(task)
            value = function(*args, **kwargs)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            calls.leave(task)
            del args, kwargs
        except BaseException as error:
            calls.leave(task)
            return job.failed(error)
        if job.spec.returns > 1 and type(value) is GeneratorType:
            return _drawn(job, value)
        return job.succeeded(value)
    finally:
        context.set_main(None)


def _drawn(job: Job, generator: Any) -> Iterator[Any]:
    """A fixed number of results, of which Ray takes and stores one after the other."""
    client, spec, made = job.here.client, job.spec, 0
    calls = job.here.calls
    context.set_main(job.running)
    try:
        calls.enter(spec.id)
        for item in itertools.islice(generator, spec.returns):
            made += 1
            yield stored(client.make_value(return_id(spec.id, made), serialize(item)))
            del item
        if made < spec.returns:
            raise ValueError(f"Task returned {made} objects, but num_returns={spec.returns}.")
        try:
            next(generator, None)  # what follows the last `yield` runs too
        except Exception:
            traceback.print_exc()  # too late for a result: the values are there
    except GeneratorExit:
        raise
    except BaseException as error:
        calls.leave(spec.id)
        job.failed(error)
        return
    finally:
        calls.leave(spec.id)
        context.set_main(None)
    job.close(m.TaskFinished(spec.id, [], "stream", started=job.started, ended=time.time()))


def stream(
    key: bytes, payload: bytes, nested: dict[bytes, Any], head: bytes, deps: Any
) -> Iterator[Any]:
    """A generator task."""
    job = Job(head, deps)
    calls, task = job.here.calls, job.spec.id
    calls.wake()
    context.set_main(job.running)
    try:
        load = partial(job.here.load, key, payload, nested, "The remote function")
        yield from items(job, load, partial(calls.steps, task))
    finally:
        calls.leave(task)
        context.set_main(None)


def items(
    job: Job, load: Callable[[], Any], steps: Callable[[Any], Iterator[Any]] = iter
) -> Iterator[Any]:
    """The values that a generator yields, for Ray; `steps` takes them from it."""
    client, made = job.here.client, 0
    generator: Any = None
    try:
        args, kwargs = job.arguments()
        function = job.running.function = load()
        generator = function(*args, **kwargs)
        del args, kwargs
        execute.check_stream(job.spec, generator)
        for item in steps(generator):
            yield stored(execute.yielded(client, job.spec, made, item).value)
            made += 1
    except GeneratorExit:
        with contextlib.suppress(Exception):
            generator.close()
        job.here.notes.ended(job.spec.id, CANCELLED, error="nobody took more")
        raise
    except BaseException as error:
        job.broken(error)
    job.close(m.TaskFinished(job.spec.id, [], "stream", started=job.started, ended=time.time()))
