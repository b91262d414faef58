"""What reaches a worker while it works: tasks, cancellations, recalls, and the signal for them.

While user code runs nobody reads the socket. What can't wait (a cancellation, a recall of queued
tasks) is therefore announced by a signal, SIGURG: its handler reads what has arrived. If the main
thread is in the middle of the engine's own work then, the guard defers the handler until it is out.

A cancellation strikes the running task as KeyboardInterrupt, in its own code only. One that comes
while its task is between the inbox and that code is noted, and strikes as soon as it is there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections import deque
from types import FrameType
from typing import Any

from . import execute, guard
from . import messages as m
from .client import Client
from .concurrency import Concurrent
from .context import Running
from .dispatch import POKE
from .guard import Guard
from .pacing import Pacing
from .settings import Settings
from .swallowed import strike_again


class _Client(Client):
    """A client whose blocking waits tell the head that the CPU is free."""

    worker: Listener

    def before_wait(self) -> None:
        self.worker.before_wait()

    def after_wait(self) -> None:
        self.worker.after_wait()


class Listener:
    """A worker's connection, and what it was told. Touched by the main thread only, except where
    said; what runs the tasks is above (worker.py)."""

    def __init__(self, settings: Settings, worker_id: bytes) -> None:
        self.inbox: deque[m.RunTask] = deque()
        self.functions = execute.Functions()
        self.reloads: list[str] = []  # modules that were edited
        self.forgotten: set[bytes] = set()  # functions to let go of between two tasks
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
        self.thread = threading.get_ident()  # whose waiting frees the CPU
        self.guard = Guard(swap_sigint=False)
        self.guard.on_strike = self._heed
        early: list[Any] = []  # what comes with the welcome, before there is a client to answer by
        self.client = _Client(
            os.path.join(settings.folder, "head.sock"), "worker", worker_id, os.getpid(),
            settings.namespace, self.guard, early.append,
        )  # fmt: skip
        self.client.worker = self
        self.pacing = Pacing(self.client)
        self._early = early

    def _listen(self) -> None:
        """From here on what comes is heard, the first of it at once."""
        self.client.on_message = self._hear
        for message in self._early:
            self._hear(message)
        signal.signal(POKE, self._poked)
        strike_again(POKE, self._struck_in_vain)

    # -- messages ------------------------------------------------------------------------------

    def _hear(self, message: Any) -> None:
        """A message for the worker. Called by whichever thread reads."""
        kind = type(message)
        if kind is m.RunTask:
            if message.code:
                self.forgotten.discard(message.spec.function)
                self.functions.learn(message.spec.function, message.code)
            if self.blocked and self.instance is None:
                self._hand_back([message])
            else:
                self.inbox.append(message)
        elif kind is m.CancelTask:
            self._cancel(message.task, message.interrupt)
        elif kind is m.DropFunction:
            self.forgotten.add(message.key)
        elif kind is m.Reload:
            self.reloads += message.names
        elif kind is m.Recall:
            self._recall()
        elif kind is m.StreamConsumed:
            self.pacing.took(message.task, message.position)
        elif kind is m.StopStream:
            self.pacing.stop(message.task)
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
            self.cancelled = b""  # once: what the task does about it in a `finally` is left alone
            raise KeyboardInterrupt

    def _struck_in_vain(self) -> None:
        """The interruption came in a finalizer, which kept it to itself."""
        if self.running is not None and self.running.cancelled:
            self.cancelled = self.running.spec.id

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
