"""`%ray COMMAND`: a module for each command or a few that belong together, and the table of all.

A module gives its `COMMANDS`; what stands in the table is parsed, explained by `%ray` and `%ray?`,
and completed.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from IPython.core.error import UsageError

from raykernel.magic_options import asks_for_help, awaited, option_strings, parse

from . import debug, graph, logs, memory, reload, session, timeline, work
from .command import Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook

__all__ = ["COMMANDS", "complete", "run", "usage"]

_MODULES = (session, work, graph, logs, debug, memory, timeline, reload)

#: By name, in the order in which help shows them.
COMMANDS: dict[str, Command] = {
    command.name: command for module in _MODULES for command in module.COMMANDS
}


def usage() -> str:
    return "\n\n".join(command.parser.format_help().strip() for command in COMMANDS.values())


def run(notebook: Notebook, line: str) -> None:
    """What `%ray line` does. Raises UsageError."""
    name, _, rest = line.strip().partition(" ")
    if name in ("", "help", "-h", "--help", "?"):
        print(usage())
        return
    command = COMMANDS.get(name)
    if command is None:
        close = difflib.get_close_matches(name, COMMANDS)
        hint = f"Did you mean '{close[0]}'? " if close else ""
        raise UsageError(f"%ray has no command {name!r}. {hint}It has: {', '.join(COMMANDS)}.")
    if asks_for_help(rest):
        print(command.parser.format_help().strip())
        return
    command.run(notebook, parse(command.parser, rest))


def complete(notebook: Notebook, line: str) -> list[str]:
    """What may stand at the end of `line`, which begins with `%ray`."""
    words = line.split()
    if len(words) < 2 or (len(words) == 2 and not line.endswith(" ")):
        return list(COMMANDS)
    command = COMMANDS.get(words[1])
    if command is None:
        return []
    option = awaited(command.parser, line)
    if option is not None:
        given = command.option_values.get(option)
        return [] if given is None else list(given(notebook))
    found = option_strings(command.parser)
    if command.values is not None:
        found += command.values(notebook)
    return found
