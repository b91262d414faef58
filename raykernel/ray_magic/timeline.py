"""`%ray timeline`: when each task ran, as a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykernel.magic_options import parser

from .command import NO_SESSION, Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser("ray timeline", "Write the session's timeline as a Chrome trace (JSON).")
    made.add_argument("file", metavar="FILE", help="where to write it")
    return made


def _timeline(notebook: Notebook, args: Any) -> None:
    if notebook.api.engine() is None:
        print(NO_SESSION)
        return
    notebook.api.timeline(args.file)
    print(f"Wrote {args.file}: open it in chrome://tracing or https://ui.perfetto.dev.")


COMMANDS = (Command(_parser(), _timeline),)
