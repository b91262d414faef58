"""What all magics share: how their options are parsed, explained and completed.

A magic's parser is made once, by `parser`, and serves for parsing, help and completion alike.
"""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser


def parser(name: str, description: str) -> MagicArgumentParser:
    """A parser for the magic that is written as `%name`."""
    return MagicArgumentParser(
        prog=f"%{name}", description=description, formatter_class=argparse.HelpFormatter
    )


def parse(options: MagicArgumentParser, text: str) -> Any:
    """The options in `text` as a namespace. Raises UsageError with what is wrong and the usage."""
    try:
        return options.parse_argstring(text)
    except UsageError as error:
        raise UsageError(f"{options.prog}: {error}\n{options.format_usage().strip()}") from None


def asks_for_help(text: str) -> bool:
    """Whether the options are but a question for them."""
    return text.split()[:1] in (["-h"], ["--help"])


def option_strings(options: MagicArgumentParser) -> list[str]:
    """All options it takes, as they are written."""
    return [text for action in options._actions for text in action.option_strings]


def choices(options: MagicArgumentParser, line: str) -> list[str]:
    """What may stand for the value of the option that `line` ends with, if it takes but a few."""
    words = line.split()
    last = words[-1] if line.endswith(" ") else words[-2] if len(words) > 1 else ""
    for action in options._actions:
        if last in action.option_strings and action.choices:
            return list(action.choices)
    return []


def awaited(options: MagicArgumentParser, line: str) -> str | None:
    """The name of the option whose value `line` ends with, or is about to; None for none."""
    words = line.split()
    last = words[-1] if line.endswith(" ") else words[-2] if len(words) > 1 else ""
    for action in options._actions:
        if last in action.option_strings and action.nargs != 0:
            return action.dest
    return None


def count(text: str) -> int:
    """The type of an option that is a whole number, none below 0."""
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


def count_or_ever(text: str) -> int:
    """The type of one where -1 stands for "for ever"."""
    value = int(text)
    if value < -1:
        raise ValueError(text)
    return value


def amount(text: str) -> float:
    """The type of an option that is a number, none below 0."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def seconds(text: str) -> float:
    """The type of a time limit."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


for _type in (count, count_or_ever, amount):
    _type.__name__ = "number"  # as argparse names it in "invalid number value: 'x'"
