"""`%ray graph`: the live graph of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.magic_options import parser

from .command import NO_SESSION, Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser("ray graph", "Show the graph of tasks, live.")
    made.add_argument(
        "--cell", type=int, metavar="N", help="only the tasks of the cell that ran as In[N]"
    )
    return made


def _graph(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    cell = ""
    if args.cell is not None:
        found = notebook.cells.numbered(args.cell)
        if found is None:
            raise UsageError(f"%ray graph: no cell ran as In[{args.cell}] since %load_ext.")
        cell = found.id
    from raykernel.widgets.graph import GraphView

    view = GraphView(engine, cell)
    if getattr(notebook.shell, "kernel", None) is None:
        print(view.text())
        view.close()
    else:
        view.show()


COMMANDS = (Command(_parser(), _graph),)
