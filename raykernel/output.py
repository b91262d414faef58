"""Where the output of a cell's tasks goes: under that cell in a kernel, to the terminal else.

A kernel's own `print` and `display` attach output to whatever request runs in their thread. Here
every message carries the header of the cell it belongs to, so it lands there from any thread and
however many cells ran since. Sending only hands the message to ipykernel's IO thread: it never
waits for the network.

An update of a display is found by its `display_id`, not by its header. Front ends accept it at
any time; nbclient only while the cell in its header is the one it waits for. So the last update
of a display is sent once more under the running cell when that is another one.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import uuid
from collections.abc import Callable
from typing import Any, Protocol

from raykernel.cells import CellTracker
from raykernel.widgets.text import line, still_bundle
from raykernel.widgets.work import Snapshot


class ProgressDisplay(Protocol):
    """The progress of one cell on the screen."""

    def update(self, snapshot: Snapshot) -> None: ...

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        """Leave the still form. A later `update` makes it live again."""
        ...


class Publisher(Protocol):
    def stream(self, cell: str, name: str, text: str) -> None:
        """Show task output; `name` is "stdout" or "stderr"."""
        ...

    def progress(self, cell: str, stop: Callable[[], object]) -> ProgressDisplay:
        """Make a display that appears with its first update; its Stop button calls `stop`."""
        ...


def publisher(shell: Any, cells: CellTracker) -> Publisher:
    kernel = getattr(shell, "kernel", None)
    if getattr(kernel, "session", None) is not None and hasattr(kernel, "iopub_socket"):
        return KernelPublisher(kernel, cells)
    return TerminalPublisher(cells)


class KernelPublisher:
    def __init__(self, kernel: Any, cells: CellTracker) -> None:
        self._kernel = kernel
        self.cells = cells

    def send(
        self,
        cell: str,
        msg_type: str,
        content: dict[str, Any],
        topic: bytes = b"",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        parent = {"header": self.cells.get(cell).header}
        self._kernel.session.send(
            self._kernel.iopub_socket,
            msg_type,
            content,
            parent=parent,
            ident=topic or msg_type.encode(),
            metadata=metadata,
        )

    def stream(self, cell: str, name: str, text: str) -> None:
        self.send(cell, "stream", {"name": name, "text": text}, b"stream." + name.encode())

    def progress(self, cell: str, stop: Callable[[], object]) -> ProgressDisplay:
        return WidgetProgress(self, cell, stop)

    def open_comm(self, cell: str, **options: Any) -> Any:
        """A comm whose messages carry the cell's header.

        ipykernel's own looks its parent up in the calling thread's context, which is another
        cell's on its own IO threads and, in ipykernel 7.0, an error on ours.
        """
        from ipykernel.comm.comm import BaseComm

        publish = self

        class CellComm(BaseComm):
            kernel = publish._kernel  # ipywidgets sends nothing where this is None

            def publish_msg(
                self,
                msg_type: str,
                data: Any = None,
                metadata: Any = None,
                buffers: Any = None,
                **keys: Any,
            ) -> None:
                content = {"data": data or {}, "comm_id": self.comm_id, **keys}
                publish.send(cell, msg_type, content, self.topic, metadata or {})

        return CellComm(**options)  # type: ignore[no-untyped-call]  # ipykernel leaves it so


class WidgetProgress:
    """A progress view under its cell: a widget while it is live, then HTML and text."""

    def __init__(self, publish: KernelPublisher, cell: str, stop: Callable[[], object]) -> None:
        self._publish = publish
        self._cell = cell
        self._stop = stop
        self._view: Any = None
        self._display_id = ""

    def update(self, snapshot: Snapshot) -> None:
        if self._view is not None:
            with self._view.hold_sync():
                self._view.snapshot = snapshot.to_json()
                if not snapshot.live:
                    self._view.stopping = False
            return
        from raykernel.widgets.progress import ProgressView

        def open_comm(**options: Any) -> Any:
            return self._publish.open_comm(self._cell, **options)

        self._view = ProgressView(snapshot, self._stop, open_comm)
        first = not self._display_id
        self._display_id = self._display_id or uuid.uuid4().hex
        self._show(self._cell, self._view.bundle(snapshot), update=not first)

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        if self._view is None:
            return
        bundle = still_bundle(snapshot, stopped)
        self._show(self._cell, bundle, update=True)
        running = self._publish.cells.running()
        if running is not None and not self._publish.cells.is_running(self._cell):
            self._show(running.id, bundle, update=True)
        view, self._view = self._view, None
        view.close()

    def _show(self, under: str, bundle: dict[str, Any], *, update: bool) -> None:
        content = {
            "data": bundle,
            "metadata": {},
            "transient": {"display_id": self._display_id},
        }
        kind = "update_display_data" if update else "display_data"
        self._publish.send(under, kind, content, b"display_data")


class TerminalPublisher:
    """Plain text: task output as it comes, progress in one line of stderr."""

    def __init__(self, cells: CellTracker) -> None:
        self._cells = cells
        self._drawn = False

    def stream(self, cell: str, name: str, text: str) -> None:
        self.clear()
        out = sys.stderr if name == "stderr" else sys.stdout
        with contextlib.suppress(ValueError):  # closed: the interpreter ends
            out.write(text)
            out.flush()

    def progress(self, cell: str, stop: Callable[[], object]) -> ProgressDisplay:
        return LineProgress(self)

    def draw(self, text: str) -> None:
        """Rewrite the progress line; only on a terminal, and not while a prompt stands there."""
        if self._cells.running() is None:
            self.clear()
        elif sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[2K{text}")
            sys.stderr.flush()
            self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()
            self._drawn = False


class LineProgress:
    def __init__(self, terminal: TerminalPublisher) -> None:
        self._terminal = terminal
        self._live = False

    def update(self, snapshot: Snapshot) -> None:
        self._live = True
        self._terminal.draw(line(snapshot)[: terminal_width()])

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        if self._live:
            self._live = False
            self._terminal.stream("", "stderr", line(snapshot, stopped) + "\n")


def terminal_width() -> int:
    return shutil.get_terminal_size().columns - 1
