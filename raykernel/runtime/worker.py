"""A worker: a process that runs tasks one by one in its main thread, or lives as an actor.

    main thread   reads the socket while idle; runs tasks; a blocked `get` reads the socket too
    flusher       started on the first output or queued message, sends what waits
    actor with concurrency: threads or an event loop run the calls, the main thread only reads

What reaches it meanwhile is in listening.py, how its streams are held back in pacing.py, what
becomes of a call's outcome in execute.py.
"""

from __future__ import annotations

import atexit
import faulthandler
import gc
import inspect
import os
import sys
import threading
import time
import traceback
from functools import partial
from typing import Any, NoReturn

import msgspec

from . import (
    context,
    environments,
    execute,
    failures,
    guard,
    inherit,
    logfiles,
    remains,
    remains_files,
)
from . import messages as m
from .concurrency import make_concurrent
from .connection import ConnectionLost
from .context import Running
from .journal import Journal
from .listening import Listener
from .reloading import reload_modules
from .settings import Settings
from .share import Share
from .taskio import Outbox
from .taskstream import TaskStream, line_buffer_c

_FLUSH = 0.001  # results wait for company at most this long
_LAST_WORDS = 30.0  # seconds for `__ray_shutdown__` and exit handlers


class Worker(Listener):
    """Runs what the listener heard of. For the main thread, except where said."""

    def __init__(self, settings: Settings, worker_id: bytes) -> None:
        super().__init__(settings, worker_id)
        self.share = Share()
        self._mean: dict[bytes | str, float] = {}  # seconds, by function or method
        self._last_sent = 0.0
        self._journal: Journal | None = None
        self._unsafe = False  # there can be no journal
        self._folder = settings.folder
        self.outbox = Outbox(self.client.post, settings.folder, limit=settings.options.log_lines)
        failures.actor_instance = lambda: self.instance
        if settings.options.keep_locals:
            failures.keeper = remains.Keeper(remains_files.Files(settings.folder))
        execute.leave = self.leave
        execute.actor_leaves = self.exit_actor
        self._listen()

    def run(self) -> None:
        """Read and run until told to leave or the head is gone."""
        client, inbox = self.client, self.inbox
        while True:
            if self.forgotten:
                self._forget()
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
                client.pump(seen, 0.05 if self.leaving else None, spin=True)
        client.flush()

    # -- tasks ---------------------------------------------------------------------------------

    def _start(self, message: m.RunTask) -> None:
        spec = message.spec
        running = Running(spec, message.attempt, message.gpus)
        share = self.share
        if message.gpus is not None:
            share.give_cards(message.gpus)
        elif share.cards_set and spec.kind != m.CALL:
            share.take_cards()
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
        if spec.resources != share.sized and share.sizes_threads and spec.function:
            share.size(spec.resources)
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
        took = outcome.ended - outcome.started
        self.outbox.end(outcome.task, took)
        self.client.queue(outcome)
        running.keep = running.function = None  # the last task is remembered until there is another
        self._mean[spec.function or spec.method] = took
        if took > 0.05 and spec.function:
            gc.collect(0)
        if running.exiting:
            self.exit_actor()

    def _flush_before(self, spec: m.TaskSpec) -> None:
        """Don't let finished results wait for a task that may be long."""
        quick = self._mean.get(spec.function or spec.method, 1.0) < _FLUSH
        now = time.perf_counter()
        if not quick or now - self._last_sent > _FLUSH or self._unsafe:
            self.outbox.check()
            self.client.flush()
            self._last_sent = now
        elif spec.kind == m.CALL:  # what calls came to is not lost, should this one end the process
            if self._journal is None:
                self._journal = self._start_journal()
            if self._journal is not None:
                self.client.stage(self._journal)

    def _start_journal(self) -> Journal | None:
        try:
            return Journal(self._folder, self.client.id)
        except OSError:  # the disk is full: each answer is sent by itself
            self._unsafe = True
            self.client.flush()
            return None

    def function(self, spec: m.TaskSpec) -> Any:
        """What a task calls. Raises what loading it raises."""
        if spec.kind == m.CALL:
            return actor_method(self.instance, spec.method)
        what = "The remote function"
        if spec.kind == m.CREATION:
            what = f"The actor with name {spec.name}"
            cls = self.functions.get(spec.function, what)
            return partial(construct, cls) if inspect.iscoroutinefunction(cls.__init__) else cls
        return self.functions.get(spec.function, what)

    def _stream(self, running: Running, generator: Any) -> m.TaskFinished:
        execute.check_stream(running.spec, generator)
        return self.pacing.run(running, generator)

    def _forget(self) -> None:
        """Let go of functions that nobody can call."""
        while self.forgotten:
            self.functions.forget(self.forgotten.pop())
        gc.collect()  # functions often lie in a circle with what they call by name

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
        self.pacing.cap = options.stream_cap
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
            del farewell
        atexit._run_exitfuncs()
        deleted = hasattr(self.instance, "__del__")
        self.instance = None
        if deleted:
            gc.collect()  # it may lie in a circle
        self.outbox.send()
        self.client.flush()


async def construct(cls: Any, *args: Any, **kwargs: Any) -> Any:
    """An instance of a class whose `__init__` is a coroutine function."""
    instance = cls.__new__(cls, *args, **kwargs)
    await instance.__init__(*args, **kwargs)
    return instance


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
    worker.share.sizes_threads = settings.size_threads and "OMP_NUM_THREADS" not in variables
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
