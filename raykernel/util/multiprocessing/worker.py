"""The worker's side of a pool: an actor that runs chunks of calls, and what they come to.

A failed call doesn't end its chunk: each call comes back as its value or as a `PoolTaskError`.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from typing import Any

import raykernel as ray
from raykernel.refs import ObjectRef
from raykernel.runtime.serialize import serialize

#: A call's positional and keyword arguments.
Call = tuple[tuple[Any, ...], dict[str, Any]]


class RemoteTraceback(Exception):
    """The text of a traceback in a worker, as the cause of the exception it belongs to."""

    def __str__(self) -> str:
        return f'\n"""\n{self.args[0]}"""'


class PoolTaskError(Exception):
    """What a failed call comes back as: `underlying` is the exception it raised."""

    def __init__(self, underlying: Exception, text: str = "") -> None:
        super().__init__(underlying, text)
        self.underlying = underlying
        underlying.__cause__ = RemoteTraceback(text)

    def __str__(self) -> str:
        return repr(self.underlying)


class PoolActor:
    """One worker process of a pool."""

    def __init__(
        self, initializer: Callable[..., Any] | None = None, initargs: Iterable[Any] = ()
    ) -> None:
        if initializer is not None:
            initializer(*initargs)

    def ping(self) -> None:
        """Answers once the initializer is done."""

    def run(self, func: Callable[..., Any], calls: list[Call]) -> list[Any]:
        """`func` for each call. Refs among the arguments count as their values."""
        return [_run(func, args, kwargs) for args, kwargs in calls]


def _run(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    try:
        return func(*map(_value, args), **{name: _value(arg) for name, arg in kwargs.items()})
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> PoolTaskError:
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    try:
        serialize(error)
    except Exception as reason:
        error = RuntimeError(
            f"a call in the pool raised {error!r}, which can't be pickled: {reason}"
        )
    return PoolTaskError(error, text)


def _value(arg: Any) -> Any:
    return ray.get(arg) if isinstance(arg, ObjectRef) else arg


__all__ = ["Call", "PoolActor", "PoolTaskError", "RemoteTraceback"]
