"""Named actors: Ray knows their names, and keeps beside its own facts what a handle of ours needs.

A handle is more than Ray's: it has the actor's id as we tell it and its class's methods. These
stand in the cluster's key-value store, under Ray's id of the actor.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from raykernel.runtime import messages as m
from raykernel.runtime.engines.ray_notes import NAMESPACE

_PREFIX = b"raykernel:actor:"
_PATIENCE = 5.0  # seconds that a creation's second step may take


def _key(handle: Any) -> bytes:
    return _PREFIX + str(handle._actor_id.hex()).encode()


def _store(ray: Any) -> Any:
    import importlib

    return importlib.import_module(f"{ray.__name__}.experimental.internal_kv")


def enter(ray: Any, handle: Any, actor: bytes, options: m.ActorOptions) -> None:
    """Keep what handles of this actor need."""
    told = msgspec.msgpack.encode((actor, options.meta, options.class_name))
    _store(ray)._internal_kv_put(_key(handle), told, overwrite=True)


def find(ray: Any, name: str, namespace: str) -> tuple[Any, bytes, bytes] | None:
    """Ray's handle of the actor of that name, its id and its meta; None if there is none.

    The id is empty for an actor that somebody made with Ray itself.
    """
    try:
        handle = ray.get_actor(name, namespace=namespace)
    except ValueError:
        return None
    deadline = time.monotonic() + _PATIENCE
    while True:
        told = _store(ray)._internal_kv_get(_key(handle))
        if told:
            actor, meta, _ = msgspec.msgpack.decode(told, type=tuple[bytes, bytes, str])
            return handle, actor, meta
        if time.monotonic() > deadline:
            return handle, b"", b""
        time.sleep(0.02)


def forget(ray: Any, handle: Any) -> None:
    _store(ray)._internal_kv_del(_key(handle))


__all__ = ["NAMESPACE", "enter", "find", "forget"]
