"""Interrupting what runs, for Stop, where Ray's own cancellation does not: an actor's method runs
on to its end, and so does a task's wait in the system (`time.sleep`, a lock, a socket).

    driver ── strike(ids) ──▶ the session's feed actor ◀── struck(ids) ── worker, once a second
                                                                          while a call takes long

Where thousands ask, each does so less often: the answer says when. A task has got Ray's
interruption, and is woken to hear it with each answer until it has ended. An actor's call on the
main thread is interrupted as by Ctrl-C, which ends a wait in the system too; one on another thread
at its next line of Python. A stream's thread is Ray's from one item until the next is asked for:
what comes in between is raised at its `yield`. `ray.cancel` doesn't come here: it means what Ray
means.
"""

from __future__ import annotations

import ctypes
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

_LONG = 0.5  # seconds after which a call asks whether it is to end
_WAKES = signal.SIGURG  # of which nobody hears who doesn't ask

#: Asks whether some of these tasks are to end, and hands all that are, also of those that have not
#: begun, to the second argument, in any thread; with the seconds after which to ask again.
Ask = Callable[[list[bytes], Callable[[list[bytes], float], None]], None]


class Calls:
    """A worker's running task, or an actor's calls. `enter` and `leave` are called by the thread
    that it runs on, where an interruption that comes between them is dealt with."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        #: Thread (0: a stream's between two items), begin.
        self._running: dict[bytes, tuple[int, float]] = {}
        self._struck: set[bytes] = set()
        self._doomed: set[bytes] = set()  # struck before they began
        self._lock = threading.RLock()  # guards both; the handler may come in its owner's way
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._before: Any = None
        self._wakes = False
        self._pause = 1.0

    def wake(self) -> None:
        """Be ready to be woken, as tasks are. To be called by the main thread."""
        if not self._wakes:
            self._wakes = True
            signal.signal(_WAKES, _ignore)  # without a handler it would end no wait

    def listen(self) -> None:
        """Be ready for interruptions. To be called by the constructor's thread."""
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, self._interrupted)
            was = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            # Ray's workers are deaf to the Ctrl-C of the terminal they were started in, and stay so
            self._before = before if callable(before) and signal.SIGINT not in was else _ignore

    def enter(self, task: bytes) -> None:
        if self._doomed and task in self._doomed:
            self._doomed.discard(task)
            raise KeyboardInterrupt
        self._running[task] = threading.get_ident(), time.monotonic()
        if not self._wake.is_set():
            self._wake.set()
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="raykernel-strikes", daemon=True
                )
                self._thread.start()

    def leave(self, task: bytes) -> None:
        """May be called again: an interruption may have come in the way of the first time."""
        thread, _ = self._running.pop(task, (0, 0.0))
        with self._lock:  # or one may be about to be struck
            if task in self._struck:
                self._struck.discard(task)
                _raise_in(thread, None)  # it may not have come yet

    def steps(self, task: bytes, generator: Any) -> Iterator[Any]:
        """A stream's items, between `enter` and `leave`. One that was struck, and has an item all
        the same, is struck again at each `yield`."""
        self.enter(task)
        thread, began = self._running[task]
        struck = False
        try:
            while True:
                try:
                    item = _strike(generator) if struck else next(generator)
                except StopIteration:
                    return
                self._running[task] = 0, began
                with self._lock:
                    if task in self._struck:
                        _raise_in(thread, None)
                yield item
                del item
                self._running[task] = threading.get_ident(), began
                struck = task in self._struck
        finally:
            self.leave(task)

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(self._pause)
            self._wake.clear()
            if not self._running:
                continue
            self._wake.set()
            now = time.monotonic()
            long = [task for task, (_, at) in list(self._running.items()) if now - at > _LONG]
            if long:
                self._ask(long, self._answered)

    def _answered(self, tasks: list[bytes], pause: float) -> None:
        self._pause = pause
        self._strike(tasks)

    def _strike(self, tasks: list[bytes]) -> None:
        running = dict(self._running)
        self._doomed = {task for task in tasks if task not in running}
        for task in running.keys() & tasks:
            with self._lock:
                thread, _ = self._running.get(task, (None, 0.0))
                if thread is None or task in self._struck:
                    continue
                if self._wakes and thread == threading.main_thread().ident:
                    signal.pthread_kill(thread, _WAKES)
                    continue
                self._struck.add(task)
                if thread != threading.main_thread().ident:
                    _raise_in(thread, KeyboardInterrupt)
                elif self._before is not None:
                    signal.pthread_kill(thread, signal.SIGINT)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        """The signal: for the call, unless that has just ended or the signal isn't ours."""
        ours = threading.get_ident()
        if any(task in self._struck for task, (at, _) in self._running.items() if at == ours):
            raise KeyboardInterrupt
        if not self._struck:
            self._before(number, frame)


def _ignore(number: int, frame: FrameType | None) -> None:
    pass


def _strike(generator: Any) -> Any:
    """Interrupt a generator where it yielded; what it yields all the same."""
    throw = getattr(generator, "throw", None)
    if throw is None:  # another iterator
        raise KeyboardInterrupt
    return throw(KeyboardInterrupt())


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Have a thread raise this at its next line of Python; None takes it back. 0 is no thread."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), ctypes.py_object(error) if error is not None else None
    )
