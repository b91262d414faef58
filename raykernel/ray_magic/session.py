"""`%ray start`, `stop` and `status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.config import add_flags, take_flags
from raykernel.magic_options import count, parser
from raykernel.runtime.session import list_sessions
from raykernel.status import session_line, status_text

from .command import NO_SESSION, Command
from .showing import in_notebook, show

if TYPE_CHECKING:
    from raykernel.notebook import Notebook
    from raykernel.runtime.engines.base import Engine


_SESSIONS_OWN = ("num_cpus", "session_ttl")  # what a session is started with, for good


def _start_parser() -> Any:
    made = parser("ray start", "Start a session on this machine; harmless if one is running.")
    made.add_argument("--num-gpus", type=count, help="GPUs to use (default: all)")
    made.add_argument("--name", help="name of the session")
    made.add_argument(
        "--address",
        help="connect to the session of this name, as `raykernel sessions` lists it, or to one on "
        "another machine by the connection file that `raykernel head` wrote there (default: "
        "this notebook's, if it has outlived its kernel, else a session is started; "
        "'local': always start one)",
    )
    made.add_argument(
        "--ssh", metavar="USER@HOST[:PORT]",
        help="start a session on that machine over ssh and connect to it; `%%ray stop` ends it, "
        "else it ends 10 minutes after its last notebook has left. USER@HOST:PORT: another port. "
        "USER@HOST/path/to/python: where `raykernel` is not on the PATH there. Keys and all else "
        "are ssh's own to know (~/.ssh/config)",
    )  # fmt: skip
    made.add_argument("--namespace", help="namespace of named actors")
    add_flags(made)
    return made


def _start(notebook: Notebook, args: Any) -> None:
    api = notebook.api
    flags = take_flags(args)
    ssh = vars(args).pop("ssh")
    if ssh is not None:
        if args.address is not None:
            raise UsageError("%ray start: --address or --ssh, not both.")
        args.address = f"ssh://{ssh}"
    engine = api.engine()
    if engine is not None:
        try:
            line = session_line(engine)
            if args.address not in (None, "auto", "local") and not _is_at(engine, args.address):
                raise UsageError(
                    f"%ray start: this notebook uses session {engine.session}. `%ray stop` ends "
                    "or leaves it, then start with --address."
                )
            print(f"A session is running already. {line}")
            return
        except UsageError:
            raise
        except Exception as error:
            print(f"Session {engine.session} has died ({error}). Starting another.")
            api.shutdown()
    if args.address is not None:
        given = [f"--{k.replace('_', '-')}" for k, v in vars(args).items() if v is not None]
        given += [f"--{k.replace('_', '-')}" for k in _SESSIONS_OWN if k in flags]
        given.remove("--address")
        given = [option for option in given if option != "--namespace"]
        if given and args.address != "local":
            raise UsageError(
                f"%ray start: {', '.join(given)} can't be given with --address: the session at "
                "that address runs already."
            )
    begin = time.perf_counter()
    notebook.flags = flags
    chosen = dict(vars(args))
    if args.address in (None, "local"):
        chosen["num_cpus"] = notebook.settings.num_cpus
    notebook.starting = True
    try:
        api.init(**{name: value for name, value in chosen.items() if value is not None})
    except (ConnectionError, ValueError) as error:
        raise UsageError(f"%ray start: {error}") from None
    finally:
        notebook.starting = False
    took = time.perf_counter() - begin
    engine = api.engine()
    assert engine is not None
    how = "Started" if args.address in (None, "local") else "Connected"
    if engine.came_back:
        how = "This notebook is back in it"
    print(f"{session_line(engine)} {how} in {took:.2f} s.")
    if how != "Started":
        print(notebook.what_is_kept(), end="")


def _is_at(engine: Engine, address: str) -> bool:
    return engine.session in address or getattr(engine, "place", "") == address


def _addresses(_notebook: Notebook) -> list[str]:
    return [*(info.name for info in list_sessions()), "auto", "local"]


def _stop(notebook: Notebook, _args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print("No session is running.")
        return
    name = engine.session
    notebook.api.shutdown()
    if engine.ended:
        print(f"Session {name} ended.")
    elif engine.name == "ray":
        print(f"Left the Ray cluster ({name}), which goes on; this notebook's tasks there end.")
    else:
        there = " on its machine" if engine.name == "remote" else ""
        print(f"Left session {name}, which goes on. `raykernel stop {name}`{there} ends it.")


class _Controls:
    """The panel's buttons: they do what `%ray start` and `%ray stop` do."""

    def __init__(self, notebook: Notebook) -> None:
        self._notebook = notebook

    def start(self, cpus: int | None) -> None:
        if self._notebook.api.engine() is None:
            chosen = self._notebook.settings.num_cpus if cpus is None else cpus
            self._notebook.api.init(**({} if chosen is None else {"num_cpus": chosen}))

    def stop(self) -> None:
        self._notebook.api.shutdown()


def _status(notebook: Notebook, _args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None and not in_notebook(notebook):
        print(NO_SESSION)
        return
    try:
        if in_notebook(notebook):
            from raykernel.widgets.cluster import ClusterView

            controls = _Controls(notebook)
            show(notebook, lambda engine: ClusterView(engine, controls=controls))
        elif engine is not None:
            print(status_text(engine))
    except Exception as error:
        name = engine.session if engine is not None else ""
        print(f"Session {name} has died ({error}). `%ray start` starts another.")


COMMANDS = (
    Command(_start_parser(), _start, option_values={"address": _addresses}),
    Command(parser("ray stop", "End the session with all its tasks, actors and objects."), _stop),
    Command(
        parser("ray status", "Show what the session has and does, live in a notebook."), _status
    ),
)
