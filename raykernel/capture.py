"""Large things that a function drags along: named to the user, and stored apart, once.

What a submitted function captures travels with its code to every worker. From a certain size on
the user should know, and the large parts are put into the object store: the code then holds refs,
which a worker resolves into views of shared memory when it loads the function.

    pickle of the function ─ small, the rule ─▶ sent as it is
                           ─ over `warning`  ─▶ warn once; large parts `put`, refs in their place
                           ─ over `most`     ─▶ ValueError that names them; nothing is sent

The same unchanged object is put once, whatever captures it: see `put_once`.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from raykernel.captured import MISSING, walk
from raykernel.exceptions import ObjectStoreFullError
from raykernel.refs import ObjectRef
from raykernel.runtime import context
from raykernel.runtime.connection import Connection, RequestFailed
from raykernel.runtime.messages import INLINE_LIMIT
from raykernel.runtime.serialize import Serialized, deserialize, note_ref, serialize

#: Bytes a function may drag along, without a word and at all. A notebook's options set them.
warning = WARNING = 1 << 20
most = MOST = 95 << 20

_warned: set[tuple[str, ...]] = set()


class Large(NamedTuple):
    """Something large, by the name the user knows it by."""

    name: str
    value: Any
    data: Serialized

    def __str__(self) -> str:
        kind = type(self.value)
        module = "" if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}."
        return f"{self.name} ({_size(self.data.size)}, {module}{kind.__qualname__})"


def lighten(
    client: Connection, thing: Any, payload: Any, data: Serialized, what: str
) -> Serialized:
    """The same `payload`, whose pickle is `data`, with the large things that `thing` captures
    stored apart. Raises ValueError if it is too large for that."""
    found = largest((c.name, c.value) for c in walk(thing) if c.value is not MISSING)
    check(found, data.size, what)
    found = [large for large in found if large.data.size > INLINE_LIMIT]
    if not found:
        return data
    apart = {id(large.value): place for place, large in enumerate(found)}
    refs = [put_once(client, large.value, large.data) for large in found]
    inner = serialize(payload, apart=apart)
    return serialize(_Apart(inner.to_bytes(), inner.contained, refs))


def check(found: list[Large], size: int, what: str, mend: str = "") -> None:
    """Warn, once, of what is captured. Raises ValueError if that is too much."""
    culprits = ", ".join(map(str, found[:8])) + (", ..." if len(found) > 8 else "")
    if size > most:
        along = f"it drags along {culprits}" if found else "it drags large variables along"
        mend = mend or "Put them with `ray.put` and pass the refs as arguments."
        raise ValueError(
            f"{what} is too large ({_size(size)}, and {_size(most)} is the limit): {along}. {mend}"
        )
    key = (what, *(large.name for large in found))
    if not found or key in _warned:
        return
    _warned.add(key)
    warnings.warn(
        f"{what} captures {culprits}: kept in the object store once, as it is now. Pass large "
        "values as arguments, or `ray.put` them, to say so yourself.",
        stacklevel=_outside(),
    )


def largest(things: Iterable[tuple[str, Any]], least: int = 16 << 10) -> list[Large]:
    """Those of the things whose pickle is larger than `least`, the largest first, each once."""
    found: dict[int, Large] = {}
    for name, value in things:
        if id(value) in found or _is_code(value):
            continue
        try:
            data = serialize(value)
        except Exception:  # what can't be pickled is named by who pickles the whole
            continue
        if data.size > least:
            found[id(value)] = Large(name, value, data)
    return sorted(found.values(), key=lambda large: -large.data.size)


def _is_code(value: Any) -> bool:
    """What is walked into, or small, rather than stored apart."""
    return isinstance(value, type | FunctionType | ModuleType) or type(value).__module__.startswith(
        "raykernel."
    )


class _Apart:
    """A pickle with holes, and the refs of what belongs there. Unpickles to the whole."""

    def __init__(self, inner: bytes, contained: tuple[bytes, ...], refs: list[Any]) -> None:
        self._inner = inner
        self._contained = contained
        self._refs = refs

    def __reduce__(self) -> Any:
        for object_id in self._contained:
            note_ref(object_id)
        return _whole, (self._inner, self._refs)


def _whole(inner: bytes, refs: list[Any]) -> Any:
    client: Connection = context.engine.client
    values = client.get([ref._id for ref in refs], None)
    return deserialize(inner, apart=[client.load(value) for value in values])


# -- each object once -----------------------------------------------------------------------------


class _Kept(NamedTuple):
    value: weakref.ref[Any]
    digest: bytes
    ref: ObjectRef[Any]
    client: Connection

    def stands_for(self, value: Any, client: Connection, digest: bytes) -> bool:
        return self.client is client and self.value() is value and self.digest == digest


_kept: dict[int, _Kept] = {}
_lock = threading.RLock()  # guards `_kept`; finalizers of what is in it may run anywhere


def put_once(client: Connection, value: Any, data: Serialized) -> ObjectRef[Any]:
    """A ref to `value`, whose pickle is `data`; the same one as before if it has not changed.

    What is kept for that ends with the value itself. Raises ObjectStoreFullError.
    """
    digest = _digest(data)
    with _lock:
        kept = _kept.get(id(value))
    if kept is not None and kept.stands_for(value, client, digest):
        return kept.ref
    ref: ObjectRef[Any] = ObjectRef(client.ids.put(), client)
    try:
        client.put(data, ref._id)
    except RequestFailed as error:
        raise ObjectStoreFullError(str(error)) from None
    try:
        alive = weakref.ref(value, _forget(id(value)))
    except TypeError:  # nobody would tell when it ends
        return ref
    with _lock:
        _kept[id(value)] = _Kept(alive, digest, ref, client)
    return ref


def _forget(key: int) -> Callable[[Any], None]:
    def forget(gone: Any) -> None:
        with _lock:
            kept = _kept.get(key)
            if kept is not None and kept.value is gone:
                del _kept[key]

    return forget


def _digest(data: Serialized) -> bytes:
    whole = hashlib.sha256()
    for chunk in data.chunks():
        whole.update(chunk)
    return whole.digest()


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"


def _outside() -> int:
    """The stack level, as `warnings.warn` counts, of the user's line."""
    level, frame = 1, sys._getframe(1)
    ours = ("raykernel.", "IPython.")
    while frame.f_back is not None and str(frame.f_globals.get("__name__")).startswith(ours):
        level, frame = level + 1, frame.f_back
    return level
