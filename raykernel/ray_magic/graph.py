"""`%ray graph`: the live graph of tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raykernel.magic_options import parser

from .command import Command
from .showing import OF_CELL, cell_of, cell_option, show

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser(
        "ray graph", "Show the graph of tasks, live. Before there is a session it waits for one."
    )
    cell_option(made)
    made.add_argument(
        "--depth",
        type=_depth,
        metavar="N",
        help="leave out what tasks deeper than that submit (1: only what cells submit themselves)",
    )
    return made


def _depth(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


_depth.__name__ = "depth"  # as argparse names it in "invalid depth value: 'x'"


def _graph(notebook: Notebook, args: Any) -> None:
    from raykernel.widgets.graph import GraphView

    cell = cell_of(notebook, args, "graph")
    show(notebook, lambda engine: GraphView(engine, cell, depth=args.depth))


COMMANDS = (Command(_parser(), _graph, option_values=OF_CELL),)
