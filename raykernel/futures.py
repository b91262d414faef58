"""The `concurrent.futures.Future` of a ref, in a module of its own: few programs need it, and its
base class costs import time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from raykernel.refs import _for_caller

T = TypeVar("T")


class RefFuture(Future[T]):
    """Its callbacks run in the completing thread, each for the cell or task that added it."""

    on_cancel: Callable[[], object] | None = None

    def cancel(self) -> bool:
        """Stop waiting. The task goes on: `ray.cancel` ends that."""
        cancelled = super().cancel()
        take_back, self.on_cancel = self.on_cancel, None
        if cancelled and take_back is not None:
            take_back()
        return cancelled

    def add_done_callback(self, fn: Callable[[Future[T]], Any]) -> None:
        super().add_done_callback(_for_caller(fn))
