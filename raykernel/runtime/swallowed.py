"""An interruption that Python swallowed strikes again.

A `KeyboardInterrupt` is raised wherever the main thread happens to be. In a finalizer, a weak
reference's callback or the garbage collector there is nobody to raise it to: Python prints
"Exception ignored in …" and the program goes on as if nobody had pressed Stop. Refs have finalizers
that run all the time, so this does happen: once in some thousand interruptions of a loop. What
Python does with such exceptions goes through `sys.unraisablehook`; the hook put there sends the
signal again, a moment later, when the finalizer is left.
"""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable

_SOON = 0.001  # seconds; a hook that raised the signal itself would be struck by it


def strike_again(number: int, before: Callable[[], None] | None = None) -> Callable[[], None]:
    """From now on send signal `number`, whose handler raises KeyboardInterrupt, to the main thread
    again whenever that exception came to nothing there, after a call of `before`. Returns how to
    undo it."""
    previous = sys.unraisablehook
    stopped = False

    def hook(unraisable: sys.UnraisableHookArgs, /) -> None:
        if (
            not stopped
            and issubclass(unraisable.exc_type, KeyboardInterrupt)
            and threading.current_thread() is threading.main_thread()
        ):
            if before is not None:
                before()
            _thread.start_new_thread(_send, (number, threading.get_ident()))
        else:
            previous(unraisable)

    def undo() -> None:
        nonlocal stopped
        stopped = True
        if sys.unraisablehook is hook:  # else somebody's hook calls it, until the process ends
            sys.unraisablehook = previous

    sys.unraisablehook = hook
    return undo


def _send(number: int, thread: int) -> None:
    time.sleep(_SOON)
    signal.pthread_kill(thread, number)
