"""Which actors have names."""

from __future__ import annotations

from typing import Any

from raykernel import api


def list_named_actors(all_namespaces: bool = False) -> list[Any]:
    """The names of the named actors of this namespace that are not dead.

    With `all_namespaces`, `{"namespace": ..., "name": ...}` for those of every namespace.
    """
    engine = api.auto_init()
    found = engine.query("named_actors", namespace=engine.namespace, all_namespaces=all_namespaces)
    if all_namespaces:
        return [{"namespace": one["namespace"], "name": one["name"]} for one in found]
    return [one["name"] for one in found]


__all__ = ["list_named_actors"]
