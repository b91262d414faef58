"""The progress of one cell's tasks: the live view, and the still one that stays in the file.

`ProgressView` draws nothing by itself: `progress.js` draws the last `Snapshot` it was handed.
When the work is done its still form (`text.py`) replaces it. In JupyterLab and Notebook 7 it is
drawn over the still form all along (place.js), so that a file saved in mid-run refers to no widget.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import anywidget
import ipywidgets
import traitlets

from raykernel.widgets.controls import Controls
from raykernel.widgets.modules import bundle, coloured
from raykernel.widgets.text import still_bundle
from raykernel.widgets.work import Snapshot

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


class ProgressView(anywidget.AnyWidget):
    """`open_comm(target_name=, data=, metadata=)` makes the view's channel to the front end;
    without one ipywidgets does. `drawn` turns true once a front end has drawn the view, `in_place`
    once one says that it can do so over the still form.
    """

    _esm = bundle("progress.js")
    _css = coloured("progress.css")

    comm: Any
    # A layout would be a model of its own, with a comm that ipywidgets opens under any cell.
    layout = traitlets.Any(None, allow_none=True).tag(sync=True)
    snapshot = traitlets.Dict().tag(sync=True)
    stopping = traitlets.Bool(False).tag(sync=True)
    background = traitlets.Bool(False).tag(sync=True)
    #: Names this view where a still form waits for it.
    view_id = traitlets.Unicode().tag(sync=True)
    #: The still form, once there is one, for a page that was loaded again in the meantime.
    still = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        snapshot: Snapshot,
        controls: Controls,
        open_comm: Callable[..., Any] | None = None,
    ) -> None:
        self._open_comm = open_comm
        self._controls = controls
        self.drawn = False
        self.in_place = False
        super().__init__(snapshot=snapshot.to_json(), view_id=uuid4().hex)
        self.on_msg(self._message)

    def open(self) -> None:
        if self._open_comm is None:
            super().open()
        elif self.comm is None:
            self.comm = self._open_comm(
                target_name="jupyter.widget",
                data={"state": self.get_state(), "buffer_paths": []},
                metadata={"version": ipywidgets.__protocol_version__},
            )

    def bundle(self, snapshot: Snapshot) -> dict[str, Any]:
        """The view as a display bundle, with its still forms for front ends without widgets."""
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        return {WIDGET_MIME: view, **self.still_form(snapshot)}

    def still_form(self, snapshot: Snapshot) -> dict[str, str]:
        """The still forms alone, in whose place it is drawn."""
        return still_bundle(snapshot, view=self.view_id)

    def _message(self, _widget: object, content: Any, _buffers: object) -> None:
        kind = content.get("type") if isinstance(content, dict) else None
        if isinstance(content, dict) and content.get("hello") == "in place":
            self.in_place = True
        self.drawn = True  # whatever it says: the first message may have to wait for the cell
        if kind == "stop" and not self.stopping:
            self.stopping = True
            self._controls.stop()
        elif kind == "background" and not self.background:
            self.background = True
            self._controls.background()
        elif kind == "explain" and isinstance(content.get("task"), str):
            task = content["task"]
            text = self._controls.explain(task)
            self.send({"type": "explained", "task": task, "text": text})
