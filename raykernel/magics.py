"""`%load_ext raykernel`: the magics, each a thin hook to the module that does it.

%ray COMMAND ...            ray_magic/    a module for each command
%%remote [-n CPUS] ...      remote_cell.py
    %%task [-i A,B] [-o X] ...  task_cell.py, late_value.py; in the worker task_body.py
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from IPython.core.magic import (
    Magics,
    cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from raykernel import late_value, ray_magic, remote_cell, task_cell
from raykernel.cell_options import REMOTE, TASK, parse_remote
from raykernel.magic_options import asks_for_help, choices, option_strings
from raykernel.notebook import Notebook
from raykernel.output import publisher

_ATTRIBUTE = "_raykernel_notebook"


def load_ipython_extension(ip: Any) -> None:
    """Does nothing in a shell where the extension is loaded already."""
    if getattr(ip, _ATTRIBUTE, None) is None:
        notebook = Notebook(ip)
        _register(ip, notebook)
        notebook.load()
        setattr(ip, _ATTRIBUTE, notebook)


def unload_ipython_extension(ip: Any) -> None:
    """Take away all that loading added. A session goes on."""
    notebook: Notebook | None = getattr(ip, _ATTRIBUTE, None)
    if notebook is not None:
        setattr(ip, _ATTRIBUTE, None)
        notebook.unload()


def _register(shell: Any, notebook: Notebook) -> None:
    completers: dict[str, Callable[[str], list[str]]] = {
        "%ray": lambda line: ray_magic.complete(notebook, line),
        "%%remote": lambda line: choices(REMOTE, line) or option_strings(REMOTE),
        "%%task": lambda line: option_strings(TASK) + own_names(shell),
    }
    for word, find in completers.items():
        hook = _completer(find)
        shell.set_hook("complete_command", hook, str_key=word)
        notebook.on_unload(_forget_hook(shell, word))
    magics = RayMagics(shell, notebook)  # which adds itself to the configurables
    for kind, names in magics.magics.items():
        for name in names:
            notebook.on_unload(_restore_magic(shell.magics_manager.magics[kind], name))
    shell.register_magics(magics)
    notebook.on_unload(lambda: shell.configurables.remove(magics))
    notebook.on_unload(lambda: shell.magics_manager.registry.pop("RayMagics"))


def own_names(shell: Any) -> list[str]:
    """The names that the user has set."""
    hidden = getattr(shell, "user_ns_hidden", {})
    return [n for n in shell.user_ns if not n.startswith("_") and n not in hidden]


def _completer(find: Callable[[str], list[str]]) -> Callable[[Any, Any], list[str]]:
    return lambda _shell, event: find(event.line)


def _forget_hook(shell: Any, word: str) -> Callable[[], object]:
    return lambda: shell.strdispatchers["complete_command"].strs.pop(word, None)


def _restore_magic(table: dict[str, Any], name: str) -> Callable[[], None]:
    """What puts the magic of this name back to what it is now."""
    before = table.get(name)

    def restore() -> None:
        if before is None:
            table.pop(name, None)
        else:
            table[name] = before

    return restore


@magics_class
class RayMagics(Magics):
    def __init__(self, shell: Any, notebook: Notebook) -> None:
        super().__init__(shell)
        self._notebook = notebook

    @no_var_expand
    @line_magic
    def ray(self, line: str) -> None:
        ray_magic.run(self._notebook, line)

    ray.__doc__ = f"Start, stop and look at the session that runs tasks.\n\n{ray_magic.usage()}\n"

    @no_var_expand
    @cell_magic
    def remote(self, line: str, cell: str) -> None:
        transformer = self._notebook.transformer
        error, transformer.error = transformer.error, None
        if asks_for_help(line):
            print(REMOTE.format_help().strip())
            return
        if error is not None:
            raise error
        options = parse_remote(line)
        if cell.strip():
            running = self._notebook.cells.running()
            number = running.number if running is not None else 0
            remote_cell.run_directly(self.shell, number, cell, options)

    @no_var_expand
    @cell_magic
    def task(self, line: str, cell: str) -> None:
        __tracebackhide__ = True  # IPython shows the cell, and not these
        if asks_for_help(line):
            print(TASK.format_help().strip())
            return
        notebook = self._notebook
        submitted = task_cell.submit(self.shell, notebook.task_cells.plan(line, cell))
        where = notebook.cells.current()
        late_value.follow(submitted, where, publisher(self.shell, notebook.cells), notebook.cells)

    task.__doc__ = (
        f"{TASK.format_help().strip()}\n\n"
        "Imports are done here too, and functions and classes that use nothing the cell computes\n"
        "are defined here too; with -o only the names it lists change here. What the cell changes\n"
        "in place is its own copy. The value of the last line is shown when it is done; an error\n"
        "is raised where an output is used. Magics can't run in a task.\n"
    )

    remote.__doc__ = (
        f"{REMOTE.format_help().strip()}\n\n"
        "Imports, constants and everything else stay as they are, and so do functions and\n"
        "classes that are remote already, decorators that the cell uses, exceptions, enums,\n"
        "dataclasses (attrs, pydantic and msgspec alike), named tuples, typed dictionaries,\n"
        "protocols and abstract classes.\n"
    )
