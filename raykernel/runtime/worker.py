"""A worker: a process that runs tasks one by one in its main thread, or lives as an actor.

    main thread   reads the socket while idle; runs tasks; a blocked `get` reads the socket too
    flusher       started on the first output or queued message, sends what waits
    actor with concurrency: threads or an event loop run the calls, the main thread only reads

While user code runs nobody reads the socket. What can't wait (a cancellation, a recall of queued
tasks) is therefore announced by a signal, SIGURG: its handler reads what has arrived. If the main
thread is in the middle of the engine's own work then, the guard defers the handler until it is out.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import inspect
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from types import FrameType
from typing import Any, NoReturn

import msgspec

from . import context, environments, execute, failures, guard, inherit, logfiles, remains, resources
from . import messages as m
from .client import Client
from .concurrency import Concurrent, make_concurrent
from .connection import ConnectionLost
from .context import Running
from .dispatch import POKE
from .guard import Guard
from .reloading import reload_modules
from .settings import Settings
from .swallowed import strike_again
from .taskio import Outbox, TaskStream, line_buffer_c

_CUDA = "CUDA_VISIBLE_DEVICES"
_FLUSH = 0.001  # results wait for company at most this long
#: Seconds that a stream nobody takes any more may go on, unhindered: what is nearly done ends well.
GRACE = 1.0
_LAST_WORDS = 30.0  # seconds for `__ray_shutdown__` and exit handlers


class _Client(Client):
    """A client whose blocking waits tell the head that the CPU is free."""

    worker: Worker

    def before_wait(self) -> None:
        self.worker.before_wait()

    def after_wait(self) -> None:
        self.worker.after_wait()


class Worker:
    """The main thread's state, touched by that thread only, except where said."""

    def __init__(self, settings: Settings, worker_id: bytes) -> None:
        self.inbox: deque[m.RunTask] = deque()
        self.functions = execute.Functions()
        self.reloads: list[str] = []  # modules that were edited
        self.running: Running | None = None
        self.in_user_code = False
        self.cancelled = b""  # the task that runs or is about to, if somebody asked for its end
        # there may be something to read that couldn't be read at once: so it is at the start, while
        # the control signal has no handler yet
        self.poked = True
        self.leaving = ""
        self.blocked = 0
        self.instance: Any = None
        self.concurrent: Concurrent | None = None
        self.consumed: dict[bytes, int] = {}  # by stream
        self.made: dict[bytes, int] = {}  # by stream that runs, where they share a cap
        self.cap_lock = threading.Lock()  # guards `made`
        self.stream_cap = 0
        self.stopped_streams: dict[bytes, float] = {}  # nobody takes them: when they are to end
        self._mean: dict[bytes, float] = {}
        # the session counts cards from 0: these are the names of the ones it was given
        self._cards_text = os.environ.get(_CUDA)
        context.cards = dict(enumerate(c for c in (self._cards_text or "").split(",") if c))
        self._gpus_set = False
        self._last_sent = 0.0
        self.sizes_threads = False  # whether OMP_NUM_THREADS is for us to set
        self._sized = ""
        self.guard = Guard(swap_sigint=False)
        self.guard.on_strike = self._heed
        early: list[Any] = []  # what comes with the welcome, before there is a client to answer by
        self.client = _Client(
            os.path.join(settings.folder, "head.sock"), "worker", worker_id, os.getpid(),
            settings.namespace, self.guard, early.append,
        )  # fmt: skip
        self.client.worker = self
        self.outbox = Outbox(self.client.post, settings.folder, limit=settings.options.log_lines)
        failures.actor_instance = lambda: self.instance
        if settings.options.keep_locals:
            failures.keeper = remains.Keeper(settings.folder)
        execute.leave = self.leave
        execute.actor_leaves = self.exit_actor
        self.thread = threading.get_ident()  # whose waiting frees the CPU
        self.client.on_message = self._hear
        for message in early:
            self._hear(message)
        signal.signal(POKE, self._poked)
        strike_again(POKE)

    # -- messages ------------------------------------------------------------------------------

    def run(self) -> None:
        """Read and run until told to leave or the head is gone."""
        client, inbox = self.client, self.inbox
        while True:
            if inbox:
                try:
                    message = inbox.popleft()
                except IndexError:  # another thread's `exit_actor` cleared it
                    continue
                self._start(message)
                continue
            if self.leaving and (self.concurrent is None or self.concurrent.idle()):
                break
            if self.concurrent is not None and not self.leaving:
                with self.guard:  # so that another thread can wake this one
                    seen = client.turn()
                    if not inbox and not self.leaving:
                        client.flush()
                        client.pump(seen, None)
                continue
            self.outbox.check()
            client.flush()
            self._last_sent = time.perf_counter()
            seen = client.turn()
            if not inbox:
                client.pump(seen, 0.05 if self.leaving else None)
        client.flush()

    def _hear(self, message: Any) -> None:
        """A message for the worker. Called by whichever thread reads."""
        kind = type(message)
        if kind is m.RunTask:
            if message.code:
                self.functions.learn(message.spec.function, message.code)
            if self.blocked and self.instance is None:
                self._hand_back([message])
            else:
                self.inbox.append(message)
        elif kind is m.CancelTask:
            self._cancel(message.task, message.interrupt)
        elif kind is m.Reload:
            self.reloads += message.names
        elif kind is m.Recall:
            self._recall()
        elif kind is m.StreamConsumed:
            self.consumed[message.task] = message.position
        elif kind is m.StopStream:
            self.stopped_streams[message.task] = time.monotonic() + GRACE
        elif kind is m.Exit:
            self.leaving = message.reason or "told to"
        elif message is None:
            os._exit(1)  # the head is gone: nothing that runs here is of use to anybody

    def _poked(self, number: int, frame: FrameType | None) -> None:
        self.poked = True
        if self.guard.deferring:
            self.guard.note()
        else:
            self._heed()

    def _heed(self) -> None:
        """Read what has arrived, then strike the running task if it is to end."""
        with self.guard:  # not again while we are at it
            if self.client.poll_now():
                self.poked = False
        running = self.running
        if self.in_user_code and running is not None and running.spec.id == self.cancelled:
            running.cancelled = True
            raise KeyboardInterrupt

    def _cancel(self, task: bytes, interrupt: bool) -> None:
        if self.concurrent is not None and self.concurrent.cancel(task):
            return
        for message in self.inbox:
            if message.spec.id == task:
                self.inbox.remove(message)
                self.client.queue(m.TaskFinished(task, [], "cancelled"))
                self.client.flush()
                return
        if self.running is not None and self.running.spec.id == task:
            self.running.cancelled = True
            if not interrupt:
                return
            self.cancelled = task
            if not guard.is_main_thread():  # the signal may have come before these news
                os.kill(os.getpid(), POKE)
            elif self.guard.deferring:  # strike before what comes of it, such as a child's end
                self.guard.note()
        elif self.running is None and interrupt:
            self.cancelled = task  # if it is the one about to start, it learns of it then

    def _recall(self) -> None:
        """The running task takes long: send what is done, hand back what has not started."""
        if self.instance is not None:
            return
        waiting = []
        with contextlib.suppress(IndexError):
            while True:
                waiting.append(self.inbox.popleft())
        self._hand_back(waiting)

    def _hand_back(self, messages: list[m.RunTask]) -> None:
        ids = [message.spec.id for message in messages]
        self.client.queue(m.TasksReturned(ids))
        self.client.flush()

    # -- blocking ------------------------------------------------------------------------------

    def before_wait(self) -> None:
        if threading.get_ident() != self.thread:
            return
        self.blocked += 1
        if self.blocked == 1:
            waiting = list(self.inbox) if self.instance is None else []
            if waiting:
                self.inbox.clear()
            self.client.queue(m.Blocked([w.spec.id for w in waiting]))
            self.client.flush()

    def after_wait(self) -> None:
        if threading.get_ident() != self.thread:
            return
        self.blocked -= 1
        if self.blocked == 0:
            self.client.queue(m.Unblocked())
            self.client.flush()

    # -- tasks ---------------------------------------------------------------------------------

    def _start(self, message: m.RunTask) -> None:
        spec = message.spec
        running = Running(spec, message.attempt, message.gpus)
        if message.gpus is not None:
            os.environ[_CUDA] = ",".join(context.cards.get(i, str(i)) for i in message.gpus)
            self._gpus_set = True
        elif self._gpus_set and spec.kind != m.CALL:  # what a task before this one was given
            self._gpus_set = False
            if self._cards_text is None:
                del os.environ[_CUDA]
            else:
                os.environ[_CUDA] = self._cards_text
        if spec.kind == m.CALL:
            if self.concurrent is not None:
                self.concurrent.start(running, message.values)
                return
        else:
            if spec.extra is not None and spec.extra.capture:
                context.captured = spec.extra.group
            if spec.kind == m.CREATION:
                context.creation = spec
                options = spec.extra.actor if spec.extra is not None else None
                if options is not None and options.is_async:  # its constructor too runs in its loop
                    self._host(options)
                    assert self.concurrent is not None
                    self.concurrent.start(running, message.values)
                    return
        self._flush_before(spec)
        self.outbox.begin(running)
        if spec.resources != self._sized and self.sizes_threads and spec.function:
            self._size(spec)
        client = self.client
        self.running = running
        context.set_main(running)
        context.enter(running)
        started = time.time()
        outcome: m.TaskFinished | None = None
        try:
            try:
                self.in_user_code = True
                if self.poked or self.cancelled:  # since it left the inbox, perhaps for its sake
                    self._heed()
                if self.reloads:
                    self._reload()
                args, kwargs = running.call = execute.arguments(client, spec, message.values)
                if message.values:
                    running.called = time.time()
                function = running.function = self.function(spec)
                if spec.returns == m.STREAMING:
                    outcome = self._stream(running, function(*args, **kwargs))
                else:
                    value = function(*args, **kwargs)
                    if inspect.iscoroutine(value):
                        value = _run_coroutine(value)
                    elif inspect.isgenerator(value) and spec.kind != m.CREATION:
                        # its body is user code too, and runs while its values are drawn
                        outcome = execute.success(client, running, value, started)
            finally:
                self.in_user_code = False
            del args, kwargs
            running.call = None
        except BaseException as error:
            outcome = execute.failure(running, error, started)
            del error
        else:
            if spec.kind == m.CREATION:
                self.born(spec, value)
            if outcome is None:
                outcome = execute.success(client, running, value, started)
        self.running = None
        context.set_main(None)
        context.enter(None)
        if spec.kind == m.TASK and context.captured:
            context.captured = b""
        self.cancelled = b""
        # `value` lives until the outcome is queued: the refs in it must not go before
        self._finish(running, outcome)

    def _finish(self, running: Running, outcome: m.TaskFinished) -> None:
        spec = running.spec
        self.outbox.end(outcome.task, outcome.ended - outcome.started)
        self.client.queue(outcome)
        if spec.function:
            took = outcome.ended - outcome.started
            self._mean[spec.function] = took
            if took > 0.05:
                gc.collect(0)
        if running.exiting:
            self.exit_actor()

    def _size(self, spec: m.TaskSpec) -> None:
        """Let numeric libraries start as many threads as the task has CPUs."""
        self._sized = spec.resources
        cpus = resources.decode(spec.resources).get("CPU", 0) // resources.UNIT
        os.environ["OMP_NUM_THREADS"] = str(max(1, cpus))

    def _flush_before(self, spec: m.TaskSpec) -> None:
        """Don't let finished results wait for a task that may be long."""
        quick = self._mean.get(spec.function, 1.0) < _FLUSH
        now = time.perf_counter()
        if not quick or now - self._last_sent > _FLUSH:
            self.outbox.check()
            self.client.flush()
            self._last_sent = now

    def function(self, spec: m.TaskSpec) -> Any:
        """What a task calls. Raises what loading it raises."""
        if spec.kind == m.CALL:
            return actor_method(self.instance, spec.method)
        what = "The remote function"
        if spec.kind == m.CREATION:
            what = f"The actor with name {spec.name}"
        return self.functions.get(spec.function, what)

    def _stream(self, running: Running, generator: Any) -> m.TaskFinished:
        execute.check_stream(running.spec, generator)
        return self.stream(running, generator)

    def stream(self, running: Running, generator: Any) -> m.TaskFinished:
        """Run a generator to its end, as far as somebody takes what it yields. In any thread."""
        spec = running.spec
        try:
            return execute.stream(self.client, running, generator, self._room(spec))
        finally:
            with self.cap_lock:
                self.made.pop(spec.id, None)
            self.consumed.pop(spec.id, None)
            self.stopped_streams.pop(spec.id, None)

    def _room(self, spec: m.TaskSpec) -> Any:
        """Blocks while the consumer of a stream is too far behind; False once it is gone."""
        limit = spec.extra.backpressure if spec.extra is not None else 0
        client = self.client
        made, consumed = self.made, self.consumed
        cap = self.stream_cap

        def full(position: int) -> bool:
            if not limit:
                return False
            if position - consumed.get(spec.id, 0) >= limit:
                return True
            if not cap:
                return False
            with self.cap_lock:
                made[spec.id] = position
                if sum(n - consumed.get(i, 0) for i, n in made.items()) >= cap:
                    return True
                made[spec.id] = position + 1  # the one about to be made
            return False

        def wait(position: int) -> bool:
            with client.guard:
                while True:
                    end = self.stopped_streams.get(spec.id)
                    if end is not None:
                        return time.monotonic() < end
                    if not full(position):
                        return True
                    client.flush()
                    if client.guard.noted:
                        client.guard.deliver()
                    seen = client.turn()
                    if not full(position):
                        return True
                    client.pump(seen, 0.05 if cap else None)  # another stream's end tells nobody

        return wait

    def _reload(self) -> None:
        """Take edited modules anew, before a task. Raises what their code raises."""
        if self.instance is None:  # an actor keeps what it has
            reload_modules(name for name in dict.fromkeys(self.reloads) if name in sys.modules)
            self.functions.load_again()
        self.reloads.clear()

    # -- actors --------------------------------------------------------------------------------

    def born(self, spec: m.TaskSpec, instance: Any) -> None:
        """The constructor has run."""
        self.instance = instance
        assert spec.extra is not None
        assert spec.extra.actor is not None
        if self.concurrent is None:
            self._host(spec.extra.actor)
        self.thread = 0  # an actor keeps what it holds, also while it waits

    def _host(self, options: m.ActorOptions) -> None:
        self.guard.wake_fd()
        self.stream_cap = options.stream_cap
        self.concurrent = make_concurrent(options, self)

    def leave(self, code: int) -> NoReturn:
        """End this process in the middle of a task. Called by whichever thread runs that."""
        self.close()
        os._exit(code)

    def exit_actor(self) -> None:
        """The actor leaves of its own will: say so, and go once that is sent. From any thread."""
        if self.leaving:
            return
        self.client.queue(m.ActorExited())
        self.client.flush()
        self.inbox.clear()
        self.leaving = "exit_actor"
        self.guard.note()  # the main thread may be waiting for messages

    def close(self) -> None:
        """The process's last words, in order: the actor's, the program's, ours."""
        timer = threading.Timer(_LAST_WORDS, os._exit, (1,))
        timer.daemon = True
        timer.start()
        farewell = getattr(self.instance, "__ray_shutdown__", None)
        if farewell is not None:
            try:
                farewell()
            except Exception:
                traceback.print_exc()
        atexit._run_exitfuncs()
        self.outbox.send()
        self.client.flush()


def actor_method(instance: Any, name: str) -> Any:
    """An actor's method, or one of those every actor has."""
    if name == "__ray_ready__":
        return lambda: True
    if name == "__ray_call__":
        return lambda function, *args, **kwargs: function(instance, *args, **kwargs)
    if name == "__ray_terminate__":
        return _terminate
    return getattr(instance, name)


def _terminate() -> None:
    execute.exit_actor()


def _run_coroutine(coroutine: Any) -> Any:
    import asyncio

    return asyncio.run(coroutine)


def main(settings: Settings, worker_id: bytes, env: str, fresh: bool = False) -> None:
    """Entry of a worker process, forked from the zygote; `fresh`: for the second time, in the
    interpreter of its virtual environment."""
    guard.after_fork()
    for stream in logfiles.STREAMS:
        log = logfiles.open_for_writing(settings.folder, os.getpid(), stream)
        os.dup2(log, stream)
        os.close(log)
    line_buffer_c()
    faulthandler.enable(2)
    context.environment = env
    context.job_variables = settings.env
    inherited = dict(os.environ)
    environments.set_variables(settings.env)
    environments.apply_environment(env)
    if not fresh and environments.has_packages(env):
        environments.enter(settings, worker_id, env, inherited)
        return
    try:
        worker = Worker(settings, worker_id)
    except (OSError, ConnectionLost):
        return  # the head is gone already
    variables = {**settings.env, **msgspec.json.decode(env or "{}").get("env_vars", {})}
    worker.sizes_threads = settings.size_threads and "OMP_NUM_THREADS" not in variables
    context.engine = context.make_worker_engine(worker.client)
    inherit.install()
    context.thread_origin = inherit.task
    sys.stdout = TaskStream(worker.outbox, "stdout", 1)
    sys.stderr = TaskStream(worker.outbox, "stderr", 2)
    try:
        worker.run()
        worker.close()
    except ConnectionLost:
        pass
