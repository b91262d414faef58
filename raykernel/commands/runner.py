"""Run a notebook in a kernel of this very Python, showing on the terminal how far it is.

The kernel is started as `sys.executable -m ipykernel_launcher`, whatever kernelspecs the machine
has: in a virtual environment of one's own the spec named "python3" may be another Python's. What
the kernel process itself writes to its stdout and stderr goes to a log, never to ours, since ours
may be read by a program. Cells' output is not that: it lands in the notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

import raykernel
from raykernel.commands import CommandError

#: Between two looks of a person at the clock beside a running cell, in seconds.
TICK = 0.2


class ThisPython(KernelSpecManager):
    """Knows one kernel, whatever it is asked for: the interpreter that runs this code."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        return KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python 3 (ipykernel)",
            language="python",
        )


class Progress:
    """A line per code cell: its number, the heading it stands under, and the seconds it took.

    On a terminal the running cell's line shows the seconds as they pass; elsewhere a line appears
    when its cell is done.
    """

    def __init__(self, notebook: Any, out: IO[str]) -> None:
        self.out = out
        self.live = out.isatty()
        self.labels = _labels(notebook)
        self.began = 0.0
        self.running: int | None = None

    def begin(self, cell: Any, cell_index: int, **_: Any) -> None:
        if cell_index in self.labels:
            self.running, self.began = cell_index, time.monotonic()
            self.tick()

    def end(self, cell: Any, cell_index: int, execute_reply: Any, **_: Any) -> None:
        if self.running == cell_index:
            failed = execute_reply["content"]["status"] == "error"
            self._write("  failed\n" if failed else "\n")
            self.running = None

    def abandon(self) -> None:
        """The running cell will never end: leave its line."""
        if self.running is not None:
            self._write("  lost\n")
            self.running = None

    def tick(self) -> None:
        if self.live and self.running is not None:
            self._write("")

    def _write(self, end: str) -> None:
        assert self.running is not None
        start = "\r\x1b[2K" if self.live else ""
        seconds = time.monotonic() - self.began
        self.out.write(f"{start}{self.labels[self.running]} {seconds:6.1f} s{end}")
        self.out.flush()


def _labels(notebook: Any) -> dict[int, str]:
    """For each cell that will run, by index: "[ 3/16] heading: its first line", of one width."""
    shown: dict[int, str] = {}
    heading = ""
    for at, cell in enumerate(notebook.cells):
        lines = [line for line in cell.source.splitlines() if line.strip()]
        if cell.cell_type == "markdown":
            titles = [line for line in lines if line.startswith("#")]
            heading = titles[-1].lstrip("# ") if titles else heading
        elif cell.cell_type == "code" and lines:
            # `%%remote` alone doesn't say what becomes remote: the line below does.
            line = lines[1] if lines[0].startswith("%%") and len(lines) > 1 else lines[0]
            shown[at] = f"{heading}: {line}" if heading else line
    return {
        at: f"[{nth:2}/{len(shown)}] {text}"[:66].ljust(66)
        for nth, (at, text) in enumerate(shown.items(), start=1)
    }


def run(notebook: Any, folder: Path, out: IO[str]) -> None:
    """Execute all cells of `notebook` (nbformat) in place, with `folder` as working directory.

    Raises CommandError when a cell fails or the kernel dies, KeyboardInterrupt on Ctrl-C; the cells
    run until then keep their output, and the kernel is gone.
    """
    progress = Progress(notebook, out)
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(kernel_spec_manager=ThisPython(), kernel_name="python3"),
        timeout=None,
        resources={"metadata": {"path": str(folder)}},
        on_cell_execute=progress.begin,
        on_cell_executed=progress.end,
    )
    with tempfile.TemporaryFile("w+") as log:
        try:
            asyncio.run(_execute(client, progress, log))
        except CellExecutionError as error:
            raise CommandError(
                f"a cell of the notebook failed: {error.ename}: {error.evalue}"
            ) from None
        except DeadKernelError:
            log.seek(0)
            last = "".join(log.readlines()[-10:]).strip()
            raise CommandError(f"the notebook's kernel died. It last said: {last}") from None


async def _execute(client: NotebookClient, progress: Progress, log: IO[str]) -> None:
    async def clock() -> None:
        while True:
            await asyncio.sleep(TICK)
            progress.tick()

    running = asyncio.current_task()
    assert running is not None

    interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        interrupted = True
        running.cancel()

    def started(**_: Any) -> None:
        # nbclient's own answer to Ctrl-C ends the kernel, after which it reports a dead one.
        with contextlib.suppress(NotImplementedError):  # Windows
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)

    client.on_notebook_start = started
    ticking = asyncio.create_task(clock())
    try:
        await client.async_execute(stdout=log, stderr=log, env=_environment(), cleanup_kc=True)
    except (asyncio.CancelledError, DeadKernelError):
        # nbclient takes its own cancellation for a sign that the kernel died.
        if interrupted:
            raise KeyboardInterrupt from None
        raise
    finally:
        progress.abandon()
        ticking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await ticking


def _environment() -> dict[str, str]:
    """The kernel's environment: ours, and in a bare checkout the way to this very package."""
    environment = dict(os.environ)
    try:
        importlib.metadata.distribution("raykernel")
    except importlib.metadata.PackageNotFoundError:
        root = str(Path(raykernel.__path__[0]).resolve().parent)
        rest = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{root}{os.pathsep}{rest}" if rest else root
    return environment
