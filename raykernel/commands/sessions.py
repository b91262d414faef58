"""`raykernel sessions` and `raykernel stop`: what runs on this machine for this user."""

from __future__ import annotations

import time

from raykernel.commands import CommandError
from raykernel.runtime import session
from raykernel.runtime.engines import local
from raykernel.runtime.session import SessionError, SessionInfo

SECONDS_TO_END = 10


def list_all() -> int:
    found = _sessions()
    if not found:
        print("no sessions")
        return 0
    width = max(len("name"), *(len(info.name) for info in found))
    print(f"{'name':{width}}  {'head':>8}  {'started':16}  state")
    for info in found:
        started = time.strftime("%Y-%m-%d %H:%M", time.localtime(info.started))
        state = "alive" if info.alive else "ended without cleaning up"
        print(f"{info.name:{width}}  {info.pid:>8}  {started}  {state}")
    return 0


def stop(name: str | None, *, everything: bool) -> int:
    """End the named session, the only one, or all; blocks until they are gone."""
    if name is not None and everything:
        raise CommandError("a name or --all, not both")
    found = _sessions()
    for wanted in [name] if name is not None else _chosen(found, everything):
        try:
            ran = local.stop_session(wanted)
        except SessionError as error:
            raise CommandError(str(error)) from None
        _await_end(wanted)
        print(f"stopped {wanted}" if ran else f"{wanted} had ended; removed what it left behind")
    return 0


def _await_end(name: str) -> None:
    """Until the session's folder is gone: its processes take a moment to end and clean up."""
    deadline = time.monotonic() + SECONDS_TO_END
    while time.monotonic() < deadline:
        try:
            session.read(name)
        except SessionError:
            return
        time.sleep(0.02)
    raise CommandError(f"{name} was told to end, but still has not after {SECONDS_TO_END} s")


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
