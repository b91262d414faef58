"""`%ray reload`: an edited module, here and in the workers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from raykernel.magic_options import parser
from raykernel.runtime.reloading import reload_modules

from .command import Command

if TYPE_CHECKING:
    from raykernel.notebook import Notebook


def _parser() -> Any:
    made = parser(
        "ray reload",
        "Take edited modules anew: here, and in the workers from the next task on. Actors keep "
        "what they were made with.",
    )
    made.add_argument("module", nargs="+", metavar="MODULE", help="module or package, as imported")
    return made


def _reload(notebook: Notebook, args: Any) -> None:
    names: list[str] = []
    for name in args.module:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UsageError(f"%ray reload: {name!r} is no module's name.")
        inner = [known for known in sys.modules if known.startswith(f"{name}.")]
        names += [*inner, name]
    before = {name: dict(vars(sys.modules[name])) for name in names if name in sys.modules}
    try:
        reload_modules(names)
    except ModuleNotFoundError as error:
        if error.name not in names:  # one that it imports is missing
            raise
        raise UsageError(f"%ray reload: there is no module named {error.name!r}.") from None
    taken = _rebind(notebook.shell.user_ns, before)
    engine = notebook.api.engine()
    text = f"Reloaded {', '.join(args.module)}."
    if taken:
        text += f" {', '.join(taken)} here: as edited."
    if engine is not None:
        engine.reload(names)
        text += " Tasks use it from the next one on."
        alive = sum(actor.get("state") == "ALIVE" for actor in engine.query("actors"))
        if alive:
            actors = "The actor that lives keeps" if alive == 1 else f"The {alive} actors keep"
            text += f" {actors} what was imported there: make another to use the edit."
    print(text)


def _rebind(user: dict[str, Any], before: dict[str, dict[str, Any]]) -> list[str]:
    """Let the notebook's names for a module's functions and classes mean the edited ones."""
    taken = []
    for name, value in list(user.items()):
        module = getattr(value, "__module__", None)
        if name.startswith("_") or not isinstance(module, str) or module not in before:
            continue
        for attribute, old in before[module].items():
            now = getattr(sys.modules[module], attribute, old)
            if old is value and now is not old:
                user[name] = now
                taken.append(name)
                break
    return taken


def _modules(notebook: Notebook) -> list[str]:
    return [
        n for n, v in notebook.shell.user_ns.items() if isinstance(v, type(sys)) and n[0] != "_"
    ]


COMMANDS = (Command(_parser(), _reload, _modules),)
