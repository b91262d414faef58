"""Frames of another process, rebuilt from a failed task's trace so that IPython shows and debugs
them like its own.

A traceback is made of frames, and a frame only comes about by running code. So for each frame of
the trace a one-line program is compiled that fails at the same line of the same file under the same
name, and run with variables that are fetched when somebody looks at them (`Remote`). IPython's
formatter then finds the source, its debugger the variables; names that are none of the frame's are
looked up in the notebook or the module the code is of.

Libraries' frames, but for the one that raised, and the middle of a recursion are hidden in
IPython's sense (`__tracebackhide__`): a traceback tells how many it left out, and the debugger's
`up` passes over them.
"""

from __future__ import annotations

import ast
import inspect
import linecache
import os
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any

from raykernel.runtime.remains import Remains, Shelf
from raykernel.runtime.traces import Frame, Trace

_FIRST_LINES = 100_000  # of a file of which only some lines are known
_LIBRARIES = tuple({path + os.sep for path in map(sysconfig.get_path, ("stdlib", "purelib"))})
_PACKAGES = tuple(f"{os.sep}{folder}{os.sep}" for folder in ("site-packages", "dist-packages"))
_HIDE = "__tracebackhide__"


#: By file, for `linecache`.
_lent: dict[str, list[str]] = {}


class Remote(dict[str, Any]):
    """A remote frame's variables. The first look at them asks for the failure's header; each value
    is read when it is asked for, once. If they are not there, one line says why."""

    def __init__(self, shelf: Shelf, trace: Trace, frame: int, hidden: bool = False) -> None:
        super().__init__()
        self._hidden = hidden
        self._shelf = shelf
        self._trace = trace
        self._frame = frame
        self._remains: Remains | None = None
        self._names: list[str] | None = None

    def _known(self) -> list[str]:
        if self._names is None:
            self._names = []
            try:
                self._remains = Remains(self._shelf, self._trace.task, self._trace.kept)
                self._names = list(self._remains.header.frames[self._frame])
            except (LookupError, OSError) as error:
                print(f"The variables of {self._trace.name} are not there: {error.args[0]}.")
        return self._names

    def __getitem__(self, name: str) -> Any:
        if not super().__contains__(name):
            if name == _HIDE and self._hidden:
                return True
            if name not in self._known():
                raise KeyError(name)
            assert self._remains is not None
            super().__setitem__(name, self._remains.value(self._frame, name))
        return super().__getitem__(name)

    def get(self, name: str, default: Any = None) -> Any:
        if name == _HIDE:  # asked for each frame that is shown
            return self._hidden or default
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        if name == _HIDE:
            return self._hidden
        return super().__contains__(name) or name in self._known()

    def __iter__(self) -> Iterator[str]:
        return iter([*self._known(), *(n for n in super().__iter__() if n not in self._known())])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def keys(self) -> Any:
        return list(iter(self))

    def values(self) -> Any:
        return [self[name] for name in self]

    def items(self) -> Any:
        return [(name, self[name]) for name in self]

    def copy(self) -> dict[str, Any]:
        return dict(self.items())


Place = tuple[FrameType, int, int]  # a frame, the instruction and the line it is at


def rebuild(shelf: Shelf, trace: Trace, raised: int, names: dict[str, Any]) -> list[Place]:
    """The frames of the error number `raised` of a trace's chain. `names` are the notebook's."""
    before = sum(len(one.frames) for one in trace.chain[:raised])
    found = trace.chain[raised].frames
    again = 0  # how often the frame before this one was at the same place
    made = []
    for n, frame in enumerate(found):
        again = again + 1 if n and _same_place(frame, found[n - 1]) else 0
        last = n == len(found) - 1
        middle = again > 0 and not last and _same_place(frame, found[n + 1])
        hidden = middle or (not last and _of_library(frame.file))
        made.append(_place(frame, Remote(shelf, trace, before + n, hidden), names))
    return made


def _same_place(one: Frame, other: Frame) -> bool:
    return (one.file, one.line, one.name) == (other.file, other.line, other.name)


def _of_library(file: str) -> bool:
    return file.startswith(_LIBRARIES) or any(folder in file for folder in _PACKAGES)


def places(tb: TracebackType | None) -> Iterator[Place]:
    while tb is not None:
        yield tb.tb_frame, tb.tb_lasti, tb.tb_lineno
        tb = tb.tb_next


def link(found: Iterable[Place]) -> TracebackType | None:
    """One traceback of these frames, the outermost first."""
    tb = None
    for frame, last, line in reversed(list(found)):
        tb = TracebackType(tb, frame, last, line)
    return tb


def _place(frame: Frame, variables: Remote, names: dict[str, Any]) -> Place:
    _lend_source(frame)
    try:
        exec(_code(frame), _globals(frame.module, names), variables)
    except ZeroDivisionError as error:
        *_, place = places(error.__traceback__)
        return place
    raise AssertionError("a division by zero went well")


def _code(frame: Frame) -> CodeType:
    """Code that fails at the frame's line, and begins where its function does: by that IPython and
    `inspect` find the function's source."""
    tree = ast.parse("def function(): 1/0")
    tree.body[0].lineno = frame.first
    for node in ast.walk(tree.body[0]):
        if isinstance(node, ast.expr | ast.stmt) and node is not tree.body[0]:
            node.lineno = node.end_lineno = max(1, frame.line)
    tree.body[0].end_lineno = max(frame.first, frame.line)
    module = compile(tree, frame.file, "exec")
    code: CodeType = next(one for one in module.co_consts if isinstance(one, CodeType))
    # not a function's flags: `exec` is to run it with the variables it is given
    flags = code.co_flags & ~(inspect.CO_OPTIMIZED | inspect.CO_NEWLOCALS)
    code = code.replace(co_name=frame.name, co_flags=flags)
    if sys.version_info >= (3, 11):
        qualified: dict[str, Any] = {"co_qualname": frame.name}
        code = code.replace(**qualified)
    return code


def _globals(module: str, names: dict[str, Any]) -> dict[str, Any]:
    if module == "__main__":
        return names
    loaded = sys.modules.get(module)
    return {"__name__": module} if loaded is None else loaded.__dict__


def _lend_source(frame: Frame) -> None:
    """Let this process see the lines of code that it has no file of."""
    first = frame.line - frame.offset - 1
    if not frame.source or first > _FIRST_LINES:
        return
    lines = _lent.get(frame.file)
    if lines is None:
        if linecache.getlines(frame.file):
            return
        lines = _lent[frame.file] = []
    missing = first + len(frame.source) - len(lines)
    lines += ["\n"] * missing
    lines[first : first + len(frame.source)] = [f"{line}\n" for line in frame.source]
    linecache.cache[frame.file] = (sum(map(len, lines)), None, lines, frame.file)
