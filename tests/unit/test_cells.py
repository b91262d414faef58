"""Which cell code belongs to, in a shell with and without a kernel."""

from __future__ import annotations

import asyncio
import threading
from types import SimpleNamespace
from typing import Any

from raykernel import heartbeat
from raykernel.cells import MEMORY, Cell, CellTracker
from raykernel.runtime import context


class Events:
    def __init__(self) -> None:
        self.hooks: dict[str, list[Any]] = {"pre_run_cell": [], "post_run_cell": []}

    def register(self, name: str, hook: Any) -> None:
        self.hooks[name].append(hook)

    def unregister(self, name: str, hook: Any) -> None:
        self.hooks[name].remove(hook)


class Shell:
    """The part of an IPython shell that a tracker sees; `kernel` only if it has one."""

    def __init__(self, kernel: bool = False) -> None:
        self.events = Events()
        self.user_ns: dict[str, Any] = {"In": [""]}
        self.header: dict[str, Any] = {}
        if kernel:
            self.kernel = SimpleNamespace(get_parent=lambda _channel: {"header": self.header})

    def begin(self, msg_id: str = "", store: bool = True) -> None:
        if msg_id:
            self.header = {"msg_id": msg_id, "session": "s"}
        for hook in list(self.events.hooks["pre_run_cell"]):
            hook(SimpleNamespace(store_history=store))
        if store:
            self.user_ns["In"].append("code")

    def end(self, error: BaseException | None = None, result: bool = True) -> None:
        outcome = SimpleNamespace(error_in_exec=error) if result else None
        for hook in list(self.events.hooks["post_run_cell"]):
            hook(outcome)


def tracker(shell: Shell) -> CellTracker:
    made = CellTracker(shell)
    made.install()
    return made


def run_clean(function: Any) -> Any:
    """Run it in a thread, which has a context of its own."""
    out: list[Any] = []
    thread = threading.Thread(target=lambda: out.append(function()))
    thread.start()
    thread.join()
    return out[0]


def test_a_terminals_cells_are_named_by_their_prompt() -> None:
    def scenario() -> None:
        shell = Shell()
        cells = tracker(shell)
        shell.begin()
        assert cells.current() == "In[1]"
        assert cells.running() == Cell("In[1]", 1)
        shell.end()
        assert cells.running() is None
        shell.begin()
        assert cells.current() == "In[2]"
        assert cells.numbered(1) == Cell("In[1]", 1)
        assert cells.numbered(7) is None
        cells.remove()

    run_clean(scenario)


def test_a_kernels_cells_are_named_by_their_request() -> None:
    def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        shell.begin("aa-1")
        assert context.current_cell() == "aa-1"
        assert cells.get("aa-1").header == {"msg_id": "aa-1", "session": "s"}
        assert cells.numbered(1) == cells.get("aa-1")
        cells.remove()
        assert context.cell_source is None
        assert not shell.events.hooks["pre_run_cell"]
        assert not shell.events.hooks["post_run_cell"]

    run_clean(scenario)


def test_the_cell_that_loads_the_extension_counts() -> None:
    def scenario() -> None:
        shell = Shell(kernel=True)
        shell.begin("aa-1")
        cells = tracker(shell)
        assert cells.running() == Cell("aa-1", 1, {"msg_id": "aa-1", "session": "s"})
        shell.end()
        assert cells.running() is None

    run_clean(scenario)


def test_async_code_and_threads_keep_their_cell() -> None:
    async def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        go_on = asyncio.Event()

        async def late() -> str:
            await go_on.wait()
            return cells.current()

        shell.begin("first")
        task = asyncio.get_running_loop().create_task(late())
        shell.end()
        shell.begin("second")
        go_on.set()
        assert await task == "first"
        assert cells.current() == "second"
        assert await asyncio.get_running_loop().run_in_executor(None, cells.current) == "second"
        cells.remove()

    run_clean(lambda: asyncio.run(scenario()))


def test_hooks_hear_how_a_cell_ended() -> None:
    def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        ended: list[tuple[str, bool]] = []
        cells.on_end(lambda cell, interrupted: ended.append((cell.id, interrupted)))
        for msg_id, error in (
            ("fine", None),
            ("wrong", ValueError()),
            ("stopped", KeyboardInterrupt()),
            ("async-stopped", asyncio.CancelledError()),
        ):
            shell.begin(msg_id)
            shell.end(error)
        shell.begin("no-result")
        shell.end(result=False)
        assert ended == [
            ("fine", False),
            ("wrong", False),
            ("stopped", True),
            ("async-stopped", True),
            ("no-result", True),
        ]
        cells.remove()

    run_clean(scenario)


def test_code_run_through_the_shell_belongs_to_its_cell() -> None:
    def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        ended: list[str] = []
        waited_for: list[Cell | None] = []
        cells.on_end(lambda cell, _: ended.append(cell.id))
        cells.on_end(lambda cell, _: waited_for.append(cells.foreground()))
        shell.begin("outer")
        assert cells.foreground() == cells.running() == cells.get("outer")
        shell.begin("outer", store=False)
        assert cells.current() == "outer"
        shell.end()
        assert ended == []
        assert cells.is_running("outer")
        shell.end()
        assert ended == ["outer"]
        assert waited_for == [cells.get("outer")]
        assert cells.foreground() is None
        assert cells.get("outer").number == 1
        cells.remove()

    run_clean(scenario)


def test_code_outside_the_history_gets_back_to_its_cell() -> None:
    def scenario() -> None:
        shell = Shell()
        cells = tracker(shell)
        shell.begin()
        shell.begin(store=False)
        assert cells.current() == "unnumbered-1"
        shell.end()
        assert cells.current() == "In[1]"
        cells.remove()

    run_clean(scenario)


def test_a_running_cells_loop_is_woken_until_it_ends() -> None:
    async def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        asked = asyncio.Event()
        stopped = asyncio.Event()

        def is_running() -> bool:
            asked.set()
            if not cells.is_running("c"):
                stopped.set()
            return cells.is_running("c")

        cells.on_start(lambda _: heartbeat.keep_awake(is_running))
        shell.begin("c")
        for _ in range(2):
            asked.clear()
            await asyncio.wait_for(asked.wait(), 5)
        assert not stopped.is_set()
        shell.end()
        await asyncio.wait_for(stopped.wait(), 5)
        cells.remove()

    run_clean(lambda: asyncio.run(scenario()))


def test_a_cell_without_a_loop_needs_no_waking() -> None:
    run_clean(lambda: heartbeat.keep_awake(lambda: True))


def test_old_cells_are_forgotten_but_still_found_by_their_request() -> None:
    def scenario() -> None:
        shell = Shell(kernel=True)
        cells = tracker(shell)
        for i in range(MEMORY + 1):
            shell.begin(f"m{i}")
            shell.end()
        assert cells.numbered(1) is None
        assert cells.get("m0").header["msg_id"] == "m0"
        assert cells.get(f"m{MEMORY}").number == MEMORY + 1
        cells.remove()

    run_clean(scenario)
