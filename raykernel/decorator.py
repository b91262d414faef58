"""`@ray.remote`: from a function or a class to its remote form."""

from __future__ import annotations

import inspect
from typing import Any

from raykernel.actor import ActorClass
from raykernel.remote import RemoteFunction


def remote(*args: Any, **options: Any) -> Any:
    """Make a function a remote function, a class an actor class.

    `@ray.remote` or `@ray.remote(num_cpus=2, ...)`. Raises TypeError, ValueError for options that
    are not known or not allowed; AssertionError, as Ray does, for anything else than options.
    """
    if len(args) == 1 and not options and callable(args[0]):
        return _make_remote(args[0], {})
    if args or not options:
        raise AssertionError(
            "The @ray.remote decorator must be applied either with no arguments and no "
            "parentheses, for example '@ray.remote', or it must be applied using some of the "
            "arguments 'num_returns', 'num_cpus', ..., for example '@ray.remote(num_returns=2)'."
        )
    return lambda thing: _make_remote(thing, options)


def _make_remote(thing: Any, options: dict[str, Any]) -> RemoteFunction | ActorClass:
    if isinstance(thing, (RemoteFunction, ActorClass)):
        raise TypeError(
            "The @ray.remote decorator must be applied to either a function or a class, not to "
            f"{thing!r}, which is remote already."
        )
    if inspect.isclass(thing):
        return ActorClass(thing, options)
    if inspect.isroutine(thing) or callable(thing):
        if not hasattr(thing, "__name__"):
            raise TypeError(
                "The @ray.remote decorator must be applied to either a function or a class, not "
                f"to {thing!r}"
            )
        return RemoteFunction(thing, options)
    raise TypeError("The @ray.remote decorator must be applied to either a function or a class.")
