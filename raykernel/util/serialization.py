"""Serializers of the user's own for types that pickle can't handle, or handles badly.

They hold for what this process pickles: arguments and `put` values of a driver, results of a
worker. Registering one in a driver doesn't register it in the workers, but what it pickled can be
read anywhere, since the deserializer travels with it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raykernel.runtime import serialize


def register_serializer(
    cls: type, *, serializer: Callable[[Any], Any], deserializer: Callable[[Any], Any]
) -> None:
    """Pickle instances of exactly `cls` as `serializer(instance)`, and make them again by
    `deserializer`, which must be picklable itself."""
    serialize.register_custom(cls, serializer, deserializer)


def deregister_serializer(cls: type) -> None:
    """Pickle instances of `cls` as usual again. Harmless if nothing is registered."""
    serialize.deregister_custom(cls)


__all__ = ["deregister_serializer", "register_serializer"]
