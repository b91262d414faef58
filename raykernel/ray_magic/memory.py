"""`%ray memory`: what takes the object store's memory, and who keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykernel.magic_options import count, parser

from .command import Command
from .showing import show

if TYPE_CHECKING:
    from raykernel.notebook import Notebook
    from raykernel.runtime.engines.base import Engine
    from raykernel.widgets.memory_model import Look


def _parser() -> Any:
    made = parser(
        "ray memory",
        "Show which objects take memory, the largest first, and what keeps each of them; live in "
        "a notebook.",
    )
    made.add_argument(
        "-n",
        "--rows",
        type=count,
        default=20,
        help="objects in the text and in the saved file, the largest (20)",
    )
    return made


def _memory(notebook: Notebook, args: Any) -> None:
    from raykernel import holders
    from raykernel.widgets.memory import MemoryView

    def look(engine: Engine) -> Look:
        return holders.report(engine, notebook.shell, notebook.cells)

    show(notebook, lambda engine: MemoryView(engine, look, rows=args.rows))


COMMANDS = (Command(_parser(), _memory),)
