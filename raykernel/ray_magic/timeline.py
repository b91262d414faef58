"""`%ray timeline`: when each task waited and ran, live, or as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.magic_options import parser

from .command import NO_SESSION, Command
from .showing import OF_CELL, cell_of, cell_option, show

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser(
        "ray timeline", "Show when each task waited and ran, live; or write it to a file."
    )
    made.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="write the whole session as a Chrome trace (JSON) instead, for Perfetto",
    )
    cell_option(made)
    return made


def _timeline(notebook: Notebook, args: Any) -> None:
    if args.file is None:
        from raykernel.widgets.timeline import TimelineView

        cell = cell_of(notebook, args, "timeline")
        show(notebook, lambda engine: TimelineView(engine, cell))
        return
    if args.cell is not None:
        raise UsageError("%ray timeline: a file holds the whole session; leave out --cell.")
    if notebook.api.engine() is None:
        print(NO_SESSION)
        return
    try:
        notebook.api.timeline(args.file)
    except OSError as error:
        raise UsageError(f"%ray timeline: can't write {args.file}: {error.strerror}.") from None
    print(f"Wrote {args.file}: open it in chrome://tracing or https://ui.perfetto.dev.")


COMMANDS = (Command(_parser(), _timeline, option_values=OF_CELL),)
