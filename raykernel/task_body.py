"""What runs in the worker for a `%%task` cell: its code, in a namespace with what it reads.

Knows nothing of IPython: a worker imports it for the first such cell.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import linecache
import pickle
from types import CodeType
from typing import Any, NamedTuple

import cloudpickle

from raykernel.runtime import traces
from raykernel.runtime.execute import Failed, Parts

#: Characters of text, HTML and so on that the value of a cell's last line is shown with.
_SHOWN = 1 << 20

_FORMS = {
    "text/html": "_repr_html_",
    "text/markdown": "_repr_markdown_",
    "text/latex": "_repr_latex_",
    "image/svg+xml": "_repr_svg_",
    "image/png": "_repr_png_",
    "image/jpeg": "_repr_jpeg_",
}


class Body(NamedTuple):
    """A cell's code as it travels. `last` is its last line where that has a value to show."""

    code: CodeType
    last: CodeType | None
    filename: str
    source: str
    outputs: tuple[str, ...]
    changes: frozenset[str]  # names whose objects it changes in place


traces.unsaid.add(Body)


def run(body: Body, /, **inputs: Any) -> Parts:
    """Run the cell. What comes back is how to show its value, and the value of each output."""
    lines = body.source.splitlines(keepends=True)
    linecache.cache[body.filename] = (len(body.source), None, lines, body.filename)
    names: dict[str, Any] = {"__name__": "__main__", "display": _display}
    for name, value in inputs.items():
        names[name] = _own(value) if name in body.changes else value
    _run(body.code, names)
    shown = None if body.last is None else _shown(_run(body.last, names))
    values = [shown, *(_output(names, name) for name in body.outputs)]
    return Parts(values, ("the value of the last line", *body.outputs))


def _run(code: CodeType, names: dict[str, Any]) -> Any:
    value = eval(code, names)
    return asyncio.run(value) if code.co_flags & inspect.CO_COROUTINE else value


def _own(value: Any) -> Any:
    """A copy that may be written to: what comes from the object store may not."""
    try:
        # this protocol knows no buffers: what comes out of it is all its own
        return pickle.loads(cloudpickle.dumps(value, protocol=4))
    except Exception:
        return value


def _output(names: dict[str, Any], name: str) -> Any:
    if name in names:
        return names[name]
    return Failed(NameError(f"name '{name}' was not set: the cell took another way"))


def _display(*things: Any) -> None:
    for thing in things:
        print(thing if isinstance(thing, str) else repr(thing))


def _shown(value: Any) -> dict[str, Any] | None:
    """The value as front ends show it, by MIME type; None for None."""
    if value is None:
        return None
    bundle: dict[str, Any] = {}
    for kind, method in _FORMS.items():
        made = _call(value, method)
        if isinstance(made, tuple):  # with metadata
            made = made[0]
        if isinstance(made, bytes):
            made = base64.b64encode(made).decode()
        if isinstance(made, str) and len(made) <= _SHOWN:
            bundle[kind] = made
    mime = _call(value, "_repr_mimebundle_")
    if isinstance(mime, tuple):
        mime = mime[0]
    if isinstance(mime, dict):
        bundle.update({k: v for k, v in mime.items() if len(str(v)) <= _SHOWN})
    bundle.setdefault("text/plain", repr(value)[:_SHOWN])
    return bundle


def _call(value: Any, method: str) -> Any:
    if isinstance(value, type):
        return None
    try:
        return getattr(value, method)()
    except Exception:  # most have none; one that fails is no reason to fail the task
        return None
