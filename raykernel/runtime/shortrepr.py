"""Values in a few words, whatever they are: for people who look at an error."""

from __future__ import annotations

import reprlib
from typing import Any

_LONG = 60


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = _LONG
        self.maxlist = self.maxtuple = self.maxset = self.maxdict = 4

    def repr_instance(self, x: Any, level: int) -> str:
        shape = getattr(x, "shape", None)
        if isinstance(shape, tuple) and shape:
            size = " x ".join(str(n) for n in shape)
            kind = getattr(x, "dtype", None)
            return f"<{type(x).__name__} {size}{f' {kind}' if kind is not None else ''}>"
        return super().repr_instance(x, level)

    def repr1(self, x: Any, level: int) -> str:
        # reprlib goes by the class's name, and would take a DataFrame's `array` for one of its own
        method = getattr(self, f"repr_{type(x).__name__}", None)
        if method is not None and type(x).__module__ == "builtins":
            return str(method(x, level))
        return self.repr_instance(x, level)


_short = _Short()


def short_repr(value: Any) -> str:
    """One line of at most some 60 characters. Never raises."""
    try:
        text = " ".join(_short.repr(value).split())
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
