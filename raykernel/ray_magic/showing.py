"""How commands of `%ray` show a view: live in a notebook, as text in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from .command import NO_SESSION

if TYPE_CHECKING:
    from raykernel.notebook import Notebook
    from raykernel.runtime.engines.base import Engine
    from raykernel.widgets.view import LiveView


def cell_option(parser: Any) -> None:
    parser.add_argument(
        "--cell", type=int, metavar="N", help="only the tasks of the cell that ran as In[N]"
    )


def cell_of(notebook: Notebook, args: Any, command: str) -> str:
    """The id of the cell that `--cell` names, "" for all. Raises UsageError."""
    if args.cell is None:
        return ""
    found = notebook.cells.numbered(args.cell)
    if found is None:
        raise UsageError(f"%ray {command}: no cell ran as In[{args.cell}] since %load_ext.")
    return str(found.id)


def cells_with_work(notebook: Notebook) -> list[str]:
    """The numbers of the cells that `--cell` may name, for completion."""
    engine = notebook.api.engine()
    ids = {task.cell for task in engine.query("tasks")} if engine is not None else set()
    numbers = {notebook.cells.get(cell).number for cell in ids}
    return [str(number) for number in sorted(numbers) if number]


#: What completion offers behind `--cell`.
OF_CELL: dict[str, Callable[[Notebook], list[str]]] = {"cell": cells_with_work}


def in_notebook(notebook: Notebook) -> bool:
    return getattr(notebook.shell, "kernel", None) is not None


def show(notebook: Notebook, make: Callable[[Engine | None], LiveView]) -> None:
    """Show the view that `make` makes of the session; in a notebook it may wait for one."""
    engine = notebook.api.engine()
    if in_notebook(notebook):
        make(engine).show()
    elif engine is None:
        print(NO_SESSION)
    else:
        view = make(engine)
        print(view.text())
        view.close()
