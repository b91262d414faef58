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
under `_turn`. What is told to the browser, and when, is follower.py's business.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import anywidget
import traitlets

from .comm import open_free
from .follower import Follower
from .pump import Pump, Step, ThreadPump
from .subject import Subject, style_table

if TYPE_CHECKING:
    from raykernel.runtime.engines.base import Engine

IDLE = 1.0  # seconds without live tasks after which work counts as ended
REFRESH_EVERY = 10.0  # seconds, for the static form behind a live view

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
        variant: str = "",
        style: dict[str, Any] | None = None,
        publish: Publish | None = None,
        pump: Callable[[Step], Pump] = ThreadPump,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(style_table=style_table(stops=True, **(style or {})), view_id=uuid4().hex)
        self._cell = cell
        self._publish = publish
        self._make_pump = pump
        self._clock = clock
        self._pump: Pump | None = None
        self._model = subject
        self._follower = Follower(
            subject, engine, cell, send=lambda message: self.send(message), snap=self._snap,
            wake=self._wake,
        )  # fmt: skip
        self._turn = threading.RLock()  # guards the model and what follows
        self._shown = False
        self._closed = False
        self._form = ""  # of the output: "" before it is shown, "live", "static"
        self._drawn = -1  # the model's version that was published last
        self._put_at = 0.0
        self._answered = False  # a browser has drawn the widget
        self._in_place = False  # and draws it over the static form
        self._idle_since: float | None = None
        self._seen = -1  # the model's version at the last step
        # `variant` tells views of a kind apart that show different things
        self._key = (subject.kind, "" if engine is None else engine.session, cell, variant)
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
        if self._publish is None and shell is not None:
            self._publish = partial(_publish, shell.display_pub)
        try:
            self._follower.join()
        except BaseException:  # the session is gone: nothing was displayed yet
            self._shown = False
            self.close()
            raise
        self._follower.tell_all(self._clock())
        self._put("live", update=False)
        if shell is not None:
            shell.events.register("post_run_cell", self._cell_ended)
        self._pump = self._make_pump(self.step)
        self._wake()

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
            self._follower.take_in()
            return self._model.bundle()["text/plain"]

    def settle(self) -> None:
        """Put the static form into the output, whatever is going on."""
        with self._turn:
            self._follower.take_in()
            self._put("static")

    def follow(self, engine: Engine | None) -> None:
        """The session changed. A view of tasks belongs to the one it was filled from."""
        if self._follower.engine is engine:
            return
        if self._follower.engine is not None and self._model.rests:
            self.close()
            return
        with self._turn:
            self._follower.leave()
            self._follower.engine = engine
            if engine is None:
                self._model.poll(None)
                self._follower.tell_all(self._clock())
                self._put("static")  # what was seen last is what the file keeps
                return
            _open.pop(self._key, None)
            self._key = (self._key[0], engine.session, *self._key[2:])
            _open[self._key] = self
            self._follower.join()
            self._follower.tell_all(self._clock())
        self._wake()

    def close(self) -> None:
        """Settle for good and let go of the engine and the browser. Harmless when repeated."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            if _open.get(self._key) is self:
                del _open[self._key]
        self._follower.leave()
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
            wait = self._follower.turn(now)
            if self._model.live or not self._model.rests:
                self._idle_since = None
            elif self._idle_since is None or self._seen != self._model.version:
                self._idle_since = now  # also after tasks that were over before they were told of
            self._seen = self._model.version
            rested = self._idle_since is not None and now - self._idle_since >= IDLE
            if rested:
                if self._model.poll_every and self._form != "static":
                    self._follower.look()  # nobody may have looked for a while
                if self._follower.snapped != self._model.version:
                    self._follower.tell_all(now)
                if self._form != "static" or self._drawn != self._model.version:
                    self._put("static")
                return wait if self._model.poll_every else None
            if self._in_place:
                stale = self._drawn != self._model.version
                if self._form != "static" or (stale and now - self._put_at >= REFRESH_EVERY):
                    self._put("static")
            elif self._form == "static" and self._answered and self._drawn != self._model.version:
                self._put("live")
            again = IDLE if self._idle_since is None else IDLE - (now - self._idle_since)
            return again if wait is None else min(again, wait)

    def _wake(self) -> None:
        if self._pump is not None:
            self._pump.wake()

    def _snap(self, snapshot: dict[str, Any]) -> None:
        self.snapshot = snapshot

    def _recall(self) -> bool:
        with self._turn:
            return self._follower.recall()

    def _bundle(self, form: str) -> dict[str, Any]:
        data: dict[str, Any] = dict(self._model.bundle("" if self._closed else self.view_id))
        if form == "live":
            data[WIDGET] = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return data

    def _put(self, form: str, update: bool = True) -> None:
        with self._turn:
            self._form, self._drawn, self._put_at = form, self._model.version, self._clock()
            bundle = self._bundle(form)
            self._follower.spend(self._put_at, bundle)
            publish = self._publish or partial(_publish, _shell().display_pub)
            publish(bundle, f"raykernel-{self._model.kind}-{self.view_id}", update)

    def _hear(self, _widget: Any, content: Any, _buffers: Any) -> None:
        """A browser draws this view, in the widget's place or over the static form; or asks."""
        if not isinstance(content, dict):
            return
        if content.get("hello"):
            self._answered = True
            self._in_place = self._in_place or content["hello"] == "in place"
        with self._turn:
            self._follower.looked_at(self._clock())
            if content.get("ask"):
                self._follower.answer(content)
        self._wake()

    def _cell_ended(self, _result: Any = None) -> None:
        """In the kernel's main thread after a cell, while its output is still being recorded."""
        with self._turn:
            self._follower.take_in()
            live = self._model.live
        if live or self._model.poll_every:
            # The feed lags a tenth of a second; the cell's own tasks have ended by now.
            try:
                self._recall()
            except Exception:  # whatever an engine raises once its session has ended
                if self._model.rests:
                    self.close()
        with self._turn:
            if self._closed or (self._drawn == self._model.version and self._form == "static"):
                return
            if self._model.version != self._follower.snapped:
                self._follower.tell_all(self._clock())
            if not self._answered or not (self._model.live or not self._model.rests):
                self._put("static")


def _shell() -> Any:
    """The running IPython shell, None outside."""
    from IPython import get_ipython

    return get_ipython()


def _publish(publisher: Any, data: dict[str, Any], display_id: str, update: bool) -> None:
    """By the publisher of the time when the view was shown: that of a later cell may belong to a
    `%%capture`."""
    publisher.publish(data, metadata={}, transient={"display_id": display_id}, update=update)
