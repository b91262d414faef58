"""Waiting for many sockets: epoll where there is one, poll elsewhere.

A thin face over the two, since the head comes through here twice for each task: `selectors` spends
more time on its bookkeeping than the system call takes.
"""

from __future__ import annotations

import math
import select

from .spinning import Spinner

READ = select.POLLIN | select.POLLHUP | select.POLLERR
WRITE = select.POLLOUT

_EPOLL = hasattr(select, "epoll")
assert not _EPOLL or (select.EPOLLIN, select.EPOLLOUT) == (select.POLLIN, select.POLLOUT)


class Poller:
    """Level-triggered. Used by one thread."""

    def __init__(self) -> None:
        self._poll = select.epoll() if _EPOLL else select.poll()
        self._spinner = Spinner(self._poll.poll)

    def add(self, fd: int) -> None:
        self._poll.register(fd, select.POLLIN)

    def watch_writing(self, fd: int, on: bool) -> None:
        """Report as well when there is room to write, or no longer."""
        self._poll.modify(fd, select.POLLIN | (select.POLLOUT if on else 0))

    def remove(self, fd: int) -> None:
        self._poll.unregister(fd)

    def wait(self, timeout: float | None) -> list[tuple[int, int]]:
        """(fd, READ | WRITE bits) of what is ready, within `timeout` seconds (None: for ever)."""
        if timeout is not None and not _EPOLL:
            timeout = math.ceil(timeout * 1000)
        return self._spinner.wait(timeout)

    def close(self) -> None:
        if isinstance(self._poll, select.epoll):
            self._poll.close()
