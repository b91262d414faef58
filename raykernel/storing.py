"""`ray.put`: values from this process into the session, under a name if it is to stay."""

from __future__ import annotations

from typing import Any

from raykernel import exceptions, named_objects
from raykernel import options as opts
from raykernel.calling import explain
from raykernel.generators import ObjectRefGenerator
from raykernel.lifetime import connected
from raykernel.refs import ObjectRef, counted
from raykernel.runtime.connection import Connection, ConnectionLost, RequestFailed
from raykernel.runtime.serialize import Serialized, serialize


def put(value: Any, *, name: str | None = None) -> ObjectRef[Any]:
    """Store a value; its ref. Raises TypeError for a ref or a value that can't be pickled,
    ObjectStoreFullError.

    With a `name` the session keeps the object, for `get_object`, until the name is given to another
    or the session ends: also when the notebook's kernel is restarted. A task's ref can be named as
    well: the object is that task's result, whether or not it is there yet.
    """
    client: Connection = connected().client
    if name is not None:
        _check_object_name(name)
        if isinstance(value, ObjectRef):
            value = counted(client, value)
            return named_objects.give(name, value)
    if isinstance(value, ObjectRef):
        raise TypeError(
            "Calling 'put' on an ray.ObjectRef is not allowed. If you really want to do this, you "
            "can wrap the ray.ObjectRef in a list and call 'put' on it."
        )
    if isinstance(value, ObjectRefGenerator):
        raise TypeError("Calling 'put' on an ObjectRefGenerator is not allowed.")
    try:
        data = serialize(value)
    except Exception as error:
        raise TypeError(explain(f"Could not serialize the put value {value!r}", value)) from error
    ref: ObjectRef[Any] = ObjectRef(client.ids.put(), client)
    _store(client, ref._id, data)
    return ref if name is None else named_objects.give(name, ref)


def _check_object_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"an object's name is a string, not {name!r}")
    if not name.strip():
        raise ValueError("an object's name must not be empty")


def get_object(name: str, namespace: str | None = None) -> ObjectRef[Any]:
    """The ref of the object that `put(value, name=name)` stored, in whichever driver.

    Raises ValueError if there is none of that name in the namespace (default: the session's).
    """
    _check_object_name(name)
    if namespace is not None:
        opts._namespace("namespace", namespace)
    return named_objects.find(connected(), name, namespace)


def _store(client: Connection, object_id: bytes, data: Serialized) -> None:
    try:
        client.put(data, object_id)
    except RequestFailed as error:
        full = exceptions.OutOfDiskError if error.kind else exceptions.ObjectStoreFullError
        raise full(str(error)) from None
    except ConnectionLost as error:
        raise exceptions.RaySystemError(str(error)) from None
