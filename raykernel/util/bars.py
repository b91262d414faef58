"""`ray.util.tqdm`: a progress bar that may be moved in any task, actor or driver of a session.

Its state goes to the driver as numbers, ten times a second at most, and is shown where the work's
cell is: in the cell's progress block, or as a line of a terminal. The interface is tqdm's own, as
far as `raykernel.experimental.tqdm_ray` has it in Ray.
"""

from __future__ import annotations

import builtins
import itertools
import os
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Generic, TypeVar

from raykernel.runtime import context
from raykernel.runtime.barhub import INTERVAL, BarHub
from raykernel.runtime.events import BarInfo

T = TypeVar("T")

_numbers = itertools.count(1)


def _send(bars: list[BarInfo]) -> None:
    engine = context.engine
    if engine is not None:
        engine.move_bars(bars)
        return
    from raykernel.barlines import default_lines

    default_lines().show(bars)


_hub = BarHub(_send)


class tqdm(Generic[T]):  # everybody knows it by this name
    """A progress bar over `iterable`, or one moved by hand with `update`.

    `position` orders the bars of one task, `flush_interval_s` is how often a state is shown at
    most. A task's bar goes with its task, an actor's with its process, if it isn't closed before.
    """

    def __init__(
        self,
        iterable: Iterable[T] | None = None,
        desc: str | None = None,
        total: float | None = None,
        unit: str | None = None,
        position: int | None = None,
        flush_interval_s: float | None = None,
        *,
        initial: float = 0,
        disable: bool = False,
    ) -> None:
        self.moved = True  # what `__del__` looks at, should the rest fail
        self._closed = True
        if total is None and iterable is not None:
            try:
                total = len(iterable)  # type: ignore[arg-type]  # it may have one
            except (TypeError, AttributeError):
                total = None
        if total is not None and (isinstance(total, bool) or not isinstance(total, int | float)):
            raise TypeError(f"a bar's total must be a number, not {total!r}")
        self.interval = INTERVAL if flush_interval_s is None else max(INTERVAL, flush_interval_s)
        self.sent = 0.0
        self._iterable = iterable
        self._desc = desc or ""
        self._postfix = ""
        self._total = total
        self._unit = unit or "it"
        self._position = position or 0
        self._initial = initial
        self._n = initial
        self._began = time.monotonic()
        self._id = f"{os.getpid()}-{next(_numbers)}"
        self._task = context.running()
        self.disable = disable
        self._closed = disable
        self.moved = False
        self._mark()

    # -- as tqdm has it ------------------------------------------------------------------------

    def update(self, n: float = 1) -> None:
        """`n` more are done. Costs next to nothing, however often."""
        self._n += n
        if not self.moved:
            self._mark()

    def set_description(self, desc: str | None = None, refresh: bool = True) -> None:
        self._desc = desc or ""
        self._mark()

    def set_postfix(self, *args: Any, **values: Any) -> None:
        """Show names and values behind the bar."""
        pairs = {**(args[0] if args else {}), **values}
        self._postfix = ", ".join(
            f"{k}={v:.3g}" if isinstance(v, float) else f"{k}={v}" for k, v in pairs.items()
        )
        self._mark()

    def refresh(self) -> None:
        self._mark()

    def close(self) -> None:
        """Show the last state and take the bar away. Once is enough."""
        if self._closed:
            return
        self._closed = True
        try:
            _hub.last(self.info())
        except Exception:  # the session is over, and the bar with it
            self._task = None

    @property
    def n(self) -> float:
        return self._n

    @n.setter
    def n(self, n: float) -> None:
        self._n = n
        self._mark()

    @property
    def total(self) -> float | None:
        return self._total

    @total.setter
    def total(self, total: float | None) -> None:
        self._total = total
        self._mark()

    @property
    def desc(self) -> str:
        return self._desc

    @staticmethod
    def write(text: str) -> None:
        """Print without disturbing the bars."""
        safe_print(text)

    def __iter__(self) -> Iterator[T]:
        if self._iterable is None:
            raise ValueError("No iterable provided: give the bar one, or move it with update()")
        try:
            for item in self._iterable:
                yield item
                self.update()
        finally:
            self.close()

    def __len__(self) -> int:
        if self._total is None:
            raise TypeError("this bar has no total")
        return int(self._total)

    def __bool__(self) -> bool:
        return True

    def __enter__(self) -> tqdm[T]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    # -- for the hub -----------------------------------------------------------------------------

    def _mark(self) -> None:
        if self.moved or self._closed:
            return
        self.moved = True
        self._task = context.running() or self._task
        _hub.note(self)

    def info(self) -> BarInfo:
        spec = self._task.spec if self._task is not None else None
        desc = f"{self._desc} {self._postfix}".strip()
        return BarInfo(
            self._id,
            spec.id.hex() if spec is not None else "",
            spec.name if spec is not None else "",
            spec.cell if spec is not None else context.current_cell(),
            str(os.getpid()),
            desc,
            self._n,
            self._total,
            self._unit,
            self._position,
            self._initial,
            time.monotonic() - self._began,
            closed=self._closed,
        )


def trange(*args: int, **options: Any) -> tqdm[int]:
    """`tqdm(range(*args), **options)`."""
    return tqdm(range(*args), **options)


def safe_print(*args: Any, **options: Any) -> None:
    """Print without disturbing the bars: here every `print` is one."""
    builtins.print(*args, **options)


__all__ = ["safe_print", "tqdm", "trange"]
