"""The options of `%%remote` and `%%task`: those of `@remote`, as far as they fit in a line."""

from __future__ import annotations

from itertools import chain
from typing import Any, NamedTuple

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from raykernel.magic_options import amount, count, count_or_ever, parse, parser, seconds

#: What means something for functions only, and for classes only.
FOR_FUNCTIONS = ("max_retries", "retry_exceptions", "num_returns")
FOR_CLASSES = (
    "max_restarts", "max_task_retries", "max_concurrency", "lifetime", "namespace", "get_if_exists",
)  # fmt: skip


def _add_needs(made: MagicArgumentParser, who: str) -> None:
    made.add_argument("-n", "--num-cpus", type=amount, metavar="CPUS", help=f"CPUs {who} needs")
    made.add_argument("--num-gpus", type=amount, metavar="GPUS", help=f"GPUs {who} needs")


def _add_limits(made: MagicArgumentParser, whose: str) -> None:
    made.add_argument(
        "--max-retries",
        type=count_or_ever,
        metavar="R",
        help=f"how often {whose} task is tried again when its worker dies (-1: for ever)",
    )
    made.add_argument(
        "--retry-exceptions",
        action="store_true",
        default=None,
        help="try it again after an exception too",
    )


def _add_timeout(made: MagicArgumentParser, what: str) -> None:
    made.add_argument(
        "--timeout",
        type=seconds,
        metavar="S",
        help=f"seconds after which {what} that runs is cancelled, and its `get` raises "
        "GetTimeoutError",
    )


def _remote_parser() -> MagicArgumentParser:
    made = parser(
        "%remote",
        "Make each top-level function of the cell a remote function and each class an actor class.",
    )
    _add_needs(made, "each task or actor")
    made.add_argument("--name", help="name of the cell's one function or class")
    _add_timeout(made, "a task or an actor's call")
    functions = made.add_argument_group("functions only")
    _add_limits(functions, "a function's")  # type: ignore[arg-type]  # a group adds as well
    functions.add_argument(
        "--num-returns", type=count, metavar="N", help="how many refs a call returns"
    )
    classes = made.add_argument_group("classes only")
    classes.add_argument(
        "--max-restarts",
        type=count_or_ever,
        metavar="R",
        help="how often an actor that dies is started again (-1: for ever)",
    )
    classes.add_argument(
        "--max-task-retries",
        type=count_or_ever,
        metavar="R",
        help="how often a call that the actor's death cut short is tried again (-1: for ever)",
    )
    classes.add_argument(
        "--max-concurrency", type=count, metavar="N", help="calls that may run at the same time"
    )
    classes.add_argument(
        "--lifetime", choices=("detached", "non_detached"), help="detached: outlive their handles"
    )
    classes.add_argument("--namespace", help="namespace of the actor's name")
    classes.add_argument(
        "--get-if-exists",
        action="store_true",
        default=None,
        help="take the actor of that name if there is one",
    )
    return made


REMOTE = _remote_parser()


def _task_parser() -> MagicArgumentParser:
    made = parser(
        "%task",
        "Run the cell as one task in the background. The names it reads are taken along (of refs, "
        "their values); the names it sets become ObjectRefs here at once.",
    )
    made.add_argument(
        "-i",
        "--inputs",
        type=_names,
        nargs="+",
        metavar="A,B",
        help="the names to take along (default: all it reads)",
    )
    made.add_argument(
        "-o",
        "--outputs",
        type=_names,
        nargs="+",
        metavar="X,Y",
        help="the names to get back (default: all it sets)",
    )
    _add_needs(made, "the task")
    made.add_argument("--name", help="name of the task (default: that of the cell)")
    _add_limits(made, "the cell's")
    _add_timeout(made, "the task")
    return made


def _names(text: str) -> tuple[str, ...]:
    found = tuple(name.strip() for name in text.split(",") if name.strip())
    if not all(name.isidentifier() for name in found):
        raise ValueError(text)
    return found


_names.__name__ = "list of names"

TASK = _task_parser()


class TaskOptions(NamedTuple):
    """`inputs` and `outputs` None: all there are. `options` are `@remote`'s."""

    inputs: tuple[str, ...] | None
    outputs: tuple[str, ...] | None
    options: dict[str, Any]


def parse_task(text: str) -> TaskOptions:
    """The options behind `%%task`. Raises UsageError."""
    given = _given(parse(TASK, text))
    inputs, outputs = (_all(given.pop(which, None)) for which in ("inputs", "outputs"))
    return TaskOptions(inputs, outputs, given)


def _all(lists: list[tuple[str, ...]] | None) -> tuple[str, ...] | None:
    return None if lists is None else tuple(dict.fromkeys(chain.from_iterable(lists)))


def parse_remote(text: str) -> dict[str, Any]:
    """The options behind `%%remote`, as `@remote` takes them. Raises UsageError."""
    options = _given(parse(REMOTE, text))
    if options.get("get_if_exists") and "name" not in options:
        raise UsageError("%%remote: --get-if-exists needs a --name.")
    return options


def _given(args: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(args).items() if value is not None}
