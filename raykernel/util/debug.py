"""`log_once`: whether something is to be said for the first time."""

from __future__ import annotations

import time

_said: set[str] = set()
_silent = False
_periodic = False
_since = 0.0
_PERIOD = 60.0


def log_once(key: str) -> bool:
    """True the first time this process asks for `key`, or the first time in a minute after
    `enable_periodic_logging`."""
    global _since
    if _silent:
        return False
    now = time.monotonic()
    if _periodic and now - _since > _PERIOD:
        _said.clear()
        _since = now
    if key in _said:
        return False
    _said.add(key)
    return True


def disable_log_once_globally() -> None:
    """`log_once` is False from now on, in this process."""
    global _silent
    _silent = True


def enable_periodic_logging() -> None:
    """`log_once` is True again a minute later, in this process."""
    global _periodic, _since
    _periodic, _since = True, time.monotonic()


__all__ = ["disable_log_once_globally", "enable_periodic_logging", "log_once"]
