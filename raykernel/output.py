"""Where the output of a cell's tasks goes: under that cell in a kernel, to the terminal else.

A kernel's own `print` and `display` attach output to whatever request runs in their thread. Here
every message carries the header of the cell it belongs to, so it lands there from any thread and
however many cells ran since. Sending only hands the message to ipykernel's IO thread: it never
waits for the network.

An update of a display is found by its `display_id`, not by its header. Front ends accept it at
any time; nbclient only while the cell in its header is the one it waits for. So the last update
of a display is sent once more under the running cell when that is another one. And what tasks of
an ended cell print in such a run is shown under the running cell, with the cell's number in front,
for elsewhere nobody would ever see it.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import uuid
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from raykernel.cells import Cell, CellTracker
from raykernel.widgets.comm import open_free
from raykernel.widgets.text import line, still_bundle
from raykernel.widgets.work import Snapshot

if TYPE_CHECKING:
    from raykernel.widgets.controls import Controls
    from raykernel.widgets.progress import ProgressView

#: Seconds after which the still form behind a live progress is put anew.
REFRESH_EVERY = 10.0

#: Settled views that a front end can still ask for.
KEPT = 16

_LATE = 1000  # pieces of text that wait for a cell to run


class ProgressDisplay(Protocol):
    """The progress of one cell on the screen."""

    def update(self, snapshot: Snapshot) -> None: ...

    def cell_ended(self, snapshot: Snapshot) -> None:
        """The cell is about to be reported idle, with work left."""
        ...

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        """Leave the still form for good."""
        ...


class Publisher(Protocol):
    def stream(self, cell: str, name: str, text: str) -> None:
        """Show task output; `name` is "stdout" or "stderr"."""
        ...

    def cell_ends(self) -> None:
        """Some cell is about to be reported idle."""
        ...

    def progress(self, cell: str, controls: Controls) -> ProgressDisplay:
        """Make a display that appears with its first update; its buttons are `controls`."""
        ...


def publisher(shell: Any, cells: CellTracker) -> Publisher:
    kernel = getattr(shell, "kernel", None)
    if getattr(kernel, "session", None) is not None and hasattr(kernel, "iopub_socket"):
        return KernelPublisher(kernel, cells)
    return TerminalPublisher(cells)


class KernelPublisher:
    def __init__(self, kernel: Any, cells: CellTracker) -> None:
        self.kernel = kernel
        self.cells = cells
        self._kept: deque[ProgressView] = deque()
        self._late: deque[tuple[Cell, str, str]] = deque(maxlen=_LATE)

    def send(
        self,
        cell: str | None,
        msg_type: str,
        content: dict[str, Any],
        topic: bytes = b"",
        metadata: dict[str, Any] | None = None,
        buffers: Any = None,
    ) -> None:
        """Publish under a cell, or under none at all."""
        self.kernel.session.send(
            self.kernel.iopub_socket,
            msg_type,
            content,
            parent=None if cell is None else {"header": self.cells.get(cell).header},
            ident=topic or msg_type.encode(),
            metadata=metadata,
            buffers=buffers,
        )

    def stream(self, cell: str, name: str, text: str) -> None:
        whose = self.cells.get(cell)
        if whose.headless and not self.cells.listens(cell):
            self._late.append((whose, name, text))
            self.cell_ends()
        else:
            self._stream(cell, name, text)

    def _stream(self, cell: str, name: str, text: str) -> None:
        self.send(cell, "stream", {"name": name, "text": text}, b"stream." + name.encode())

    def cell_ends(self) -> None:
        listening = self.cells.foreground() if self._late else None
        while listening is not None and self._late:
            whose, name, text = self._late.popleft()
            label = f"In[{whose.number}]: " if whose.number else ""
            lines = [label + line for line in text.splitlines(keepends=True)]
            self._stream(listening.id, name, "".join(lines))

    def progress(self, cell: str, controls: Controls) -> ProgressDisplay:
        return WidgetProgress(self, cell, controls)

    def keep(self, view: ProgressView, still: str) -> None:
        """A view is done with. A page that was loaded again while it was live still asks for it,
        perhaps only now: the last ones that were drawn stay to be found."""
        if not view.drawn:
            view.close()
            return
        view.still = still
        self._kept.append(view)
        if len(self._kept) > KEPT:
            self._kept.popleft().close()

    def open_comm(self, **options: Any) -> Any:
        """A comm that belongs to no cell (see widgets/comm.py)."""
        return open_free(self.kernel, **options)


class WidgetProgress:
    """A progress view under its cell: a widget while it is live, then HTML and text.

    A front end that draws the widget says so; one that can draw it over the still form gets that
    alone, so that a file saved meanwhile refers to no widget. Where none has drawn it by the end of
    the cell, the still form is put there for the time being: it may be all that a headless run ever
    records.
    """

    def __init__(self, publish: KernelPublisher, cell: str, controls: Controls) -> None:
        self._publish = publish
        self._cell = cell
        self._controls = controls
        self._view: ProgressView | None = None
        self._still = False
        self._refreshed: float | None = None  # when the still form behind it was put
        self._display_id = uuid.uuid4().hex

    def update(self, snapshot: Snapshot) -> None:
        if self._view is None:
            from raykernel.widgets.progress import ProgressView

            self._view = ProgressView(snapshot, self._controls, self._publish.open_comm)
            self._show(self._cell, self._view.bundle(snapshot), update=False)
            return
        with self._view.hold_sync():
            self._view.snapshot = snapshot.to_json()
            if not snapshot.live:
                self._view.stopping = False
        if self._view.in_place:
            since = None if self._refreshed is None else snapshot.elapsed - self._refreshed
            if since is None or since >= REFRESH_EVERY:
                self._refreshed = snapshot.elapsed
                self._show(self._cell, self._view.still_form(snapshot))
        elif self._still and self._view.drawn:
            self._still = False
            self._show(self._cell, self._view.bundle(snapshot))

    def cell_ended(self, snapshot: Snapshot) -> None:
        if self._view is not None and not self._view.drawn:
            self._still = True
            self._show(self._cell, still_bundle(snapshot))

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        if self._view is None:
            return
        bundle = still_bundle(snapshot, stopped)
        self._show(self._cell, bundle)
        waited_for = self._publish.cells.foreground()
        if waited_for is not None and waited_for.id != self._cell:
            self._show(waited_for.id, bundle)
        view, self._view = self._view, None
        self._publish.keep(view, bundle["text/html"])

    def _show(self, under: str, bundle: dict[str, Any], *, update: bool = True) -> None:
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

    def cell_ends(self) -> None:
        """Nothing to do: a terminal takes text at any time."""

    def progress(self, cell: str, controls: Controls) -> ProgressDisplay:
        return LineProgress(self)

    def draw(self, text: str) -> None:
        """Rewrite the progress line; only on a terminal, and not while a prompt stands there."""
        if self._cells.running() is not None and sys.stderr.isatty():
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

    def cell_ended(self, snapshot: Snapshot) -> None:
        self._terminal.clear()

    def settle(self, snapshot: Snapshot, stopped: bool = False) -> None:
        if self._live:
            self._live = False
            self._terminal.stream("", "stderr", line(snapshot, stopped) + "\n")


def terminal_width() -> int:
    return shutil.get_terminal_size().columns - 1
