"""Threads work for the task or cell that started them, and a pool's for who handed in the work.

Python gives a thread an empty context. So `install` wraps two methods: `Thread.start` notes on the
thread whom it is started for, and `ThreadPoolExecutor.submit` binds what
is handed in, for a pool's threads outlive the cell or task that happened to need the first one.
Installed in workers, and in a driver while the notebook extension is loaded. What has been started
before keeps what it was given.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from . import context

_MARK = "_raykernel_origin"
_OURS = "raykernel-"  # threads of that name serve all; such a mark would keep a task's refs alive
_NOBODY: tuple[None, str] = (None, "")


def install() -> Callable[[], None]:
    """Returns the way back, which gives up if somebody else has wrapped the methods since."""
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit

    def start_for(self: threading.Thread) -> None:
        origin = (context.running(), _cell())
        if origin != _NOBODY and not self.name.startswith(_OURS):
            setattr(self, _MARK, origin)
        start(self)

    def submit_for(self: Any, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return submit(self, context.bind(fn), *args, **kwargs)

    def remove() -> None:
        if threading.Thread.start is start_for:
            threading.Thread.start = start  # type: ignore[method-assign]
        if ThreadPoolExecutor.submit is submit_for:
            ThreadPoolExecutor.submit = submit  # type: ignore[method-assign]

    threading.Thread.start = start_for  # type: ignore[method-assign]
    ThreadPoolExecutor.submit = submit_for  # type: ignore[method-assign]
    return remove


def task() -> context.Running | None:
    """The task that the calling thread was started for."""
    return _origin()[0]


def cell() -> str:
    """The cell that the calling thread was started for."""
    return _origin()[1]


def _origin() -> tuple[context.Running | None, str]:
    found: tuple[context.Running | None, str] = getattr(threading.current_thread(), _MARK, _NOBODY)
    return found


def _cell() -> str:
    return context.cell_source() if context.cell_source is not None else ""
