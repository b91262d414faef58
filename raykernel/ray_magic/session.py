"""`%ray start`, `stop` and `status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from raykernel.config import add_flags, take_flags
from raykernel.magic_options import count, parser
from raykernel.status import session_line, status_text

from .command import NO_SESSION, Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _start_parser() -> Any:
    made = parser("ray start", "Start a session on this machine; harmless if one is running.")
    made.add_argument("--num-gpus", type=count, help="GPUs to use (default: all)")
    made.add_argument("--name", help="name of the session")
    made.add_argument("--namespace", help="namespace of named actors")
    add_flags(made)
    return made


def _start(notebook: Notebook, args: Any) -> None:
    api = notebook.api
    flags = take_flags(args)
    engine = api.engine()
    if engine is not None:
        try:
            print(f"A session is running already. {session_line(engine)}")
            return
        except Exception as error:
            print(f"Session {engine.session} has died ({error}). Starting another.")
            api.shutdown()
    begin = time.perf_counter()
    notebook.flags = flags
    chosen = {**vars(args), "num_cpus": notebook.settings.num_cpus}
    api.init(**{name: value for name, value in chosen.items() if value is not None})
    took = time.perf_counter() - begin
    engine = api.engine()
    assert engine is not None
    print(f"{session_line(engine)} Started in {took:.2f} s.")


def _stop(notebook: Notebook, _args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print("No session is running.")
        return
    name = engine.session
    notebook.api.shutdown()
    print(f"Session {name} ended.")


def _status(notebook: Notebook, _args: Any) -> None:
    engine = notebook.api.engine()
    if engine is None:
        print(NO_SESSION)
        return
    try:
        print(status_text(engine))
    except Exception as error:
        print(f"Session {engine.session} has died ({error}). `%ray start` starts another.")


COMMANDS = (
    Command(_start_parser(), _start),
    Command(parser("ray stop", "End the session with all its tasks, actors and objects."), _stop),
    Command(parser("ray status", "Say what the session has and does."), _status),
)
