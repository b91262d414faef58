"""What `Out`, `_` and `_3` hold of what a cell displayed: nothing that keeps an object alive.

A notebook's output history would pin every big result that was ever looked at. So the history gets
stand-ins for what pins something: a ref that doesn't count, a handle that doesn't keep its actor, a
proxy of a weakly held array, and copies of plain containers with such things inside. A stand-in
works like the thing as long as somebody else holds that, and says that it was freed after. All else
goes into the history as it is.

    displayhook ──▶ update_user_ns(value) ──▶ weak(value) ──▶ Out[3], _3, _
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Callable
from typing import Any

from raykernel import api
from raykernel.actor import ActorHandle
from raykernel.generators import ObjectRefGenerator
from raykernel.pins import Pins, pins_of
from raykernel.refs import ObjectRef
from raykernel.runtime.connection import Connection

_DEEP = 6
_MANY = 100_000
_PLAIN = frozenset({int, float, complex, str, bytes, bool, type(None)})


class Outputs:
    """The hooks in one shell, from `install` to the function that it returns."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell

    def install(self) -> Callable[[], None]:
        hook = self._shell.displayhook
        original = hook.update_user_ns

        def update_user_ns(result: Any) -> None:
            original(self._weak(result))

        hook.update_user_ns = update_user_ns
        self._shell.events.register("post_run_cell", self._forget)

        def remove() -> None:
            if vars(hook).get("update_user_ns") is update_user_ns:
                del hook.update_user_ns
            self._shell.events.unregister("post_run_cell", self._forget)

        return remove

    def _weak(self, value: Any) -> Any:
        names = self._shell.user_ns
        engine = api.engine()
        client = getattr(engine, "client", None)
        if client is None or value is names or value is names.get("_oh"):
            return value
        try:
            return weak(value, client)
        except Exception:  # a value that can't be looked at: the user is to see it all the same
            return value

    def _forget(self, result: Any) -> None:
        """The shell remembers its last result, besides: let that be weak too. Whoever ran the cell
        gets the result as it is."""
        if result is None or result.result is None:
            return
        kept = self._weak(result.result)
        if kept is not result.result:
            remembered = copy.copy(result)
            remembered.result = kept
            self._shell.last_execution_result = remembered


def weak(value: Any, client: Connection) -> Any:
    """The value itself if it pins nothing in this client's session, else a stand-in."""
    return _weak(value, client, _DEEP)


def _weak(value: Any, client: Connection, deep: int) -> Any:
    kind = type(value)
    if kind in _PLAIN or kind is Displayed:
        return value
    if kind is ObjectRef:
        return ObjectRef(value._id) if value._client is client else value
    if kind is ActorHandle:
        if value._ref is None or value._client is not client:
            return value
        return ActorHandle(value._id, value._meta, None, client)
    if deep and kind in (list, tuple, set, frozenset) and len(value) <= _MANY:
        return _weak_items(value, kind, client, deep - 1)
    if deep and kind is dict and len(value) <= _MANY:
        pairs = {_weak(k, client, deep - 1): _weak(v, client, deep - 1) for k, v in value.items()}
        same = all(a is b for a, b in zip(value, pairs, strict=True)) and all(
            a is b for a, b in zip(value.values(), pairs.values(), strict=True)
        )
        return value if same else pairs
    pins = pins_of(value, client)
    return Displayed(value, pins, client) if pins else value


def _weak_items(value: Any, kind: Any, client: Connection, deep: int) -> Any:
    if set(map(type, value)) <= _PLAIN:  # at C's speed
        return value
    items = [_weak(item, client, deep) for item in value]
    return value if all(a is b for a, b in zip(value, items, strict=True)) else kind(items)


class Displayed:
    """Stands for an object that was displayed and that somebody else may hold, or not any more.

    An array that was got from a ref is got again as long as the object is there.
    """

    def __init__(self, target: Any, pins: Pins, client: Connection) -> None:
        put = object.__setattr__
        try:
            put(self, "_held", weakref.ref(target))
        except TypeError:  # some types can't be held weakly
            put(self, "_held", lambda: None)
        put(self, "_what", _what(target, pins))
        put(self, "_source", _source(target, pins, client))
        put(self, "_client", client)

    def _target(self) -> Any:
        target = self._held()
        if target is None and self._source is not None and not self._client.closed:
            try:
                target = api.get(ObjectRef(self._source), timeout=0)
            except Exception:
                target = None
            else:
                object.__setattr__(self, "_held", _weakly(target))
        if target is None:
            raise ReferenceError(
                f"the object was freed: Out, _ and the like keep none alive, and nothing else held "
                f"{self._what}. Assign what you want to keep to a name."
            )
        return target

    @property  # type: ignore[misc]  # for isinstance it is the thing itself
    def __class__(self) -> Any:
        try:
            return type(self._target())
        except ReferenceError:
            return Displayed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._target(), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target(), name, value)

    def __repr__(self) -> str:
        try:
            return repr(self._target())
        except ReferenceError:
            return f"<freed: {self._what}; assign what you want to keep to a name>"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        try:
            target = self._target()
        except ReferenceError:
            printer.text(repr(self))
        else:
            printer.pretty(target)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._target().__reduce_ex__(protocol)


def _forwarded(name: str) -> Callable[..., Any]:
    def forward(self: Any, *args: Any) -> Any:
        target = self._target()
        given = [arg._target() if type(arg) is Displayed else arg for arg in args]
        return getattr(target, name)(*given)

    forward.__name__ = name
    return forward


_OPERATORS = (
    "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "lshift", "rshift", "and",
    "xor", "or",
)  # fmt: skip
_FORWARDED = (
    "str", "bytes", "format", "bool", "hash", "len", "length_hint", "getitem", "setitem", "delitem",
    "contains", "iter", "next", "reversed", "aiter", "anext", "await", "call", "enter", "exit",
    "int", "float", "complex", "index", "round", "neg", "pos", "abs", "invert", "divmod", "lt",
    "le", "eq", "ne", "gt", "ge", "dir", "array",
)  # fmt: skip
for _name in (*_FORWARDED, *(side + name for side in ("", "r", "i") for name in _OPERATORS)):
    setattr(Displayed, f"__{_name}__", _forwarded(f"__{_name}__"))


def _weakly(target: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(target)
    except TypeError:
        return lambda: None


def _what(target: Any, pins: Pins) -> str:
    kind = type(target).__name__
    size = sum(pins.blocks.values())
    if size:
        from raykernel.amounts import size as in_words

        return f"{kind} with {in_words(size)} of the object store"
    if isinstance(target, ObjectRefGenerator):
        return f"{kind} of a task's results"
    count = len(pins.refs) + len(pins.actors) + len(pins.streams)
    return f"{kind} with {count} {'ref' if count == 1 else 'refs'} inside"


def _source(target: Any, pins: Pins, client: Connection) -> bytes | None:
    """The object whose value this array is; None if it is a part of one, or something else."""
    if len(pins.blocks) != 1 or not hasattr(target, "__array_interface__"):
        return None
    (place,) = pins.blocks
    found = client.placed().get(place)
    if found is None:
        return None
    again = api.get(ObjectRef(found), timeout=0)
    same = type(again) is type(target) and again.__array_interface__ == target.__array_interface__
    return found if same else None
