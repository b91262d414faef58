"""`%ray debug`: IPython's debugger in the frame where a task failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel import frames
from raykernel.magic_options import parser
from raykernel.runtime import remains
from raykernel.runtime.remains import Header
from raykernel.tracebacks import Tracebacks, proxy

from .command import NO_SESSION, Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook

_LISTED = 10


def _parser() -> Any:
    made = parser("ray debug", "Open the frame where a task failed, with its variables.")
    made.add_argument(
        "task", nargs="?", metavar="TASK",
        help="a failed task's id (or its first or last digits), or its function's name for the "
        "last one that failed; without it, those are listed whose variables are kept",
    )  # fmt: skip
    return made


def _debug(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    shown = Tracebacks(notebook.shell, notebook.cells)
    if not args.task:
        _list(notebook, remains.find(engine.remains, ""))
        return
    found = remains.find(engine.remains, args.task)
    if not found:
        raise UsageError(f"%ray debug: {_why_not(engine, args.task)}")
    trace = found[0].trace
    last = len(trace.chain) - 1
    places = frames.rebuild(engine.remains, trace, last, notebook.shell.user_ns)
    tb = frames.link(places)
    raised = trace.chain[last]
    print(f"{shown.title(trace)} {raised.kind}: {raised.text}")
    if tb is None:
        print("There is no frame of yours in it.")
        return
    shown.leave_for_debugger(proxy(raised, tb), tb)
    notebook.shell.InteractiveTB.debugger(force=True)


def _list(notebook: Notebook, found: list[Header]) -> None:
    if not found:
        print("No failed task's variables are kept.")
    for header in found[:_LISTED]:
        trace = header.trace
        number = notebook.cells.get(trace.cell).number if trace.cell else 0
        cell = f"In[{number}]" if number else ""
        raised = trace.chain[-1]
        print(f"{trace.task}  {cell:8}{trace.name}: {raised.kind}: {raised.text}"[:150])
    if len(found) > _LISTED:
        print(f"and {len(found) - _LISTED} older ones")


def _why_not(engine: Any, wanted: str) -> str:
    for task in engine.query("tasks"):
        if task.id.startswith(wanted) or task.id.endswith(wanted) or task.name == wanted:
            if task.state != "FAILED":
                return f"{wanted!r} has not failed, it is {task.state}."
            return (
                f"the variables of {wanted!r} are not there: its worker was killed, keeping them "
                "is turned off (keep_locals), or they have made room for those of later failures."
            )
    return f"no task {wanted!r} is known, by its id or by its name."


def _values(notebook: Notebook) -> list[str]:
    engine = notebook.api.engine()
    if engine is None:
        return []
    return sorted({header.trace.name for header in remains.find(engine.remains, "", settled=False)})


COMMANDS = (Command(_parser(), _debug, _values),)
