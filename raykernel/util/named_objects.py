"""Which objects have names, and how to take one away. `ray.put(value, name=...)` gives it."""

from __future__ import annotations

from typing import Any

from raykernel import api


def list_named_objects(all_namespaces: bool = False) -> list[Any]:
    """The names of the objects that the session keeps, of this namespace.

    With `all_namespaces`, `{"namespace": ..., "name": ...}` for those of every namespace.
    """
    engine = api.auto_init()
    found = engine.query("named_objects")
    if all_namespaces:
        return [{"namespace": one["namespace"], "name": one["name"]} for one in found]
    return [one["name"] for one in found if one["namespace"] == engine.namespace]


def forget_object(name: str, namespace: str | None = None) -> None:
    """Take a name away. The object goes too, unless there are refs to it.

    Raises ValueError if there is none of that name in the namespace (default: the session's).
    """
    engine = api.auto_init()
    where = namespace or engine.namespace
    if not engine.query("forget_object", namespace=where, name=name):
        raise ValueError(f"The session keeps no object named {name!r} (namespace={where}).")


__all__ = ["forget_object", "list_named_objects"]
