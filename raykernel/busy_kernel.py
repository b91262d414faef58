"""A kernel whose views live while a cell runs, also on a page that was loaded in mid-run.

    page --> shell channel's thread --> main thread, which is in the cell
                       `--> a subshell, while a cell runs: who the kernel is, what widgets there
                            are, and what is said to raykernel's views

JupyterLab and Notebook 7 ask a kernel who it is before anything else, and for its widgets next.
ipykernel would have the main thread answer, once the cell has ended: till then a page that is
loaded again shows no view. And a front end that knows nothing of subshells sends every press of a
button that way. So these requests are sent on to a subshell of our own, marked as meant for it, as
a front end that knows subshells would mark them. All others go their usual way.

Needs the thread that ipykernel has from version 7 on. With an earlier one, views answer and come
back when the cell has ended.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raykernel.cells import CellTracker
from raykernel.widgets.comm import is_free

#: The target of the comm over which a front end asks ipywidgets for all widgets there are.
ALL_WIDGETS = "jupyter.widget.control"


def install(kernel: Any, cells: CellTracker) -> Callable[[], None]:
    """Let the kernel hear while one of `cells` runs; returns what ends it."""
    thread = getattr(kernel, "shell_channel_thread", None)
    if thread is None or getattr(kernel, "shell_stream", None) is None or kernel.session is None:
        return lambda: None
    return BusyKernel(kernel, cells).install()


class BusyKernel:
    """All but `install` happens in the shell channel's thread."""

    def __init__(self, kernel: Any, cells: CellTracker) -> None:
        self._kernel = kernel
        self._cells = cells
        self._usual = kernel.shell_channel_thread_main
        self._subshell = ""
        self._asking: set[str] = set()  # comms over which front ends ask for all widgets

    def install(self) -> Callable[[], None]:
        hear = self._hear
        self._listen(hear)

        def leave() -> None:
            if self._kernel.shell_channel_thread_main is hear:
                self._listen(self._usual)
                self._kernel.shell_channel_thread.io_loop.add_callback(self._end_subshell)

        return leave

    def _listen(self, hear: Callable[[Any], Any]) -> None:
        kernel = self._kernel
        # The kernel may be about to start, and then takes the method; or hears by now.
        kernel.shell_channel_thread_main = hear
        kernel.shell_channel_thread.io_loop.add_callback(
            kernel.shell_stream.on_recv, hear, copy=False
        )

    async def _hear(self, frames: Any) -> None:
        running = self._cells.running()
        if running is not None:
            try:
                sent_on = self._send_on(frames)
            except Exception:  # what can't be read, or a kernel without subshells
                sent_on = ""
            if sent_on == "kernel_info_request":  # a page that has just come
                self._kernel.session.send(
                    self._kernel.iopub_socket,
                    "status",
                    {"execution_state": "busy"},
                    parent={"header": running.header},
                    ident=b"status",
                )
            if sent_on:
                return
        await self._usual(frames)

    def _send_on(self, frames: Any) -> str:
        """Hand a message to the subshell if it is one of those; returns its type, else ""."""
        session = self._kernel.session
        identities, rest = session.feed_identities(frames, copy=False)
        peeked = session.deserialize(rest, content=False, copy=False)
        kind = str(peeked["header"]["msg_type"])
        if peeked["header"].get("subshell_id") or not self._is_for_subshell(
            kind, session.unpack(peeked["content"])
        ):
            return ""
        manager = self._kernel.shell_channel_thread.manager
        if self._subshell not in manager.list_subshell():
            self._subshell = manager._create_subshell()
        socket = manager.get_shell_channel_to_subshell_socket(self._subshell)
        message = session.deserialize(rest, copy=False)
        message["header"]["subshell_id"] = self._subshell
        socket.send_multipart([*session.serialize(message, identities), *message["buffers"]])
        return kind

    def _is_for_subshell(self, kind: str, content: dict[str, Any]) -> bool:
        comm = content.get("comm_id", "")
        if kind == "comm_open" and content.get("target_name") == ALL_WIDGETS:
            self._asking.add(comm)
            return True
        if kind == "comm_close" and comm in self._asking:
            self._asking.discard(comm)
            return True
        if kind == "comm_msg":
            return comm in self._asking or is_free(self._kernel.comm_manager.comms.get(comm))
        return kind == "kernel_info_request"

    def _end_subshell(self) -> None:
        manager = self._kernel.shell_channel_thread.manager
        if self._subshell in manager.list_subshell():
            manager._delete_subshell(self._subshell)
