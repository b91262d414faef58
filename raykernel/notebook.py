"""The extension in one shell: all that `%load_ext raykernel` adds, and takes away again.

A `Notebook` follows the session, however it was started: by `%ray start`, by `init`, or by the
first `.remote()`. Whatever is added on loading goes with `on_unload` its own way back.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from raykernel import api, busy_kernel, capture, redefinition, remote_cell, shown_errors, tracebacks
from raykernel.cell_options import parse_remote
from raykernel.cells import Cell, CellTracker
from raykernel.config import RayKernelConfig
from raykernel.displayed import Outputs
from raykernel.heartbeat import keep_awake
from raykernel.home import home_of
from raykernel.interruption import Interruption
from raykernel.loglimit import Limit
from raykernel.output import publisher
from raykernel.own_cells import OwnCells
from raykernel.release import Release
from raykernel.reporter import Reporter
from raykernel.runtime import context
from raykernel.runtime import settings as session_settings
from raykernel.runtime.engines.base import Engine
from raykernel.runtime.session import Home
from raykernel.task_cell import TaskCells


class Notebook:
    """`load` once, `unload` once. Commands of `%ray` are handed it."""

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.config = RayKernelConfig(parent=shell)
        self.config.read_environment(os.environ)
        #: Options given to `%ray start`, for the session it starts.
        self.flags: dict[str, Any] = {}
        #: Whether `%ray start` is at work, which says itself what it did.
        self.starting = False
        self.cells = CellTracker(shell)
        self.release = Release(shell, self.cells)
        self.interruption = Interruption(self.cells, self._cancel_interrupted)
        self.outputs = Outputs(shell)
        self.transformer = remote_cell.RemoteCellTransformer(parse_remote)
        self.task_cells = TaskCells(shell, self._number)
        self.reporter: Reporter | None = None
        self._undo: list[Callable[[], object]] = []

    @property
    def api(self) -> ModuleType:
        """`raykernel.api`; a test puts another in its place."""
        return api

    @property
    def settings(self) -> RayKernelConfig:
        """The options that count now."""
        return self.config.over(self.flags)

    def on_unload(self, undo: Callable[[], object]) -> None:
        """Call `undo` on unloading: the last one registered first."""
        self._undo.append(undo)

    def load(self) -> None:
        shell = self.shell
        self.cells.install()
        self.on_unload(self.cells.remove)
        self.cells.on_start(lambda cell: keep_awake(partial(self.cells.is_running, cell.id)))
        self.cells.on_end(self._cell_ended)
        kernel = getattr(shell, "kernel", None)
        if kernel is not None:
            self.on_unload(busy_kernel.install(kernel, self.cells))

        shell.input_transformers_cleanup.insert(0, remote_cell.magic_line)
        self.on_unload(lambda: shell.input_transformers_cleanup.remove(remote_cell.magic_line))
        shell.ast_transformers.append(self.transformer)
        self.on_unload(lambda: shell.ast_transformers.remove(self.transformer))
        # a bound method is made anew each time it is asked for: this is the one to take away again
        shell.input_transformers_cleanup.insert(0, magic_line := self.task_cells.magic_line)
        self.on_unload(lambda: shell.input_transformers_cleanup.remove(magic_line))
        shell.ast_transformers.append(self.task_cells)
        self.on_unload(lambda: shell.ast_transformers.remove(self.task_cells))
        shell.configurables.append(self.config)
        self.on_unload(lambda: shell.configurables.remove(self.config))

        self.config.observe(lambda _: self._set_limits(), ["capture_warning", "capture_limit"])
        self._set_limits()
        self.on_unload(self._forget_limits)
        redefinition.names = shell.user_ns
        redefinition.epoch = 1
        self.cells.on_start(self._count_cell)
        self.on_unload(self._stop_counting)

        context.home = self._home
        self.on_unload(self._leave_home)
        self.config.observe(self._ttl_changed, "session_ttl")
        self.on_unload(lambda: self.config.unobserve(self._ttl_changed, "session_ttl"))
        session_settings.options = self._worker_options
        self.on_unload(self._default_options)
        self.on_unload(self.outputs.install())
        self.on_unload(tracebacks.install(shell, self.cells))
        self.on_unload(shown_errors.install(shell, self.interruption.struck))
        self.on_unload(self.interruption.install())
        self.on_unload(api.take_over_logs())
        self.on_unload(api.on_session(self._session))
        running = api.engine()
        if running is not None and running.owner and not running.lasting:
            self._settle_down(running)
        self._session(running)

    def _number(self) -> int:
        running = self.cells.running()
        return running.number if running is not None else 0

    def unload(self) -> None:
        self._session(None)
        views = _views()
        if views is not None:
            views.close_all()
        while self._undo:
            self._undo.pop()()

    def _set_limits(self) -> None:
        settings = self.settings
        capture.warning = int(settings.capture_warning * 2**20)
        capture.most = int(settings.capture_limit * 2**20)

    def _forget_limits(self) -> None:
        capture.warning, capture.most = capture.WARNING, capture.MOST

    def _count_cell(self, _cell: Cell) -> None:
        redefinition.epoch += 1

    def _stop_counting(self) -> None:
        redefinition.names, redefinition.epoch = None, 0

    def _home(self) -> tuple[Home, float] | None:
        home = home_of(self.shell)
        return None if home is None else (home, self.settings.session_ttl)

    def _leave_home(self) -> None:
        if context.home == self._home:
            context.home = None

    def to_background(self, cell: str) -> int:
        """Let a cell's work go on whatever is interrupted or ends; how many of its tasks are
        unfinished. Also from a view's button, in any thread."""
        running: Engine | None = self.api.engine()
        return 0 if running is None else running.background(cell)

    def let_go(self, cell: str) -> None:
        """The same, and the cell ends if it runs. From any thread."""
        with contextlib.suppress(Exception):  # the session may end while the button is pressed
            self.to_background(cell)
        self.release.let_go(cell)

    def _cancel_interrupted(self, cell: str) -> None:
        running: Engine | None = self.api.engine()
        if running is not None and cell and not self.cells.is_pardoned(cell):
            with contextlib.suppress(Exception):  # the session is over: so is its work
                running.interrupt_cell(cell)

    def what_is_kept(self) -> str:
        """The names of what a driver finds in a session that it didn't start."""
        kept = self.api.kept()
        return "".join(f"Named {what}: {', '.join(of)}.\n" for what, of in kept.items() if of)

    def _settle_down(self, engine: Engine) -> None:
        """A session of this kernel's is the notebook's: it outlives the kernel."""
        found = self._home()
        if found is not None:
            home, ttl = found
            engine.settle_down(ttl, home.kernel, home.notebook)

    def _ttl_changed(self, _change: Any) -> None:
        running = api.engine()
        if running is not None and running.owner:
            self._settle_down(running)

    def _session(self, engine: Engine | None) -> None:
        """A session began or ended, in whatever thread did it."""
        reporter, self.reporter = self.reporter, None
        if reporter is not None:
            reporter.close()
        views = _views()
        if views is not None:
            views.session_changed(engine)
        if engine is None:
            self.flags = {}
        self._set_limits()
        if engine is not None:
            settings = self.settings
            self.reporter = Reporter(
                engine,
                self.cells,
                publisher(self.shell, self.cells),
                progress_delay=settings.progress_delay if settings.progress else None,
                log=settings.log_to_cell and api.shows_logs(),
                fold=settings.log_fold,
                limit=Limit(
                    settings.log_lines_per_cell,
                    int(settings.log_mib_per_session * 2**20),
                    lambda cell: self.cells.get(cell).number,
                ),
                release=self.let_go,
                own=OwnCells(engine.folder if engine.owner else ""),
            )
            self.reporter.start()
            if engine.came_back and not self.starting:
                print(
                    f"Back in this notebook's session {engine.session}.\n{self.what_is_kept()}",
                    end="",
                )

    def _worker_options(self) -> session_settings.Options:
        """What the workers of a session that begins now are to know."""
        settings = self.settings
        return session_settings.Options(settings.log_lines_per_cell, settings.keep_locals)

    @staticmethod
    def _default_options() -> None:
        session_settings.options = session_settings.Options

    def _cell_ended(self, cell: Cell, interrupted: bool) -> None:
        if self.reporter is not None:
            self.reporter.cell_ended(cell, interrupted)


def _views() -> ModuleType | None:
    """The module of the live views, if one was ever shown."""
    return sys.modules.get("raykernel.widgets.view")
