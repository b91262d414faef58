"""`GraphView`: the live task graph in a notebook, and the picture it leaves in the saved file.

What an output holds, and when. A widget needs its kernel: a saved file that still referred to one
would show an error instead of the graph. A picture alone could not be explored. So there are two
forms of the output, and `update_display_data` swaps them in place:

    live      the widget, beside the static forms for programs that know no widgets
    static    SVG, HTML and text only (see svg.py)

    shown ----> live ----- all its tasks ended, and none came for 1 s ----> static
                 ^  `---- a cell ended and no browser has answered ------->   |
                 `------------------------ new tasks -------------------------'

In JupyterLab and Notebook 7 the static form does not end the exploring: the module (graph.js)
finds the static picture in the page and draws the live view in its place, for as long as the
kernel lives. Once it reports that it can, the output stays static in the document for good, so
that the file is right even if it is saved in mid-run, and survives a reload of the page; the
picture in it is refreshed every `REFRESH_EVERY` and when the work comes to rest. (JupyterLab
forgets where displays are when its page is reloaded: from then on the live view still follows,
but the picture in the file stays as it was until the graph is displayed again.) Elsewhere, as in
VS Code and Colab, the two forms alternate. Executed by nbclient, where no browser ever answers,
the end of each cell leaves the static form.

Threads: the engine's IO thread only queues batches; everything else happens in `step`, on the
view's pump or in the kernel's main thread at a cell's end, one at a time under `_turn`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anywidget
import traitlets

from raykernel.runtime.events import EventBatch

from . import svg
from .model import GraphModel
from .picture import SIZES
from .pump import Pump, Step, ThreadPump
from .style import LOOKS

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

IDLE = 1.0  # seconds without live tasks after which work counts as ended
SNAPSHOT_EVERY = 2.0  # seconds; in between, changes travel as deltas
REFRESH_EVERY = 10.0  # seconds, for the static picture behind a live view

WIDGET = "application/vnd.jupyter.widget-view+json"

#: Puts a MIME bundle into the notebook: (data, display_id, whether it replaces an earlier one).
Publish = Callable[[dict[str, Any], str, bool], None]

#: The open view of each session and cell: showing another one ends the first.
_open: dict[tuple[str, str], GraphView] = {}


def close_all() -> None:
    """Settle every open view for good, as when the session ends."""
    for view in list(_open.values()):
        view.close()


class GraphView(anywidget.AnyWidget):
    """The tasks of a session, or of one cell (`cell`), as a graph that follows the work.

    `show()` (or displaying it) puts it into the notebook. `close()` settles it for good.
    """

    _esm = Path(__file__).parent / "graph.js"
    _css = Path(__file__).parent / "graph.css"

    #: Everything to draw, for a page that opens or reloads: see picture.py and model.py.
    snapshot = traitlets.Dict().tag(sync=True)
    #: Names this view where a static picture waits for it.
    view_id = traitlets.Unicode().tag(sync=True)
    #: What the module must draw like: looks of the states in wire order, sizes of the marks.
    style_table = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        engine: Engine,
        cell: str = "",
        *,
        publish: Publish | None = None,
        pump: Callable[[Step], Pump] = ThreadPump,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        style = {"looks": LOOKS, "sizes": SIZES}
        super().__init__(style_table=style, view_id=uuid4().hex)
        self._engine = engine
        self._cell = cell
        self._publish = publish
        self._make_pump = pump
        self._clock = clock
        self._pump: Pump | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._model = GraphModel()
        self._queue: list[EventBatch] = []
        self._queued = threading.Lock()  # guards _queue
        self._turn = threading.RLock()  # guards the model and what follows
        self._shown = False
        self._closed = False
        self._form = ""  # of the output: "" before it is shown, "live", "static"
        self._drawn = -1  # the model's version that was published last
        self._put_at = 0.0
        self._answered = False  # a browser has drawn the widget
        self._in_place = False  # and draws it over the static picture
        self._idle_since: float | None = None
        self._sent_snapshot = 0.0
        self.on_msg(self._hear)

    # -- what magics and people use ------------------------------------------------------------

    def show(self) -> None:
        """Display the graph. In a notebook it stays live; in a terminal it is a text, once."""
        shell = _shell()
        notebook = self._publish is not None or hasattr(shell, "kernel")
        if self._shown:
            self._put(self._form, update=False)
            return
        if not notebook:
            self._recall()
            self._put("static", update=False)
            return
        earlier = _open.get(self._key)
        if earlier is not None:
            earlier.close()
        _open[self._key] = self
        self._shown = True
        self._unsubscribe = self._engine.subscribe(self._receive, self._cell)
        self._recall()
        self._tell(self._clock())
        self._put("live", update=False)
        if shell is not None:
            shell.events.register("post_run_cell", self._cell_ended)
        self._pump = self._make_pump(self.step)
        self._pump.wake()

    def _ipython_display_(self) -> None:
        self.show()

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """The live form; for callers that ask for a bundle instead of displaying."""
        with self._turn:
            return self._bundle("live"), {}

    def text(self) -> str:
        """The graph in words, for a terminal."""
        if not self._shown:
            self._recall()
        with self._turn:
            self._take()
            return svg.text(self._model)

    def settle(self) -> None:
        """Put the static form into the output, whatever is going on."""
        with self._turn:
            self._take()
            self._put("static")

    def close(self) -> None:
        """Settle for good and let go of the engine and the browser. Harmless when repeated."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            if _open.get(self._key) is self:
                del _open[self._key]
        self._unsubscribe()
        if self._pump is not None:
            self._pump.stop()
        if self._shown:
            shell = _shell()
            if shell is not None:
                shell.events.unregister("post_run_cell", self._cell_ended)
            self.settle()
        super().close()

    # -- the work ------------------------------------------------------------------------------

    def step(self, now: float) -> float | None:
        """Take in what came, tell the browser, and swap the output's form if it is time."""
        with self._turn:
            if self._closed:
                return None
            behind = self.snapshot.get("version") != self._model.version
            if self._take():
                self._tell(now)
            elif behind and now - self._sent_snapshot >= SNAPSHOT_EVERY:
                self._tell_all(now)  # for a page that missed the deltas
            if self._model.live:
                self._idle_since = None
            elif self._idle_since is None:
                self._idle_since = now
            rested = self._idle_since is not None and now - self._idle_since >= IDLE
            if rested:
                if self.snapshot.get("version") != self._model.version:
                    self._tell_all(now)
                if self._form != "static" or self._drawn != self._model.version:
                    self._put("static")
                return None
            if self._in_place:
                stale = self._drawn != self._model.version
                if self._form != "static" or (stale and now - self._put_at >= REFRESH_EVERY):
                    self._put("static")
            elif self._form == "static" and self._answered and self._drawn != self._model.version:
                self._put("live")
            return IDLE if self._idle_since is None else IDLE - (now - self._idle_since)

    @property
    def _key(self) -> tuple[str, str]:
        return self._engine.session, self._cell

    def _receive(self, batch: EventBatch) -> None:
        """On the engine's IO thread."""
        with self._queued:
            self._queue.append(batch)
        if self._pump is not None:
            self._pump.wake()

    def _take(self) -> bool:
        """Fold in the queued batches."""
        with self._queued:
            batches, self._queue = self._queue, []
        changed = False
        for batch in batches:
            changed |= self._model.apply(batch)
        return changed

    def _recall(self) -> bool:
        """Ask for all tasks there are: those that ended before, or that fell out of the feed."""
        tasks = self._engine.query("tasks", cell=self._cell)
        with self._turn:
            changed = self._take()
            return self._model.merge(tasks) or changed

    def _tell(self, now: float) -> None:
        """Send the browser what changed: as a delta, or once in a while as a whole."""
        overdue = now - self._sent_snapshot >= SNAPSHOT_EVERY
        delta = None if overdue or not self._model.live else self._model.delta()
        if delta is None:
            self._tell_all(now)
        else:
            self.send(delta)

    def _tell_all(self, now: float) -> None:
        self._sent_snapshot = now
        self.snapshot = self._model.snapshot()

    def _bundle(self, form: str) -> dict[str, Any]:
        data: dict[str, Any] = dict(svg.bundle(self._model, "" if self._closed else self.view_id))
        if form == "live":
            data[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return data

    def _put(self, form: str, update: bool = True) -> None:
        with self._turn:
            self._form, self._drawn, self._put_at = form, self._model.version, self._clock()
            publish = self._publish or _publish
            publish(self._bundle(form), f"raykernel-graph-{self.view_id}", update)

    def _hear(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A browser draws this view: in the widget's place, or over the static picture."""
        if isinstance(content, dict) and content.get("hello"):
            self._answered = True
            self._in_place = self._in_place or content["hello"] == "in place"
            if self._pump is not None:
                self._pump.wake()

    def _cell_ended(self, _result: Any = None) -> None:
        """In the kernel's main thread after a cell, while its output is still being recorded."""
        with self._turn:
            self._take()
            live = self._model.live
        if live:
            # The feed lags a tenth of a second; the cell's own tasks have ended by now.
            try:
                self._recall()
            except Exception:  # whatever an engine raises once its session has ended
                self.close()
        with self._turn:
            if self._closed or (self._drawn == self._model.version and self._form == "static"):
                return
            if self._model.version != self.snapshot.get("version"):
                self._tell_all(self._clock())
            if not self._answered or not self._model.live:
                self._put("static")


def _shell() -> Any:
    """The running IPython shell, None outside."""
    from IPython import get_ipython

    return get_ipython()


def _publish(data: dict[str, Any], display_id: str, update: bool) -> None:
    from IPython.display import display

    display(data, raw=True, display_id=display_id, update=update)
