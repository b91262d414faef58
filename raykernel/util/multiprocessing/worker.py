"""The worker's side of a pool: an actor that runs chunks of calls, and what they come to.

A failed call doesn't end its chunk: each call comes back as its value or as a `Failure`.
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


class Failure:
    """An exception instead of a value."""

    def __init__(self, error: Exception) -> None:
        self._text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
        self._error = error
        try:
            serialize(error)
        except Exception as reason:
            self._error = RuntimeError(
                f"a call in the pool raised {error!r}, which can't be pickled: {reason}"
            )

    @property
    def error(self) -> Exception:
        """What to raise in the caller."""
        self._error.__cause__ = RemoteTraceback(self._text)
        return self._error


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
        return Failure(error)


def _value(arg: Any) -> Any:
    return ray.get(arg) if isinstance(arg, ObjectRef) else arg


__all__ = ["Call", "Failure", "PoolActor", "RemoteTraceback"]
