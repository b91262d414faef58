"""`%ray logs`: what tasks wrote, from the session's log files."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.magic_options import count, parser

from .command import NO_SESSION, Command
from .showing import OF_CELL, in_notebook, show

if TYPE_CHECKING:
    from raykernel.notebook import Notebook

TAIL = 100
_TASK_ID = re.compile(r"[0-9a-f]{6,48}")


def _bare(text: str) -> str:
    """Without the quotes around it: IPython splits a magic's line and leaves them."""
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text


def _parser() -> Any:
    made = parser(
        "ray logs",
        "Show what tasks write, live, also what was too much for their cells. With any of the "
        "options, or in a terminal, print what was written so far.",
    )
    made.add_argument(
        "-f", "--follow", action="store_true", help="show it live, also with the other options"
    )
    made.add_argument(
        "--task", type=_bare, metavar="ID|NAME",
        help="of one task, by its id (or its first or last digits), or of all of a name",
    )  # fmt: skip
    made.add_argument(
        "--actor", type=_bare, metavar="ID|NAME",
        help="of an actor, by (the start of) its id or its name, or of all actors of a class",
    )  # fmt: skip
    made.add_argument("--cell", type=int, metavar="N", help="of what the cell In[N] caused")
    made.add_argument(
        "--grep", type=_bare, metavar="RE", help="only lines that a regular expression finds"
    )
    made.add_argument("--tail", type=count, metavar="N", help=f"how many lines (default: {TAIL})")
    return made


def _logs(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    filters, about = _filters(notebook, engine, args)
    tail = TAIL if args.tail is None else args.tail
    live = args.follow or (not filters and args.tail is None)
    if live and in_notebook(notebook):
        from raykernel.widgets.log_model import LogModel
        from raykernel.widgets.logs import LogView

        model = LogModel(filters, about, partial(_cell_name, notebook), tail)
        show(notebook, lambda engine: LogView(engine, model))
        return
    if engine is None:
        print(NO_SESSION)
        return
    if tail == 0:
        return
    lines = engine.query("logs", tail=tail, **filters)
    if not lines:
        print("No task output" + (" that fits." if filters else " yet."))
    for line in lines:
        label = f"{line.name} pid={line.pid}" if line.name else f"pid={line.pid}"
        print(f"({label}) {line.text}")


def _filters(notebook: Notebook, engine: Any, args: Any) -> tuple[dict[str, Any], str]:
    """What `query("logs")` is to be limited to, and the same in words. Raises UsageError."""
    filters: dict[str, Any] = {}
    about = []
    if args.task:
        exact = _TASK_ID.fullmatch(args.task)
        filters["task" if exact else "name"] = args.task
        about.append(f"task {args.task}")
    if args.actor and engine is not None:
        filters["actors"] = _actors(engine, args.actor)
        about.append(f"actor {args.actor}")
    if args.cell is not None:
        found = notebook.cells.numbered(args.cell)
        if found is None:
            raise UsageError(f"%ray logs: no cell ran as In[{args.cell}] since %load_ext.")
        filters["cell"] = found.id
        about.append(f"In[{args.cell}]")
    if args.grep:
        try:
            re.compile(args.grep)
        except re.error as error:
            raise UsageError(
                f"%ray logs: {args.grep!r} is no regular expression: {error}"
            ) from None
        filters["grep"] = args.grep
        about.append(f"/{args.grep}/")
    return filters, ", ".join(about)


def _cell_name(notebook: Notebook, cell: str) -> str:
    number = notebook.cells.get(cell).number
    return f"In[{number}]" if number else ""


def _actors(engine: Any, wanted: str) -> list[str]:
    """The ids of the actors that are meant. Raises UsageError."""
    actors = engine.query("actors")
    found = [
        one["actor_id"]
        for one in actors
        if wanted in (one["name"], one["class_name"], one["class_name"].rpartition(".")[2])
        or (len(wanted) >= 6 and one["actor_id"].startswith(wanted))
    ]
    if not found:
        known = sorted({one["name"] or one["class_name"] for one in actors})
        raise UsageError(
            f"%ray logs: no actor {wanted!r}. "
            + (f"There are: {', '.join(known)}." if known else "There are none.")
        )
    return found


def _tasks(notebook: Notebook) -> list[str]:
    engine = notebook.api.engine()
    return [] if engine is None else sorted({task.name for task in engine.query("tasks")})


def _actor_names(notebook: Notebook) -> list[str]:
    engine = notebook.api.engine()
    found = [] if engine is None else engine.query("actors")
    return sorted({one["name"] or one["class_name"] for one in found})


_VALUES = {**OF_CELL, "task": _tasks, "actor": _actor_names}
COMMANDS = (Command(_parser(), _logs, option_values=_VALUES),)
