"""Threads work for the task or cell that started them, and a pool's for who handed in the work.

Python gives a thread an empty context. So `install` wraps what starts threads and what hands work
to a pool. `Thread.start` notes on the thread whom it is started for; a pool's threads outlive the
cell or task that happened to need the first one, so what is handed in is bound, and so is what a
pool calls back. Installed in workers, and in a driver while the notebook extension is loaded. What
has been started before keeps what it was given.
"""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import pool as pools
from typing import Any

from . import context

_MARK = "_raykernel_origin"
_OURS = "raykernel-"  # threads of that name serve all; such a mark would keep a task's refs alive
_NOBODY: tuple[None, str] = (None, "")
_HAND_IN = ("apply_async", "_map_async", "imap", "imap_unordered")  # what all others go through


def install() -> Callable[[], None]:
    """Returns the way back, which leaves alone what somebody else has wrapped since."""
    wrapped: list[tuple[Any, str, Any, Any]] = []

    def wrap(owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        before = vars(owner).get(name)
        ours = make(getattr(owner, name))
        setattr(owner, name, ours)
        wrapped.append((owner, name, before, ours))

    def remove() -> None:
        for owner, name, before, ours in wrapped:
            if vars(owner).get(name) is not ours:
                continue
            if before is None:  # a parent's
                delattr(owner, name)
            else:
                setattr(owner, name, before)

    wrap(threading.Thread, "start", _started_for)
    wrap(_thread, "start_new_thread", _bare)
    wrap(ThreadPoolExecutor, "submit", _handed_in)
    for name in _HAND_IN:
        wrap(pools.ThreadPool, name, _handed_in)
    wrap(pools.ApplyResult, "__init__", _called_back)
    return remove


def _started_for(start: Callable[[threading.Thread], None]) -> Callable[[threading.Thread], None]:
    def start_for(self: threading.Thread) -> None:
        origin = (context.running(), _cell())
        if origin != _NOBODY and not self.name.startswith(_OURS):
            setattr(self, _MARK, origin)
        start(self)

    return start_for


def _bare(start: Callable[..., int]) -> Callable[..., int]:
    def start_for(function: Callable[..., Any], /, *args: Any) -> int:
        return start(context.bind(function), *args)

    return start_for


def _handed_in(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_for(self: Any, *args: Any, **kwargs: Any) -> Any:
        if args:
            args = (context.bind(args[0]), *args[1:])
        elif "func" in kwargs:
            kwargs["func"] = context.bind(kwargs["func"])
        return submit(self, *args, **kwargs)

    return submit_for


def _called_back(init: Callable[..., None]) -> Callable[..., None]:
    def init_for(self: Any, pool: Any, callback: Any, error_callback: Any) -> None:
        bound = (None if c is None else context.bind(c) for c in (callback, error_callback))
        init(self, pool, *bound)

    return init_for


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
