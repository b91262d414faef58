"""What `%ray` and `%%remote` take: one parser each, for parsing, help and completion alike."""

from __future__ import annotations

import argparse
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser


def _parser(name: str, description: str) -> MagicArgumentParser:
    return MagicArgumentParser(
        prog=f"%{name}", description=description, formatter_class=argparse.HelpFormatter
    )


def _start_parser() -> MagicArgumentParser:
    parser = _parser("ray start", "Start a session on this machine; harmless if one is running.")
    parser.add_argument("-n", "--num-cpus", type=_cpus, help="CPUs to use (default: all)")
    parser.add_argument("--num-gpus", type=_cpus, help="GPUs to use (default: all)")
    parser.add_argument("--name", help="name of the session")
    parser.add_argument("--namespace", help="namespace of named actors")
    return parser


def _graph_parser() -> MagicArgumentParser:
    parser = _parser("ray graph", "Show the graph of tasks, live.")
    parser.add_argument(
        "--cell", type=int, metavar="N", help="only the tasks of the cell that ran as In[N]"
    )
    return parser


def _timeline_parser() -> MagicArgumentParser:
    parser = _parser("ray timeline", "Write the session's timeline as a Chrome trace (JSON).")
    parser.add_argument("file", metavar="FILE", help="where to write it")
    return parser


def _cpus(text: str) -> int:
    value = int(text)
    if value < 0:
        raise ValueError(text)
    return value


_cpus.__name__ = "number"  # as argparse names it in "invalid number value: 'x'"

PARSERS: dict[str, MagicArgumentParser] = {
    "start": _start_parser(),
    "stop": _parser("ray stop", "End the session with all its tasks, actors and objects."),
    "status": _parser("ray status", "Say what the session has and does."),
    "graph": _graph_parser(),
    "timeline": _timeline_parser(),
}


def usage() -> str:
    return "\n\n".join(parser.format_help().strip() for parser in PARSERS.values())


def _remote_parser() -> MagicArgumentParser:
    parser = _parser(
        "%remote",
        "Make each top-level function of the cell a remote function and each class an actor class.",
    )
    parser.add_argument("-n", "--num-cpus", type=float, help="CPUs each task or actor needs")
    parser.add_argument("--num-gpus", type=float, help="GPUs each task or actor needs")
    parser.add_argument(
        "--max-retries",
        type=int,
        help="how often a function's task is tried again when its worker dies (-1: for ever)",
    )
    parser.add_argument("--name", help="name of the cell's one function or class")
    return parser


REMOTE = _remote_parser()


def parse_remote(text: str) -> dict[str, Any]:
    """The options behind `%%remote`, as `@remote` takes them."""
    given = vars(parse(REMOTE, text))
    return {name: value for name, value in given.items() if value is not None}


def parse(parser: MagicArgumentParser, text: str) -> Any:
    try:
        return parser.parse_argstring(text)
    except UsageError as error:
        raise UsageError(f"{parser.prog}: {error}\n{parser.format_usage().strip()}") from None


def complete(_shell: Any, event: Any) -> list[str]:
    """Completions for a line that begins with `%ray`."""
    words = event.line.split()
    if len(words) < 2 or (len(words) == 2 and not event.line.endswith(" ")):
        return list(PARSERS)
    parser = PARSERS.get(words[1])
    if parser is None:
        return []
    return [option for action in parser._actions for option in action.option_strings]
