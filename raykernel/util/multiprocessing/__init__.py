"""`multiprocessing.Pool` on actors: a drop-in for the standard library's."""

from __future__ import annotations

from multiprocessing import JoinableQueue, TimeoutError

from .pool import Pool

__all__ = ["JoinableQueue", "Pool", "TimeoutError"]
