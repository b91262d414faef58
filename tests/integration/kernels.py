"""A real kernel to run cells in, that keeps every message it published."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.manager import KernelManager
from jupyter_core.utils import ensure_event_loop

Message = dict[str, Any]
WIDGET = "application/vnd.jupyter.widget-view+json"
PATIENCE = 60.0

#: jupyter_client and nbclient keep one event loop per process. Made here, before any test, it is
#: no test's leak.
LOOP = ensure_event_loop()


class Kernel:
    """`messages` holds all that came over IOPub, in order. Cells are known by their request."""

    def __init__(self, manager: KernelManager) -> None:
        self.manager = manager
        self._connect()
        self.messages: list[Message] = []

    def restart(self, crash: bool = False) -> None:
        """Restart the kernel: as a person does, or as Jupyter does when it has crashed."""
        self.client.stop_channels()
        if crash:
            os.kill(self.manager.provisioner.pid, signal.SIGKILL)  # type: ignore[union-attr]
        self.manager.restart_kernel(now=crash)
        self.messages.clear()  # a new client numbers its requests from the beginning
        self._connect()

    def _connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=PATIENCE)

    def send(self, code: str) -> str:
        """Ask for a cell to be run; returns its id."""
        return str(self.client.execute(code))

    def run(self, code: str) -> str:
        """Run a cell to its end; raises if it fails."""
        cell = self.send(code)
        error = self.finish(cell)
        if error is not None:
            raise AssertionError(f"the cell failed: {error}\n{self.text(cell)}")
        return cell

    def finish(self, cell: str) -> Message | None:
        """Wait until the cell is idle; returns its error's content, None if there is none."""
        self.until(lambda: any(_is_idle(m) for m in self.of(cell)))
        return next((m["content"] for m in self.of(cell, "error")), None)

    def converse(self, code: str, *answers: str) -> str:
        """Run a cell that asks for input, once for each answer; returns its id."""
        cell = str(self.client.execute(code, allow_stdin=True))
        for answer in answers:
            message = self.client.get_stdin_msg(timeout=PATIENCE)
            assert message["msg_type"] == "input_request", message
            self.client.input(answer)
        self.finish(cell)
        return cell

    def until(self, fulfilled: Callable[[], Any], patience: float = PATIENCE) -> Any:
        """Take in messages until the condition holds; returns its value."""
        end = time.monotonic() + patience
        while not (value := fulfilled()):
            left = end - time.monotonic()
            if left <= 0:
                seen = "\n".join(
                    f"{m['msg_type']}: {str(m['content'])[:300]}" for m in self.messages
                )
                raise AssertionError(f"it did not come to pass in {patience} s; seen:\n{seen}")
            if self.client.iopub_channel.socket.poll(min(left, 1.0) * 1000):
                self.messages.append(self.client.get_iopub_msg(timeout=1))
        return value

    def of(self, cell: str, *types: str) -> list[Message]:
        """A cell's messages, of some types only if any are given."""
        return [
            m
            for m in self.messages
            if m["parent_header"].get("msg_id") == cell and (not types or m["msg_type"] in types)
        ]

    def text(self, cell: str, name: str = "stdout") -> str:
        """What a cell printed."""
        return "".join(
            m["content"]["text"] for m in self.of(cell, "stream") if m["content"]["name"] == name
        )

    def value(self, cell: str) -> str:
        """The text of the value of a cell's last line."""
        (message,) = self.of(cell, "execute_result")
        return str(message["content"]["data"]["text/plain"])

    def displays(self, cell: str) -> list[dict[str, Any]]:
        """What the cell's displays show in the end, updates from anywhere applied."""
        shown: dict[str, dict[str, Any]] = {}
        for m in self.of(cell, "display_data"):
            key = m["content"].get("transient", {}).get("display_id", m["header"]["msg_id"])
            shown[key] = m["content"]["data"]
        for m in self.messages:
            if m["msg_type"] == "update_display_data":
                key = m["content"]["transient"]["display_id"]
                if key in shown:
                    shown[key] = m["content"]["data"]
        return list(shown.values())

    def press(self, model: str, content: Any) -> None:
        """Send a widget's model a message, as its view in a front end does."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": model, "data": data})
        self.client.shell_channel.send(message)


def _is_idle(message: Message) -> bool:
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"


@contextmanager
def kernel(session_ttl: float = 0.0, **environment: str) -> Iterator[Kernel]:
    """A kernel of this Python, ended with all it started, and its session with it unless that has
    a time to live."""
    manager = KernelManager(kernel_name="python3")
    manager.kernel_spec.argv[0] = sys.executable
    with run_kernel(manager, session_ttl, **environment) as made:
        yield made


@contextmanager
def run_kernel(
    manager: KernelManager, session_ttl: float = 0.0, **environment: str
) -> Iterator[Kernel]:
    """The same with any kernel."""
    # Quiet and quick: no history file, no compiled-module warnings of the debugger.
    manager.start_kernel(
        extra_arguments=["--HistoryManager.enabled=False"],
        env={**os.environ, "RAYKERNEL_SESSION_TTL": str(session_ttl), **environment},
    )
    try:
        made = Kernel(manager)
        try:
            yield made
        finally:
            made.client.stop_channels()
    finally:
        manager.shutdown_kernel()
