"""From a Python call to a task's arguments on the wire.

`Signature` checks a call the way Python would, before anything is sent; `pack` turns arguments
into bytes and references.
"""

from __future__ import annotations

import inspect
import io
import linecache
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from raykernel import capture
from raykernel.captured import walk
from raykernel.exceptions import ObjectStoreFullError, OutOfDiskError
from raykernel.refs import ObjectRef, counted
from raykernel.runtime.connection import Connection, RequestFailed
from raykernel.runtime.messages import INLINE_LIMIT
from raykernel.runtime.serialize import serialize

_SOURCE_LIMIT = 1 << 20


class Signature:
    """Checks calls against a function's parameters.

    Calls with positional arguments only, by far the most, cost two comparisons.
    """

    def __init__(self, function: Callable[..., Any], skip_self: bool = False) -> None:
        self._name = getattr(function, "__name__", repr(function))
        self._signature: inspect.Signature | None = None
        self._least, self._most = 0, -1
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):
            return  # a builtin that doesn't tell: Python checks in the worker
        parameters = list(signature.parameters.values())
        if skip_self and parameters:
            parameters = parameters[1:]
        signature = signature.replace(
            parameters=[_bare(p) for p in parameters], return_annotation=signature.empty
        )
        self._signature = signature
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        plain = [p for p in parameters if p.kind in positional]
        self._least = sum(p.default is p.empty for p in plain)
        self._most = len(plain)
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            self._most = 1 << 30
        if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
            self._most = -1  # never enough without keywords: bind and say so

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raises TypeError, naming the parameter, if the function can't be called like this."""
        if not kwargs and self._least <= len(args) <= self._most:
            return
        if self._signature is not None:
            try:
                self._signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{self._name}(): {error}") from None


def _bare(parameter: inspect.Parameter) -> inspect.Parameter:
    """The parameter without objects of the user's, so that it can travel in a handle."""
    empty = inspect.Parameter.empty
    default = empty if parameter.default is empty else None
    return parameter.replace(annotation=empty, default=default)


class Packed(NamedTuple):
    """A call's arguments as a TaskSpec carries them (see messages.TaskSpec)."""

    args: bytes
    deps: tuple[bytes, ...]
    contained: tuple[bytes, ...]
    slots: tuple[int | str, ...]
    args_ref: bytes


_NOTHING = Packed(b"", (), (), (), b"")


def pack(client: Connection, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Packed:
    """Serialize arguments; refs at top level become dependencies.

    Large arguments are put into the object store first: the caller then drops the reference to
    `args_ref` once the task is submitted. Raises TypeError if something can't be pickled.
    """
    if not args and not kwargs:
        return _NOTHING
    deps: list[bytes] = []
    slots: list[int | str] = []
    plain: list[Any] = list(args)
    for i, arg in enumerate(args):
        if type(arg) is ObjectRef:
            deps.append(_own(client, arg))
            slots.append(i)
            plain[i] = None
    named = kwargs
    if kwargs:
        named = dict(kwargs)
        for key, arg in kwargs.items():
            if type(arg) is ObjectRef:
                deps.append(_own(client, arg))
                slots.append(key)
                named[key] = None
    try:
        data = serialize((plain, named))
    except Exception as error:
        culprit = _unserializable(args, kwargs)
        what = f"Could not serialize the argument {culprit!r} for a task or actor {name}"
        raise TypeError(explain(what, culprit)) from error
    args_ref = b""
    if data.size > INLINE_LIMIT:
        try:
            args_ref = client.put(data)
        except RequestFailed as error:
            full = OutOfDiskError if error.kind else ObjectStoreFullError
            raise full(f"the arguments of {name}: {error}") from None
        return Packed(b"", (*deps, args_ref), (), tuple(slots), args_ref)
    return Packed(data.to_bytes(), tuple(deps), data.contained, tuple(slots), args_ref)


def _own(client: Connection, ref: ObjectRef[Any]) -> bytes:
    if ref._client is not client:
        counted(client, ref)  # or it raises
    return ref._id


def _unserializable(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first argument that can't be pickled."""
    for value in (*args, *kwargs.values()):
        try:
            serialize(value)
        except Exception:
            return value
    return (args, kwargs)


def explain(what: str, value: Any) -> str:
    """What could not be done, and which parts of `value` are the reason."""
    from raykernel.util.check_serialize import inspect_serializability

    report = io.StringIO()
    inspect_serializability(value, print_file=report)
    return f"{what}:\n{report.getvalue()}"


def full_name(thing: Any) -> str:
    """A function's or class's module and qualified name."""
    return f"{thing.__module__}.{getattr(thing, '__qualname__', thing.__name__)}"


def pack_code(client: Connection, thing: Any) -> tuple[bytes, tuple[bytes, ...]]:
    """Pickle a function or class with the source of code that lies in no file.

    Returns the bytes and the ids of the refs it closes over. Raises TypeError; ValueError if it
    drags too much along.
    """
    is_class = inspect.isclass(thing)
    payload = (thing, _sources(thing))
    try:
        data = serialize(payload)
    except Exception as error:
        what = f"actor class {full_name(thing)}.__init__" if is_class else ""
        what = f"Could not serialize the {what or f'function {full_name(thing)}'}"
        raise TypeError(explain(what, thing)) from error
    if data.size > capture.warning:
        what = f"The actor {thing.__name__}" if is_class else ""
        what = what or f"The remote function {full_name(thing)}"
        data = capture.lighten(client, thing, payload, data, what)
    return data.to_bytes(), data.contained


def _sources(thing: Any) -> dict[str, str]:
    """Source text by file name, for code that only exists in this process (a notebook's cells)."""
    things = [thing, *(captured.value for captured in walk(thing))]
    functions = [f for f in things if inspect.isfunction(f)]
    names = {f.__code__.co_filename for f in functions if hasattr(f, "__code__")}
    found = {}
    for name in names:
        if not os.path.exists(name):
            text = "".join(linecache.getlines(name))
            if text and len(text) < _SOURCE_LIMIT:
                found[name] = text
    return found
