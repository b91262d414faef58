"""The options of `%%remote`."""

from __future__ import annotations

from typing import Any

from IPython.core.magic_arguments import MagicArgumentParser

from raykernel.magic_options import parse, parser


def _remote_parser() -> MagicArgumentParser:
    made = parser(
        "%remote",
        "Make each top-level function of the cell a remote function and each class an actor class.",
    )
    made.add_argument("-n", "--num-cpus", type=float, help="CPUs each task or actor needs")
    made.add_argument("--num-gpus", type=float, help="GPUs each task or actor needs")
    made.add_argument(
        "--max-retries",
        type=int,
        help="how often a function's task is tried again when its worker dies (-1: for ever)",
    )
    made.add_argument("--name", help="name of the cell's one function or class")
    return made


REMOTE = _remote_parser()


def parse_remote(text: str) -> dict[str, Any]:
    """The options behind `%%remote`, as `@remote` takes them."""
    given = vars(parse(REMOTE, text))
    return {name: value for name, value in given.items() if value is not None}
