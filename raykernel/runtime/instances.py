"""Counting instances of refs, and folding single ids into messages. Sans-IO.

A ref made here counts one at the head with its submission, each further instance says AddRef, each
instance's end says Release; all in the order in which they happened.

In the queue an instance more is a `Plus`, an instance less the bare id, and memory that nobody
looks at any more a tuple with its place: finalizers append these and nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from . import messages as m


class Plus(bytes):
    """In the queue: one instance more of this ref."""


class Back(Plus):
    """The same of a ref made here that had none left: it came back, from inside another object."""


class Folded(NamedTuple):
    """What leaves, the objects of which no ref is left here, and places nobody looks at."""

    messages: list[Any]
    gone: dict[bytes, bool]  # and whether it was asked for
    unpinned: list[int]


class Instances:
    """The instances in this process that came by unpickling.

    Of an object made elsewhere these are all; of one made here (its id has the process's `prefix`)
    the first instance, which nobody counts, may live besides, unless it came `Back`. `wanted` are
    the objects asked for: one that goes is not wanted any more.
    """

    def __init__(self, prefix: bytes, wanted: set[bytes]) -> None:
        self._prefix = prefix
        self._wanted = wanted
        self._extra: dict[bytes, int] = {}
        self._back: set[bytes] = set()  # made here, and the first instance is gone

    def is_first(self, object_id: bytes) -> None:
        """The one instance that was counted stands for the first, which nobody counts."""
        if object_id.startswith(self._prefix):
            self._extra.pop(object_id, None)
            self._back.discard(object_id)

    def fold(self, out: list[Any]) -> Folded:
        """Gather runs of single ids into messages, in order."""
        extra, wanted, prefix, back = self._extra, self._wanted, self._prefix, self._back
        messages: list[Any] = []
        released: list[bytes] = []
        unpinned: list[int] = []
        gone: dict[bytes, bool] = {}
        for item in out:
            kind = type(item)
            if kind is bytes:
                released.append(item)
                count = extra.get(item)
                if count is None:
                    gone[item] = item in wanted
                    wanted.discard(item)
                elif count > 1:
                    extra[item] = count - 1
                else:
                    del extra[item]
                    if item in back or not item.startswith(prefix):
                        back.discard(item)
                        gone[item] = item in wanted
                        wanted.discard(item)
            elif kind is tuple:
                unpinned.append(item[0])
            else:
                if released:
                    messages.append(m.Release(released))
                    released = []
                if kind is Plus or kind is Back:
                    plain = bytes(item)
                    messages.append(m.AddRef([plain]))
                    asked = gone.pop(plain, None)
                    if asked:  # to the head, who has none has asked for none
                        wanted.add(plain)
                        messages.append(m.Want([plain]))
                    if asked is None or kind is Back or not plain.startswith(prefix):
                        if kind is Back and plain not in extra:
                            back.add(plain)
                        extra[plain] = extra.get(plain, 0) + 1
                else:
                    messages.append(item)
        if released:
            messages.append(m.Release(released))
        return Folded(messages, gone, unpinned)
