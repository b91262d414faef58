"""`%ray background` and `%ray cancel`: what is to become of a cell's unfinished work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.cells import Cell
from raykernel.magic_options import parser

from .command import NO_SESSION, Command
from .showing import OF_CELL

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _background_parser() -> Any:
    made = parser(
        "ray background",
        "Put a cell's work in the background: Stop leaves it alone, and it goes on when the kernel "
        "ends. Without --cell that is the work of the cell it stands in, or, in a cell of its own, "
        "of the last cell that has any.",
    )
    made.add_argument("--cell", type=int, metavar="N", help="the cell that ran as In[N]")
    return made


def _cancel_parser() -> Any:
    made = parser(
        "ray cancel",
        "Cancel a cell's unfinished tasks, and theirs. Without an option those of the last cell "
        "that has any. Actors stay alive.",
    )
    which = made.add_mutually_exclusive_group()
    which.add_argument("--cell", type=int, metavar="N", help="the cell that ran as In[N]")
    which.add_argument("--all", action="store_true", help="all cells, also in the background")
    return made


def _background(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    cell = _chosen(notebook, args.cell, "background", engine)
    running = notebook.cells.running()
    if cell is None and running is not None:
        cell = running  # in advance
    if cell is None:
        print("No cell has unfinished work.")
        return
    count = notebook.to_background(cell.id)
    work = f"{_tasks(count)} of {_name(cell)}" if count else f"What {_name(cell)} submits"
    verb = "go" if count > 1 else "goes"
    end = f"`%ray cancel --cell {cell.number}`" if cell.number else "`%ray cancel --all`"
    print(f"{work} {verb} on in the background: Stop leaves that alone, {end} ends it.")


def _cancel(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    if args.all:
        count = engine.cancel_all()
        print(f"Cancelled {_tasks(count)}." if count else "There is no unfinished work.")
        return
    cell = _chosen(notebook, args.cell, "cancel", engine)
    if cell is None:
        print("No cell has unfinished work.")
        return
    count = engine.cancel_cell(cell.id)
    done = f"Cancelled {_tasks(count)} of" if count else "There is no unfinished work of"
    print(f"{done} {_name(cell)}.")


def _chosen(notebook: Notebook, number: int | None, command: str, engine: Any) -> Cell | None:
    """The cell of that number; without one, the last with unfinished work, if any. For
    `background`, a cell that does more than call it means itself. Raises UsageError."""
    if number is not None:
        found = notebook.cells.numbered(number)
        if found is None:
            raise UsageError(f"%ray {command}: no cell ran as In[{number}] since %load_ext.")
        return found
    if command == "background" and _has_code(notebook):
        return notebook.cells.running()
    live: dict[str, int] = engine.query("live_cells")
    return notebook.cells.newest(live)


def _has_code(notebook: Notebook) -> bool:
    """Whether the running cell has other lines than magics."""
    text = notebook.shell.history_manager.input_hist_raw[-1]
    lines = [line.strip() for line in text.splitlines()]
    return any(line and not line.startswith(("%", "#", "!")) for line in lines)


def _tasks(count: int) -> str:
    return "1 unfinished task" if count == 1 else f"{count:,} unfinished tasks"


def _name(cell: Cell) -> str:
    return f"In[{cell.number}]" if cell.number else "this cell"


COMMANDS = (
    Command(_background_parser(), _background, option_values=OF_CELL),
    Command(_cancel_parser(), _cancel, option_values=OF_CELL),
)
