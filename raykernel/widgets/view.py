"""`LiveView`: a view in a notebook while work runs, and the picture it leaves in the saved file.

What an output holds, and when. A widget needs its kernel: a saved file that still referred to one
would show an error instead of the view. A picture alone could not be explored. So there are two
forms of the output, and `update_display_data` swaps them in place:

    live      the widget, beside the static forms for programs that know no widgets
    static    SVG, HTML and text only

    shown ----> live ----- all its tasks ended, and none came for 1 s ----> static
                 ^  `---- a cell ended and no browser has answered ------->   |
                 `------------------------ new tasks -------------------------'

In JupyterLab and Notebook 7 the static form does not end the exploring: the module (host.js)
finds the static form in the page and draws the live view in its place, for as long as the
kernel lives. Once it reports that it can, the output stays static in the document for good, so
that the file is right even if it is saved in mid-run, and survives a reload of the page; the
form in it is refreshed every `REFRESH_EVERY` and when the work comes to rest. (JupyterLab
forgets where displays are when its page is reloaded: from then on the live view still follows,
but the form in the file stays as it was until the view is displayed again.) Elsewhere, as in
VS Code and Colab, the two forms alternate. Executed by nbclient, where no browser ever answers,
the end of each cell leaves the static form.

A view that is shown before there is a session waits for one, and fills when it starts.

Threads: the engine's IO thread only queues; everything else happens in `step`, on the view's pump,
in the kernel's main thread at a cell's end, or where comm messages are handled, one at a time
under `_turn`. What goes to the browser is held to `BYTES_PER_SECOND`: who sent a lot is silent for
as long as it would take to send it at that rate.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anywidget
import traitlets

from raykernel.runtime.events import EventBatch, LogLine

from .comm import open_free
from .pump import Pump, Step, ThreadPump
from .subject import Subject, reply, style_table

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

IDLE = 1.0  # seconds without live tasks after which work counts as ended
SNAPSHOT_EVERY = 2.0  # seconds; in between, changes travel as deltas
REFRESH_EVERY = 10.0  # seconds, for the static form behind a live view
LOOKED_AT = 12.0  # seconds for which a browser's word that it shows the view holds
BYTES_PER_SECOND = 150 * 1024

WIDGET = "application/vnd.jupyter.widget-view+json"

#: Puts a MIME bundle into the notebook: (data, display_id, whether it replaces an earlier one).
Publish = Callable[[dict[str, Any], str, bool], None]

#: The open views by what they show: showing the same again ends the first.
_open: dict[tuple[str, ...], LiveView] = {}


def close_all() -> None:
    """Settle every open view for good, as when the extension goes."""
    for view in list(_open.values()):
        view.close()


def session_changed(engine: Engine | None) -> None:
    """A session began (`engine`) or ended: views follow it, wait for it, or settle for good."""
    for view in list(_open.values()):
        view.follow(engine)


class LiveView(anywidget.AnyWidget):
    """A subject, drawn by the module and the style sheet of its kind.

    `show()` (or displaying it) puts it into the notebook. `close()` settles it for good.
    """

    comm: Any
    # A layout would be a model of its own, with a comm that ipywidgets opens under any cell.
    layout = traitlets.Any(None, allow_none=True).tag(sync=True)
    #: Everything to draw, for a page that opens or reloads: see the subject's `snapshot`.
    snapshot = traitlets.Dict().tag(sync=True)
    #: Names this view where a static form waits for it.
    view_id = traitlets.Unicode().tag(sync=True)
    #: What the module must draw like: see `subject.style_table`.
    style_table = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        subject: Subject,
        engine: Engine | None,
        cell: str = "",
        *,
        style: dict[str, Any] | None = None,
        publish: Publish | None = None,
        pump: Callable[[Step], Pump] = ThreadPump,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(style_table=style_table(**(style or {})), view_id=uuid4().hex)
        self._engine = engine
        self._cell = cell
        self._publish = publish
        self._make_pump = pump
        self._clock = clock
        self._pump: Pump | None = None
        self._undo: list[Callable[[], None]] = []
        self._model = subject
        self._queue: list[EventBatch] = []
        self._lines: list[LogLine] = []
        self._queued = threading.Lock()  # guards the two
        self._turn = threading.RLock()  # guards the model and what follows
        self._shown = False
        self._closed = False
        self._form = ""  # of the output: "" before it is shown, "live", "static"
        self._drawn = -1  # the model's version that was published last
        self._put_at = 0.0
        self._answered = False  # a browser has drawn the widget
        self._in_place = False  # and draws it over the static form
        self._looked_at = -1e9  # when a browser last said that it shows the view
        self._polled_at = -1e9
        self._idle_since: float | None = None
        self._sent_snapshot = 0.0
        self._quiet_until = 0.0
        self._behind = False  # changes that no message has told yet
        self._key = (subject.kind, "" if engine is None else engine.session, cell)
        self.on_msg(self._hear)

    def open(self) -> None:
        shell = _shell()
        kernel = getattr(shell, "kernel", None)
        if self.comm is not None:
            return
        if getattr(kernel, "iopub_socket", None) is None:
            super().open()
            return
        import ipywidgets

        self.comm = open_free(
            kernel,
            target_name="jupyter.widget",
            data={"state": self.get_state(), "buffer_paths": []},
            metadata={"version": ipywidgets.__protocol_version__},
        )

    # -- what magics and people use ------------------------------------------------------------

    def show(self) -> None:
        """Display the view. In a notebook it stays live; in a terminal it is a text, once."""
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
        try:
            self._join()
        except BaseException:  # the session is gone: nothing was displayed yet
            self._shown = False
            self.close()
            raise
        self._tell_all(self._clock())
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
        """The view in words, for a terminal."""
        if not self._shown:
            self._recall()
        with self._turn:
            self._take()
            return self._model.bundle()["text/plain"]

    def settle(self) -> None:
        """Put the static form into the output, whatever is going on."""
        with self._turn:
            self._take()
            self._put("static")

    def follow(self, engine: Engine | None) -> None:
        """The session changed. A view of tasks belongs to the one it was filled from."""
        if self._engine is engine:
            return
        if self._engine is not None and self._model.rests:
            self.close()
            return
        with self._turn:
            self._leave()
            self._engine = engine
            if engine is None:
                self._model.poll(None)
                self._tell_all(self._clock())
                self._put(self._form or "live")
                return
            _open.pop(self._key, None)
            self._key = (self._key[0], engine.session, self._cell)
            _open[self._key] = self
            self._join()
            self._tell_all(self._clock())
        if self._pump is not None:
            self._pump.wake()

    def close(self) -> None:
        """Settle for good and let go of the engine and the browser. Harmless when repeated."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            if _open.get(self._key) is self:
                del _open[self._key]
        self._leave()
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
            changed = self._take()
            wait = self._poll(now)
            if changed or self._behind:
                self._tell(now)
            elif behind and now - self._sent_snapshot >= SNAPSHOT_EVERY:
                self._tell_all(now)  # for a page that missed the deltas
            if self._model.live or not self._model.rests:
                self._idle_since = None
            elif self._idle_since is None:
                self._idle_since = now
            rested = self._idle_since is not None and now - self._idle_since >= IDLE
            if rested:
                if self.snapshot.get("version") != self._model.version:
                    self._tell_all(now)
                if self._form != "static" or self._drawn != self._model.version:
                    self._put("static")
                return wait
            if self._in_place:
                stale = self._drawn != self._model.version
                if self._form != "static" or (stale and now - self._put_at >= REFRESH_EVERY):
                    self._put("static")
            elif self._form == "static" and self._answered and self._drawn != self._model.version:
                self._put("live")
            if self._behind:
                wait = min(self._quiet_until - now, 1.0 if wait is None else wait)
            again = IDLE if self._idle_since is None else IDLE - (now - self._idle_since)
            return again if wait is None else min(again, wait)

    def _poll(self, now: float) -> float | None:
        """Ask the engine, while somebody looks; seconds until it is time again."""
        every = self._model.poll_every
        if not every or self._engine is None or now - self._looked_at > LOOKED_AT:
            return None
        if now - self._polled_at >= every:
            self._polled_at = now
            try:
                self._behind |= self._model.poll(self._engine)
            except Exception:  # whatever an engine raises once its session has ended
                return None
        return max(0.05, self._polled_at + every - now)

    def _join(self) -> None:
        """Subscribe, and ask for what there is."""
        engine = self._engine
        if engine is None:
            return
        self._undo.append(engine.subscribe(self._receive, self._cell))
        if self._model.listens:
            self._undo.append(engine.on_log(self._receive_line))
        self._recall()

    def _leave(self) -> None:
        while self._undo:
            self._undo.pop()()

    def _receive(self, batch: EventBatch) -> None:
        """On the engine's IO thread."""
        with self._queued:
            self._queue.append(batch)
        if self._pump is not None:
            self._pump.wake()

    def _receive_line(self, line: LogLine) -> None:
        """On the engine's IO thread."""
        with self._queued:
            self._lines.append(line)
        if self._pump is not None:
            self._pump.wake()

    def _take(self) -> bool:
        """Fold in the queued batches."""
        with self._queued:
            batches, self._queue = self._queue, []
            lines, self._lines = self._lines, []
        changed = False
        for batch in batches:
            changed |= self._model.apply(batch)
        if lines:
            changed |= self._model.hear(lines)
        return changed

    def _recall(self) -> bool:
        """Ask for all tasks there are: those that ended before, or that fell out of the feed."""
        if self._engine is None:
            return False
        tasks = self._engine.query("tasks", cell=self._cell)
        with self._turn:
            changed = self._take()
            changed |= self._model.merge(tasks)
            if self._model.poll_every:
                changed |= self._model.poll(self._engine)
            return changed

    def _tell(self, now: float) -> None:
        """Send the browser what changed: as a delta, or once in a while as a whole."""
        if now < self._quiet_until:
            self._behind = True
            return
        overdue = now - self._sent_snapshot >= SNAPSHOT_EVERY
        delta = None if overdue or not self._model.live else self._model.delta()
        if delta is None:
            self._tell_all(now)
        else:
            self._behind = False
            self._spend(now, delta)
            self.send(delta)

    def _tell_all(self, now: float) -> None:
        self._sent_snapshot = now
        self._behind = False
        snapshot = self._model.snapshot()
        self._spend(now, snapshot)
        self.snapshot = snapshot

    def _spend(self, now: float, message: dict[str, Any]) -> None:
        size = len(json.dumps(message, separators=(",", ":")))
        self._quiet_until = now + size / BYTES_PER_SECOND

    def _bundle(self, form: str) -> dict[str, Any]:
        data: dict[str, Any] = dict(self._model.bundle("" if self._closed else self.view_id))
        if form == "live":
            data[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return data

    def _put(self, form: str, update: bool = True) -> None:
        with self._turn:
            self._form, self._drawn, self._put_at = form, self._model.version, self._clock()
            publish = self._publish or _publish
            publish(self._bundle(form), f"raykernel-{self._model.kind}-{self.view_id}", update)

    def _hear(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A browser draws this view, in the widget's place or over the static form; or asks."""
        if not isinstance(content, dict):
            return
        if content.get("hello"):
            self._answered = True
            self._in_place = self._in_place or content["hello"] == "in place"
        if content.get("seen") or content.get("hello"):
            self._looked_at = self._clock()
        if content.get("ask"):
            with self._turn:
                told = reply(self._model, content, self._engine)
                self._behind |= self._drawn != self._model.version
                self._polled_at = -1e9  # what was done should show at once
            self.send(told)
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
            if not self._answered or not (self._model.live or not self._model.rests):
                self._put("static")


def _shell() -> Any:
    """The running IPython shell, None outside."""
    from IPython import get_ipython

    return get_ipython()


def _publish(data: dict[str, Any], display_id: str, update: bool) -> None:
    from IPython.display import display

    display(data, raw=True, display_id=display_id, update=update)
