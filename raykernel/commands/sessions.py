"""`raykernel sessions` and `raykernel stop`: what runs on this machine for this user.

A session without a driver is idle, and ends by itself when it has been for its `ttl`.
"""

from __future__ import annotations

import time
from pathlib import Path

from raykernel.commands import CommandError
from raykernel.runtime import session
from raykernel.runtime.engines import launch
from raykernel.runtime.session import SessionError, SessionInfo

SECONDS_TO_END = 10


def list_all() -> int:
    found = _sessions()
    if not found:
        print("no sessions")
        return 0
    now = time.time()
    rows = [_row(info, now) for info in found]
    titles = ("name", "head", "started", "drivers", "idle", "ttl", "notebook", "state")
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        print(
            "  ".join(f"{text:{width}}" for text, width in zip(row, widths, strict=True)).rstrip()
        )
    return 0


def _row(info: SessionInfo, now: float) -> tuple[str, ...]:
    idle = now - info.idle_since if info.idle_since else None
    return (
        info.name,
        str(info.pid),
        time.strftime("%Y-%m-%d %H:%M", time.localtime(info.started)),
        str(info.drivers) if info.alive else "-",
        "-" if idle is None or not info.alive else span(idle),
        span(info.ttl) if info.ttl else "-",
        Path(info.home.notebook).name or "-",
        "alive" if info.alive else "ended without cleaning up",
    )


def span(seconds: float) -> str:
    """As in "45 s", "12 min" and "3.5 h"."""
    if seconds < 100:
        return f"{max(0.0, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def stop(name: str | None, *, everything: bool) -> int:
    """End the named session, the only one, or all; blocks until they are gone."""
    if name is not None and everything:
        raise CommandError("a name or --all, not both")
    found = _sessions()
    for wanted in [name] if name is not None else _chosen(found, everything):
        try:
            ran = launch.stop_session(wanted)
            gone = session.await_end(session.root() / wanted, SECONDS_TO_END)
        except SessionError as error:
            raise CommandError(str(error)) from None
        if not gone:
            raise CommandError(f"{wanted} was told to end, and has not after {SECONDS_TO_END} s")
        print(f"stopped {wanted}" if ran else f"{wanted} had ended; removed what it left behind")
    return 0


def _chosen(found: list[SessionInfo], everything: bool) -> list[str]:
    if not found:
        print("no sessions")
    elif len(found) > 1 and not everything:
        names = ", ".join(info.name for info in found)
        raise CommandError(f"which one? Name it, or say --all for all of them: {names}")
    return [info.name for info in found]


def _sessions() -> list[SessionInfo]:
    try:
        return session.list_sessions()
    except SessionError as error:
        raise CommandError(str(error)) from None
