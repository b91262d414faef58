"""Under which header a kernel's output is published, and what a terminal gets."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from typing import Any

import pytest

from raykernel.cells import Cell
from raykernel.output import KernelPublisher, TerminalPublisher, publisher
from raykernel.runtime.events import FINISHED, RUNNING, TaskInfo
from raykernel.widgets.controls import Controls
from raykernel.widgets.progress import WIDGET_MIME
from raykernel.widgets.work import CellWork, Snapshot


class Session:
    def __init__(self) -> None:
        self.sent: list[tuple[str, str, dict[str, Any]]] = []

    def send(self, socket: object, kind: str, content: Any, parent: Any, **_: Any) -> None:
        self.sent.append((parent["header"]["msg_id"] if parent else "", kind, content))

    def kinds(self) -> list[tuple[str, str]]:
        return [(parent, kind) for parent, kind, _ in self.sent]


class Kernel:
    def __init__(self) -> None:
        self.session = Session()
        self.iopub_socket = object()


class Cells:
    """Stands for a CellTracker."""

    def __init__(self, *running: str) -> None:
        self.now = list(running)

    def get(self, cell: str) -> Cell:
        return Cell(cell, 0, {"msg_id": cell})

    def foreground(self) -> Cell | None:
        return self.running()

    def running(self) -> Cell | None:
        return self.get(self.now[-1]) if self.now else None

    def listens(self, cell: str) -> bool:
        return cell in self.now

    def is_running(self, cell: str) -> bool:
        return cell in self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def snapshot(state: str = RUNNING) -> Snapshot:
    work = CellWork(0.0)
    work.update([TaskInfo("1", "f", state=state)], 0.0)
    return work.snapshot(2.0)


def controls(stop: Callable[[], object] = lambda: None) -> Controls:
    return Controls(stop=stop, background=lambda: None, explain=lambda task: "")


def kernel_publisher(cells: Any) -> tuple[KernelPublisher, Session]:
    kernel = Kernel()
    return KernelPublisher(kernel, cells), kernel.session


def test_output_carries_its_cells_header() -> None:
    publish, session = kernel_publisher(Cells("running"))
    publish.stream("old", "stderr", "text")
    assert session.sent == [("old", "stream", {"name": "stderr", "text": "text"})]


def test_a_progress_display_lives_under_its_cell_and_settles_without_a_widget() -> None:
    publish, session = kernel_publisher(Cells("c"))
    pressed: list[int] = []
    display = publish.progress("c", controls(lambda: pressed.append(1)))
    display.update(snapshot())
    display.update(snapshot(FINISHED))
    display.settle(snapshot(FINISHED))
    assert session.kinds() == [
        ("", "comm_open"),
        ("c", "display_data"),
        ("", "comm_msg"),
        ("c", "update_display_data"),
        ("", "comm_close"),
    ]
    opened, shown, _, settled, closed = (content for _, _, content in session.sent)
    assert shown["data"][WIDGET_MIME]["model_id"] == opened["comm_id"] == closed["comm_id"]
    assert set(settled["data"]) == {"text/plain", "text/html"}
    assert settled["transient"] == shown["transient"]


def test_the_last_update_also_goes_to_the_cell_that_runs_now() -> None:
    publish, session = kernel_publisher(Cells("later"))
    display = publish.progress("c", controls())
    display.update(snapshot())
    session.sent.clear()
    display.settle(snapshot(FINISHED))
    assert session.kinds() == [
        ("c", "update_display_data"),
        ("later", "update_display_data"),
        ("", "comm_close"),
    ]


def test_a_cell_that_ends_before_a_front_end_draws_leaves_the_still_form() -> None:
    publish, session = kernel_publisher(Cells())
    display = publish.progress("c", controls())
    display.update(snapshot())
    display.cell_ended(snapshot())
    assert set(session.sent[-1][2]["data"]) == {"text/plain", "text/html"}
    session.sent.clear()
    display.update(snapshot(FINISHED))
    assert session.kinds() == [("", "comm_msg")]
    view: Any = display._view  # type: ignore[attr-defined]  # where a front end's messages arrive
    view._message(view, {"type": "drawn"}, [])
    display.update(snapshot())
    assert WIDGET_MIME in session.sent[-1][2]["data"]
    session.sent.clear()
    display.cell_ended(snapshot())
    assert session.sent == []
    view.close()


def test_what_was_never_shown_does_not_settle() -> None:
    publish, session = kernel_publisher(Cells())
    publish.progress("c", controls()).settle(snapshot(FINISHED))
    assert session.sent == []


def test_a_terminal_rewrites_one_line_and_leaves_the_last(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    cells: Any = Cells("In[1]")
    terminal = TerminalPublisher(cells)
    display = terminal.progress("In[1]", controls())
    display.update(snapshot())
    terminal.stream("In[1]", "stdout", "(f pid=1) hello\n")
    display.update(snapshot())
    display.settle(snapshot(FINISHED))
    live = "0 of 1 tasks done, 1 running: f 1 running"
    assert err.getvalue() == (
        f"\r\x1b[2K{live}\r\x1b[2K\r\x1b[2K{live}\r\x1b[2K1 task ended in 0.0 s: f 1 done\n"
    )
    assert capsys.readouterr().out == "(f pid=1) hello\n"


def test_a_terminals_prompt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    cells: Any = Cells("In[1]")
    display = TerminalPublisher(cells).progress("In[1]", controls())
    display.update(snapshot())
    cells.now = []
    display.cell_ended(snapshot())
    display.update(snapshot())
    assert err.getvalue().endswith("1 running\r\x1b[2K")


def test_a_file_gets_the_last_line_only(capsys: pytest.CaptureFixture[str]) -> None:
    cells: Any = Cells("In[1]")
    display = TerminalPublisher(cells).progress("In[1]", controls())
    display.update(snapshot())
    assert capsys.readouterr().err == ""
    display.settle(snapshot(FINISHED))
    assert capsys.readouterr().err == "1 task ended in 0.0 s: f 1 done\n"


def test_a_shell_with_a_kernel_publishes_through_it() -> None:
    class Shell:
        kernel = Kernel()

    cells: Any = Cells()
    assert isinstance(publisher(Shell(), cells), KernelPublisher)
    assert isinstance(publisher(object(), cells), TerminalPublisher)
