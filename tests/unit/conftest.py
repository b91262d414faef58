"""Unit tests start no process and open no socket: what tries to fails there and then."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# a busy machine stalls a single example for longer than any fixed time; pytest bounds the test
settings.register_profile("raykernel", deadline=None)
settings.load_profile("raykernel")

FORBIDDEN = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.system",
        "pty.spawn",
        "socket.__new__",
        "subprocess.Popen",
    }
)

#: Who may all the same: an event loop wakes itself by a pair of sockets, and Matplotlib asks
#: `fc-list` for its fonts when it is imported for the first time on a machine.
EXEMPT = frozenset({"asyncio.selector_events", "matplotlib.font_manager"})

_armed = False


def _forbid(event: str, _args: tuple[object, ...]) -> None:
    # An audit hook stays for good, so it must be quick, and harmless while not armed.
    if not _armed or event not in FORBIDDEN:
        return
    frame = inspect.currentframe()
    while frame is not None:
        if frame.f_globals.get("__name__") in EXEMPT:
            return
        frame = frame.f_back
    raise AssertionError(
        f"a unit test must start no process and open no socket ({event}): "
        "use a fake, or move the test to tests/integration"
    )


sys.addaudithook(_forbid)


@pytest.fixture(autouse=True)
def _stays_in_this_process() -> Iterator[None]:
    global _armed
    _armed = True
    yield
    _armed = False
