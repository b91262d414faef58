"""Lets an interrupt reach a cell that awaits.

ipykernel turns SIGINT into a callback on the main thread's event loop. The signal's handler runs
in that thread while the loop sleeps in `poll`; a callback added by the loop's own thread does not
wake it, so that the cell goes on until something else does. While a cell runs, this does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

SECONDS = 0.2


def keep_awake(is_running: Callable[[], bool]) -> None:
    """Wake this thread's running event loop, if any, every `SECONDS` until that turns false."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return

    def beat() -> None:
        if is_running():
            loop.call_later(SECONDS, beat)

    loop.call_later(SECONDS, beat)
