"""`%ray memory`: what takes the object store's memory, and who keeps it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykernel.magic_options import count, parser

from .command import NO_SESSION, Command
from .showing import in_notebook

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser("ray memory", "Show which objects take memory, and what keeps each of them.")
    made.add_argument(
        "-n", "--rows", type=count, default=20, help="show so many objects, the largest (20)"
    )
    return made


def _memory(notebook: Notebook, args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    from raykernel import holders

    report = holders.report(engine, notebook.shell, notebook.cells)
    text = holders.text(report, args.rows)
    if in_notebook(notebook):
        from IPython.display import display

        bundle = {"text/plain": text, "text/html": holders.html(report, args.rows)}
        display(bundle, raw=True)
    else:
        print(text)


COMMANDS = (Command(_parser(), _memory),)
