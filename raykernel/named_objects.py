"""Objects that the session keeps under a name: what `put(value, name=...)` makes.

Names are told apart by namespace, as actors' names are, and outlive the driver that gave them.
Given again, a name stands for the new object.
"""

from __future__ import annotations

from typing import Any

from raykernel.refs import ObjectRef
from raykernel.runtime import context
from raykernel.runtime import messages as m
from raykernel.runtime.connection import Connection


def give(name: str, ref: ObjectRef[Any]) -> ObjectRef[Any]:
    """Name an object of this process's session, in its namespace; the ref itself."""
    engine = context.engine
    engine.client.query("name_object", None, namespace=engine.namespace, name=name, object=ref._id)
    return ref


def find(engine: Any, name: str, namespace: str | None) -> ObjectRef[Any]:
    """The ref of a named object. Raises ValueError if there is none."""
    client: Connection = engine.client
    where = namespace or engine.namespace
    found: bytes = client.query("find_object", bytes, namespace=where, name=name)
    if not found:
        have = [one["name"] for one in client.query("named_objects") if one["namespace"] == where]
        known = f"It has: {', '.join(sorted(have))}." if have else "It has none."
        raise ValueError(
            f"The session keeps no object named {name!r} (namespace={where}). {known} "
            "`ray.put(value, name=...)` stores one."
        )
    client.add_ref(found)
    ref: ObjectRef[Any] = ObjectRef(found, client)
    client.queue(m.Release([found]))  # the head held it for us until here
    return ref
