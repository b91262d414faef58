"""`%load_ext raykernel`: the magics, and what watches a notebook's cells.

`load_ipython_extension` makes one `Notebook` per shell, which owns everything the extension adds
and takes all of it away again. It follows the session, however it was started: by `%ray start`,
by `init`, or by the first `.remote()`.

    %ray start [-n CPUS] | stop | status | graph [--cell N] | timeline FILE
    %%remote [-n CPUS] ...      (remote_cell.py)
"""

from __future__ import annotations

import difflib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import (
    Magics,
    cell_magic,
    line_magic,
    magics_class,
    no_var_expand,
)

from raykernel import api, remote_cell
from raykernel.cells import Cell, CellTracker
from raykernel.config import RayKernelConfig
from raykernel.heartbeat import keep_awake
from raykernel.magic_options import PARSERS, REMOTE, complete, parse, parse_remote, usage
from raykernel.output import publisher
from raykernel.reporter import Reporter
from raykernel.runtime.engines.base import Engine
from raykernel.status import session_line, status_text

_ATTRIBUTE = "_raykernel_notebook"

_NO_SESSION = "No session is running. `%ray start` starts one, and so does the first .remote()."


def load_ipython_extension(ip: Any) -> None:
    """Does nothing in a shell where the extension is loaded already."""
    if getattr(ip, _ATTRIBUTE, None) is None:
        notebook = Notebook(ip)
        notebook.load()
        setattr(ip, _ATTRIBUTE, notebook)


def unload_ipython_extension(ip: Any) -> None:
    """Take away all that loading added. A session goes on."""
    notebook: Notebook | None = getattr(ip, _ATTRIBUTE, None)
    if notebook is not None:
        setattr(ip, _ATTRIBUTE, None)
        notebook.unload()


class Notebook:
    """The extension in one shell."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.config = RayKernelConfig(parent=shell)
        self.cells = CellTracker(shell)
        self.transformer = remote_cell.RemoteCellTransformer(parse_remote)
        self.reporter: Reporter | None = None
        self._undo: list[Callable[[], object]] = []

    def load(self) -> None:
        shell = self.shell
        self.cells.install()
        self._undo.append(self.cells.remove)
        self.cells.on_start(lambda cell: keep_awake(partial(self.cells.is_running, cell.id)))
        self.cells.on_end(self._cell_ended)

        shell.input_transformers_cleanup.insert(0, remote_cell.magic_line)
        self._undo.append(lambda: shell.input_transformers_cleanup.remove(remote_cell.magic_line))
        shell.ast_transformers.append(self.transformer)
        self._undo.append(lambda: shell.ast_transformers.remove(self.transformer))
        shell.configurables.append(self.config)
        self._undo.append(lambda: shell.configurables.remove(self.config))

        shell.set_hook("complete_command", complete, str_key="%ray")
        self._undo.append(lambda: shell.strdispatchers["complete_command"].strs.pop("%ray", None))
        for kind, name in (("line", "ray"), ("cell", "remote")):
            self._undo.append(_restore_magic(shell.magics_manager.magics[kind], name))
        magics = RayMagics(shell, self)  # which adds itself to the configurables
        shell.register_magics(magics)
        self._undo.append(lambda: shell.configurables.remove(magics))
        self._undo.append(lambda: shell.magics_manager.registry.pop("RayMagics"))

        self._undo.append(api.take_over_logs())
        self._undo.append(api.on_session(self._session))
        self._session(api.engine())

    def unload(self) -> None:
        self._session(None)
        while self._undo:
            self._undo.pop()()

    def _session(self, engine: Engine | None) -> None:
        """A session began or ended, in whatever thread did it."""
        reporter, self.reporter = self.reporter, None
        if reporter is not None:
            reporter.close()
            graphs = sys.modules.get("raykernel.widgets.graph")
            if graphs is not None:  # only if a graph was ever shown
                graphs.close_all()
        if engine is not None:
            self.reporter = Reporter(
                engine,
                self.cells,
                publisher(self.shell, self.cells),
                progress_delay=self.config.progress_delay if self.config.progress else None,
                log=self.config.log_to_cell and api.shows_logs(),
            )
            self.reporter.start()

    def _cell_ended(self, cell: Cell, interrupted: bool) -> None:
        if self.reporter is not None:
            self.reporter.cell_ended(cell, interrupted)


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
        command, _, rest = line.strip().partition(" ")
        if command in ("", "help", "-h", "--help", "?"):
            print(usage())
            return
        if command not in PARSERS:
            close = difflib.get_close_matches(command, PARSERS)
            hint = f"Did you mean '{close[0]}'? " if close else ""
            raise UsageError(
                f"%ray has no command {command!r}. {hint}It has: {', '.join(PARSERS)}."
            )
        if rest.split()[:1] in (["-h"], ["--help"]):
            print(PARSERS[command].format_help().strip())
            return
        getattr(self, f"_{command}")(parse(PARSERS[command], rest))

    ray.__doc__ = f"Start, stop and look at the session that runs tasks.\n\n{usage()}\n"

    @no_var_expand
    @cell_magic
    def remote(self, line: str, cell: str) -> None:
        transformer = self._notebook.transformer
        error, transformer.error = transformer.error, None
        if error is not None:
            raise error
        options = parse_remote(line)
        if cell.strip():
            running = self._notebook.cells.running()
            number = running.number if running is not None else 0
            remote_cell.run_directly(self.shell, number, cell, options)

    remote.__doc__ = (
        f"{REMOTE.format_help().strip()}\n\n"
        "Imports, constants and everything else stay as they are, and so do functions and\n"
        "classes that are remote already, exceptions, enums, dataclasses (attrs, pydantic and\n"
        "msgspec alike), named tuples, typed dictionaries, protocols and abstract classes.\n"
    )

    def _start(self, args: Any) -> None:
        engine = api.engine()
        if engine is not None:
            try:
                print(f"A session is running already. {session_line(engine)}")
                return
            except Exception as error:
                print(f"Session {engine.session} has died ({error}). Starting another.")
                api.shutdown()
        begin = time.perf_counter()
        num_cpus = self._notebook.config.num_cpus if args.num_cpus is None else args.num_cpus
        chosen = {**vars(args), "num_cpus": num_cpus}
        api.init(**{name: value for name, value in chosen.items() if value is not None})
        took = time.perf_counter() - begin
        engine = api.engine()
        assert engine is not None
        print(f"{session_line(engine)} Started in {took:.2f} s.")

    def _stop(self, _args: Any) -> None:
        engine = api.engine()
        if engine is None:
            print("No session is running.")
            return
        name = engine.session
        api.shutdown()
        print(f"Session {name} ended.")

    def _status(self, _args: Any) -> None:
        engine = api.engine()
        if engine is None:
            print(_NO_SESSION)
            return
        try:
            print(status_text(engine))
        except Exception as error:
            print(f"Session {engine.session} has died ({error}). `%ray start` starts another.")

    def _graph(self, args: Any) -> None:
        engine = api.engine()
        if engine is None:
            print(_NO_SESSION)
            return
        cell = ""
        if args.cell is not None:
            found = self._notebook.cells.numbered(args.cell)
            if found is None:
                raise UsageError(f"%ray graph: no cell ran as In[{args.cell}] since %load_ext.")
            cell = found.id
        from raykernel.widgets.graph import GraphView

        view = GraphView(engine, cell)
        if getattr(self.shell, "kernel", None) is None:
            print(view.text())
            view.close()
        else:
            view.show()

    def _timeline(self, args: Any) -> None:
        if api.engine() is None:
            print(_NO_SESSION)
            return
        api.timeline(args.file)
        print(f"Wrote {args.file}: open it in chrome://tracing or https://ui.perfetto.dev.")
