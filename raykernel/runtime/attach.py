"""Which session a driver comes back to, and whether it may.

A notebook's session is found again by where it is at home: by its kernel's connection file, which
stays the same when the kernel is restarted or has crashed, else by the notebook's path, which
stays the same when the notebook is closed and opened again. A session found by its path alone
that somebody uses belongs to another kernel of the same notebook, and is left to it.

Driver and workers unpickle each other's functions, so they have to run the same Python and the
same raykernel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable

import msgspec

from .session import Home, SessionInfo


class Build(msgspec.Struct, frozen=True):
    """What driver and session must have in common; `prefix` is the Python environment's folder."""

    python: str
    raykernel: str
    prefix: str

    @classmethod
    def mine(cls, version: str) -> Build:
        return cls("{}.{}".format(*sys.version_info), version, sys.prefix)


def find(sessions: Iterable[SessionInfo], home: Home) -> SessionInfo | None:
    """The newest living session of this home."""
    alive = [s for s in sessions if s.alive]
    by_kernel = [s for s in alive if home.kernel and s.home.kernel == home.kernel]
    by_path = [
        s for s in alive if home.notebook and s.home.notebook == home.notebook and not s.drivers
    ]
    return max(by_kernel or by_path, key=lambda s: s.started, default=None)


def mismatch(info: SessionInfo, mine: Build, same_environment: bool) -> str:
    """Why a driver of this build can't use the session, as a sentence; "" if it can.

    `same_environment`: it must also run from the same Python environment, as its packages count.
    """
    theirs = Build(info.python, info.raykernel, info.prefix)
    if (theirs.python, theirs.raykernel) != (mine.python, mine.raykernel):
        return (
            f"Session {info.name} runs Python {theirs.python} and raykernel {theirs.raykernel}, "
            f"and this is Python {mine.python} and raykernel {mine.raykernel}."
        )
    if same_environment and theirs.prefix != mine.prefix:
        return (
            f"Session {info.name} runs in the Python environment {theirs.prefix}, and this is "
            f"{mine.prefix}."
        )
    return ""
