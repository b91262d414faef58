"""The command line: `raykernel demo | lab | bench | dashboard | head | install | sessions | stop`.

Only the options are declared here. What a command does is imported when it runs, so that
`raykernel --help` answers at once. A command returns its exit code, or raises `CommandError` with
a paragraph for the person at the terminal; no traceback of ours is shown for what they can mend.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from raykernel.commands import CommandError

Run = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 130 interrupted."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    run: Run = options.run
    try:
        return run(options)
    except CommandError as error:
        print(f"raykernel {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"raykernel {options.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has seen enough. Python would complain once more when it flushes
        # stdout at exit, so stdout ends in the void from here.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="raykernel",
        description="Ray's tasks, actors and objects at home in the notebook.",
        epilog="`raykernel COMMAND --help` explains a command.",
    )
    parser.set_defaults(command=None)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    _add_demo(_command(commands, "demo", _demo, "learn house prices in a notebook, start to end"))
    _add_lab(_command(commands, "lab", _lab, "open the teaching notebooks in JupyterLab"))
    _add_bench(_command(commands, "bench", _bench, "measure the core operations' speed"))
    _add_dashboard(
        _command(commands, "dashboard", _dashboard, "show a session's live views in the browser")
    )
    _add_head(_command(commands, "head", _head, "open a session to notebooks on other machines"))
    _add_install(
        _command(commands, "install", _install, "add the kernel with raykernel loaded to Jupyter")
    )
    _add_sessions(
        _command(commands, "sessions", _sessions, "list this user's sessions on this machine")
    )
    _add_stop(_command(commands, "stop", _stop, "end a session and everything it started"))
    return parser


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Run, what: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=what, description=what[0].upper() + what[1:] + ".")
    parser.set_defaults(run=run)
    return parser


def _add_demo(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run the house-price notebook in a real kernel: workers train a line through sizes and "
        "prices on an asynchronous, then on a synchronous parameter server. Prints both fits "
        "beside least squares, and writes the executed notebook and its HTML."
    )
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="your own sales, with a header line"
    )
    parser.add_argument(
        "--size-column", metavar="NAME", help='default "Size" with --csv, else "area"'
    )
    parser.add_argument(
        "--price-column", metavar="NAME", help='default "Price" with --csv, else "price"'
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("raykernel-demo"),
        metavar="DIR",
        help="where the results go (default ./raykernel-demo)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _add_lab(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="work on copies of the notebooks in DIR; files already there are left as they are",
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "jupyter", nargs="*", metavar="-- OPTION", help="options for JupyterLab itself, after --"
    )


def _add_dashboard(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve a session's cluster panel, timeline, graph, memory and logs, live, as a page on "
        "this machine. The address it prints holds a token; nobody gets in without it."
    )
    parser.add_argument("--session", metavar="NAME", help="default: the only one that runs")
    parser.add_argument(
        "--port", type=int, default=8265, metavar="PORT", help="default 8265; 0 for any free one"
    )
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="a name under which a proxy may serve the page; may be given again",
    )


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Measure raykernel's core operations, and others' beside it: round by round in turn, so "
        "that the ratios hold although machines drift. Prints the median of the rounds, their "
        "spread, and how many times better raykernel is. `bench scale` measures instead how costs "
        "grow with the number of tasks, actors, handles and refs, and takes a few minutes."
    )
    parser.add_argument(
        "what",
        nargs="?",
        default="core",
        choices=["core", "scale"],
        help="core operations (default), or the laws of growth",
    )
    parser.add_argument(
        "--most",
        type=_count,
        default=1_000_000,
        metavar="N",
        help="scale: no sizes above N (default 1000000)",
    )
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        choices=["ray", "processpool"],
        help="measure this beside it; may be given twice",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose name contains TEXT")
    parser.add_argument(
        "--seconds", type=_positive, default=1.0, metavar="S", help="per round (default 1)"
    )
    parser.add_argument(
        "--rounds", type=_count, default=3, metavar="R", help="per row and engine (default 3)"
    )
    parser.add_argument(
        "--cpus", type=_count, default=2, metavar="N", help="workers of each engine (default 2)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def _add_head(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Start a session on this machine for notebooks on others. Writes a connection file with "
        "the keys to it: `%ray start --address FILE` or ray.init(address=FILE) on the other "
        "machine attaches. All that travels is encrypted, and without the file nobody gets in."
    )
    parser.add_argument(
        "--listen", default="tcp://127.0.0.1:0", metavar="tcp://IP:PORT",
        help="where to wait for them: 0.0.0.0 for all networks, port 0 for any free one (default "
        "tcp://127.0.0.1:0: this machine only, as for an ssh tunnel)",
    )  # fmt: skip
    parser.add_argument(
        "--advertise", metavar="HOST", help="how the others call this machine (default: its name)"
    )
    parser.add_argument(
        "--connection-file", metavar="FILE", help="where to write it (default: session's folder)"
    )
    parser.add_argument(
        "--ttl", type=_positive, metavar="S",
        help="end after S seconds without a notebook (default: go on until Ctrl-C)",
    )  # fmt: skip
    parser.add_argument(
        "--detach", action="store_true",
        help="go on in the background, and print the connection file",
    )  # fmt: skip
    parser.add_argument(
        "--session", metavar="NAME", help="open the session of this name, which runs already"
    )
    parser.add_argument("--name", help="name of the session")
    parser.add_argument("-n", "--num-cpus", type=_whole, metavar="N", help="default: all")
    parser.add_argument("--num-gpus", type=_whole, metavar="N", help="default: all")
    parser.add_argument(
        "--object-store-memory", type=_count, metavar="BYTES",
        help="memory for large objects (default: 30 %% of the machine's)",
    )  # fmt: skip


def _add_install(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        'Add the kernel "Python 3 (raykernel)" to Jupyter: Python as in this environment, with '
        "the extension loaded, so that a notebook needs no %load_ext."
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--user", action="store_true", help="for this user, in every environment")
    where.add_argument(
        "--sys-prefix", action="store_true", help=f"in this Python's environment, {sys.prefix}"
    )
    where.add_argument("--prefix", metavar="DIR", help="in DIR/share/jupyter/kernels")
    parser.add_argument(
        "--name", default="raykernel", help="Jupyter's name for the kernel (default raykernel)"
    )
    parser.add_argument(
        "--display-name", metavar="TEXT", help='what front ends show ("Python 3 (raykernel)")'
    )
    parser.add_argument("--remove", action="store_true", help="take the kernel away again")
    parser.epilog = (
        "Without a place it goes to this environment if it is a virtual one, else --user."
    )


def _add_sessions(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "List this user's sessions on this machine: how many drivers (notebooks, programs) use "
        "each, how long it has been idle if none does, and its ttl: the idle time after which it "
        "ends by itself. `%ray start --address NAME` or ray.init(address=NAME) uses one."
    )


def _add_stop(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="NAME", help="a session, as `raykernel sessions` names it"
    )
    parser.add_argument("--all", action="store_true", help="end every session of this user")


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return number


def _demo(options: argparse.Namespace) -> int:
    from raykernel.commands import demo

    return demo.run(options)


def _lab(options: argparse.Namespace) -> int:
    from raykernel.commands import lab

    return lab.run(options)


def _dashboard(options: argparse.Namespace) -> int:
    from raykernel.commands import dashboard

    return dashboard.run(options)


def _bench(options: argparse.Namespace) -> int:
    from raykernel.bench import command

    return command.run(options)


def _head(options: argparse.Namespace) -> int:
    from raykernel.commands import head

    return head.run(options)


def _install(options: argparse.Namespace) -> int:
    from raykernel.commands import install

    return install.run(options)


def _sessions(options: argparse.Namespace) -> int:
    from raykernel.commands import sessions

    return sessions.list_all()


def _stop(options: argparse.Namespace) -> int:
    from raykernel.commands import sessions

    return sessions.stop(options.name, everything=options.all)
