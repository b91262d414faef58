"""%ray and loading and unloading, in a real shell, on a fake engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from raykernel import magics, notebook
from raykernel.runtime import context
from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import FAILED, RUNNING, TaskInfo


class FakeApi:
    """Stands for raykernel.api."""

    def __init__(self) -> None:
        self.current: FakeEngine | None = None
        self.logs_taken = 0
        self.asked: list[dict[str, Any]] = []
        self.callbacks: list[Callable[[Any], None]] = []
        self.files: list[str] = []

    def engine(self) -> FakeEngine | None:
        return self.current

    def shows_logs(self) -> bool:
        return True

    def init(self, **options: Any) -> None:
        self.asked.append(options)
        self._tell(FakeEngine("demo"))

    def shutdown(self) -> None:
        self._tell(None)

    def kept(self) -> dict[str, list[str]]:
        return {"actors": ["a", "b"], "objects": []}

    def timeline(self, file: str) -> None:
        self.files.append(file)

    def on_session(self, callback: Callable[[Any], None]) -> Callable[[], None]:
        self.callbacks.append(callback)
        return lambda: self.callbacks.remove(callback)

    def take_over_logs(self) -> Callable[[], None]:
        self.logs_taken += 1

        def give_back() -> None:
            self.logs_taken -= 1

        return give_back

    def _tell(self, engine: FakeEngine | None) -> None:
        self.current = engine
        for callback in list(self.callbacks):
            callback(engine)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    made = FakeApi()
    monkeypatch.setattr(notebook, "api", made)
    return made


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    """A shell without the extension."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell(config=config)
    made.user_ns["get_ipython"] = lambda: made
    yield made
    magics.unload_ipython_extension(made)


@pytest.fixture
def shell(bare: InteractiveShell, api: FakeApi) -> InteractiveShell:
    magics.load_ipython_extension(bare)
    return bare


def run(shell: InteractiveShell, cell: str) -> Any:
    return shell.run_cell(cell, store_history=True)


def test_start_says_what_there_is_and_twice_is_harmless(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%ray start -n 3 --namespace lab --name mine")
    assert api.asked == [{"num_cpus": 3, "namespace": "lab", "name": "mine"}]
    assert "Session demo: 2 CPUs. Started in" in capsys.readouterr().out
    run(shell, "%ray start")
    assert len(api.asked) == 1
    assert "running already" in capsys.readouterr().out


def test_the_configured_number_of_cpus_is_startss_default(
    shell: InteractiveShell, api: FakeApi
) -> None:
    run(shell, "%config RayKernelConfig.num_cpus = 5")
    run(shell, "%ray start")
    run(shell, "%ray stop")
    run(shell, "%ray start --num-cpus 1")
    assert api.asked == [{"num_cpus": 5}, {"num_cpus": 1}]


def test_start_connects_to_a_session_that_runs(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%ray start --address shared --namespace lab")
    assert api.asked == [{"address": "shared", "namespace": "lab"}]
    said = capsys.readouterr().out
    assert "Connected in" in said
    assert "Named actors: a, b.\n" in said
    assert api.current is not None
    api.current.ended = False
    run(shell, "%ray stop")
    assert "Left session demo, which goes on. `raykernel stop demo`" in capsys.readouterr().out
    run(shell, "%ray start --address shared -n 2")
    err = capsys.readouterr()
    assert "--num-cpus can't be given with --address" in err.err + err.out
    run(shell, "%ray start --address local -n 2")
    assert api.asked[1:] == [{"address": "local", "num_cpus": 2}]


def test_what_can_t_be_connected_to_is_said_in_a_line(
    shell: InteractiveShell,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(**_options: Any) -> None:
        raise ConnectionError("no session named 'x'")

    monkeypatch.setattr(api, "init", refuse)
    run(shell, "%ray start --address x")
    said = capsys.readouterr()
    assert "UsageError: %ray start: no session named 'x'" in said.err + said.out


def test_a_session_that_is_come_back_to_is_told_of_once(
    shell: InteractiveShell,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(FakeEngine, "came_back", True, raising=False)
    api.init()  # as the first .remote() does
    assert capsys.readouterr().out == (
        "Back in this notebook's session demo.\nNamed actors: a, b.\n"
    )
    run(shell, "%ray stop")
    capsys.readouterr()
    run(shell, "%ray start")
    said = capsys.readouterr().out
    assert "Session demo: 2 CPUs. This notebook is back in it in" in said
    assert "Named actors: a, b.\n" in said
    assert "Back in" not in said


def test_stop_ends_the_session_and_twice_is_harmless(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%ray start")
    run(shell, "%ray stop")
    assert api.current is None
    run(shell, "%ray stop")
    out = capsys.readouterr().out
    assert "Session demo ended." in out
    assert "No session is running." in out


@pytest.mark.parametrize("command", ["status", "graph", "timeline trace.json"])
def test_without_a_session_the_magics_say_so(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert run(shell, f"%ray {command}").success
    assert "No session is running. `%ray start` starts one" in capsys.readouterr().out


def test_status_says_what_the_session_has_and_does(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.init()
    assert api.current is not None
    api.current.put_task(TaskInfo("1", "f", state=RUNNING))
    api.current.put_task(TaskInfo("2", "f", state=FAILED))
    api.current.answers["actors"] = [{"state": "ALIVE"}, {"state": "ALIVE"}]
    api.current.answers["resources"] = {
        "total": {"CPU": 2.0, "memory": 2.0**31},
        "available": {"CPU": 0.5, "memory": 2.0**31},
    }
    run(shell, "%ray status")
    out = capsys.readouterr().out
    assert "demo (fake engine)" in out
    assert "CPU      1.5 of 2 in use" in out
    assert "0 B of 2.0 GiB reserved" in out
    assert "1 unfinished (1 running, 1 failed)" in out
    assert "2 alive" in out


def test_a_dead_session_is_named_and_replaced(
    shell: InteractiveShell,
    api: FakeApi,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ConnectionError("connection lost")

    api.init()
    monkeypatch.setattr(api.current, "query", fail)
    run(shell, "%ray status")
    assert "Session demo has died (connection lost)." in capsys.readouterr().out
    dead = api.current
    run(shell, "%ray start")
    out = capsys.readouterr().out
    assert "has died (connection lost). Starting another." in out
    assert "Started in" in out
    assert api.current is not dead


@pytest.mark.parametrize("line", ["%ray", "%ray help", "%ray --help"])
def test_ray_alone_prints_every_command(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    assert run(shell, line).success
    out = capsys.readouterr().out
    for command in ("start", "stop", "status", "graph", "timeline"):
        assert f"%ray {command}" in out
    assert "--num-cpus" in out


def test_help_shows_the_options(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%ray graph --help")
    assert "--cell N" in capsys.readouterr().out
    for magic in ("%ray", "%%remote"):
        assert "--num-cpus" in shell.object_inspect(magic)["docstring"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%ray stauts", "no command 'stauts'. Did you mean 'status'?"),
        ("%ray zzz", "no command 'zzz'. It has: start, stop"),
        ("%ray start -n many", "invalid number value: 'many'"),
        ("%ray start -n -1", "-n"),
        ("%ray start --workers 3", "unrecognized arguments: --workers 3"),
        ("%ray timeline trace.json --cell 1", "whole session"),
        ("%ray graph --depth 0", "invalid depth"),
        ("%ray reload no_such_module", "there is no module named 'no_such_module'"),
    ],
)
def test_mistakes_are_named(shell: InteractiveShell, api: FakeApi, line: str, message: str) -> None:
    error = run(shell, line).error_in_exec
    assert type(error).__name__ == "UsageError"
    assert message in str(error)
    assert api.current is None


def test_a_cell_that_never_ran_has_no_graph(shell: InteractiveShell, api: FakeApi) -> None:
    api.init()
    assert "no cell ran as In[99]" in str(run(shell, "%ray graph --cell 99").error_in_exec)


def test_the_graph_is_text_in_a_terminal(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.init()
    assert api.current is not None
    api.current.put_task(TaskInfo("1", "train", state=RUNNING, cell="x"))
    run(shell, "%ray graph")
    assert "train" in capsys.readouterr().out


def test_timeline_writes_the_file(shell: InteractiveShell, api: FakeApi) -> None:
    api.init()
    run(shell, "%ray timeline trace.json")
    assert api.files == ["trace.json"]


def test_commands_and_options_complete(shell: InteractiveShell) -> None:
    assert set(shell.complete("", "%ray ")[1]) >= {"start", "stop", "status", "graph"}
    assert "start" in shell.complete("sta", "%ray sta")[1]
    assert "--num-cpus" in shell.complete("--num", "%ray start --num")[1]
    assert "start" not in shell.complete("", "%ray nonsense ")[1]


def test_values_of_options_complete(
    shell: InteractiveShell, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raykernel.ray_magic.session.list_sessions", list)

    def offered(line: str) -> list[str]:
        return list(shell.complete("", line)[1])

    api.init()
    assert api.current is not None
    run(shell, "pass")
    cell = shell._raykernel_notebook.cells.numbered(1)  # type: ignore[attr-defined]
    api.current.put_task(TaskInfo("1", "load", state=RUNNING, cell=cell.id))
    api.current.answers["actors"] = [{"name": "", "class_name": "Counter"}]
    assert offered("%ray logs --task ") == ["load"]
    assert offered("%ray logs --actor ") == ["Counter"]
    for command in ("logs", "cancel", "background", "graph", "timeline"):
        assert offered(f"%ray {command} --cell ") == ["1"]
    assert {"auto", "local"} <= set(offered("%ray start --address "))
    assert "--grep" in offered("%ray logs --task load ")
    assert "--task" not in offered("%ray logs --grep ")


def test_loading_twice_is_loading_once(shell: InteractiveShell, api: FakeApi) -> None:
    magics.load_ipython_extension(shell)
    assert len(api.callbacks) == 1


def test_unloading_takes_everything_away(bare: InteractiveShell, api: FakeApi) -> None:
    def state() -> list[Any]:
        return [
            sorted(bare.magics_manager.magics["line"]),
            sorted(bare.magics_manager.magics["cell"]),
            list(bare.input_transformers_cleanup),
            list(bare.ast_transformers),
            list(bare.configurables),
            sorted(bare.magics_manager.registry),
            {name: list(hooks) for name, hooks in bare.events.callbacks.items()},
            sorted(bare.strdispatchers["complete_command"].strs),
            list(api.callbacks),
            api.logs_taken,
            context.cell_source,
        ]

    bare.set_hook("complete_command", lambda *_: [], str_key="%other")
    bare.register_magic_function(lambda line: None, magic_name="ray")
    before, own = state(), bare.magics_manager.magics["line"]["ray"]
    magics.load_ipython_extension(bare)
    assert state() != before
    api.init()
    magics.unload_ipython_extension(bare)
    assert state() == before
    assert bare.magics_manager.magics["line"]["ray"] is own
    assert api.current is not None  # the session goes on
    magics.unload_ipython_extension(bare)


def test_a_sessions_tasks_are_reported_however_it_was_started(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        assert api.current is not None
        cell = context.current_cell()
        api.current.put_task(TaskInfo("1", "f", state=RUNNING, cell=cell))

    run(shell, "%config RayKernelConfig.progress_delay = 0.0")
    api.init()
    shell.user_ns["work"] = work
    run(shell, "work()")
    assert api.current is not None
    api.current.flush()
    api.shutdown()
    assert "0 of 1 tasks done when the session ended" in capsys.readouterr().err


def busy(api: FakeApi, *ids: str) -> Callable[[], None]:
    """What a cell calls to have unfinished tasks."""

    def work() -> None:
        assert api.current is not None
        for id in ids:
            cell = context.current_cell()
            api.current.put_task(TaskInfo(id, "f", state=RUNNING, cell=cell))

    return work


def test_cancel_ends_the_last_cells_work_or_a_given_cells_or_all(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "%ray cancel")
    assert "No session" in capsys.readouterr().out
    api.init()
    run(shell, "%ray cancel")
    run(shell, "%ray cancel --all")
    assert capsys.readouterr().out == (
        "No cell has unfinished work.\nThere is no unfinished work.\n"
    )
    for cell, ids in enumerate((("1",), ("2", "3"), ("4",), ("5",)), 4):
        shell.user_ns["work"] = busy(api, *ids)
        run(shell, "work()")
        assert shell.execution_count == cell + 1
    run(shell, "%ray cancel")
    run(shell, "%ray cancel --cell 5")
    run(shell, "%ray cancel --cell 5")
    run(shell, "%ray cancel --all")
    assert capsys.readouterr().out == (
        "Cancelled 1 unfinished task of In[7].\n"
        "Cancelled 2 unfinished tasks of In[5].\n"
        "There is no unfinished work of In[5].\n"
        "Cancelled 2 unfinished tasks.\n"
    )
    run(shell, "%ray cancel --cell 99")
    run(shell, "%ray cancel --cell 5 --all")
    err = capsys.readouterr()
    assert "no cell ran as In[99]" in err.err + err.out
    assert "not allowed with" in err.err + err.out


def test_stop_leaves_alone_what_is_in_the_background(
    shell: InteractiveShell, api: FakeApi, capsys: pytest.CaptureFixture[str]
) -> None:
    api.init()
    shell.user_ns["work"] = busy(api, "1", "2")
    run(shell, "%ray background\nwork()\nraise KeyboardInterrupt")  # in advance
    assert "What In[1] submits goes on in the background" in capsys.readouterr().out
    assert api.current is not None
    assert api.current.cancelled_cells == []
    shell.user_ns["work"] = busy(api, "3")
    run(shell, "work()")
    run(shell, "%ray background")
    assert "1 unfinished task of In[2] goes on" in capsys.readouterr().out
    run(shell, "%ray background --cell 1")
    assert "2 unfinished tasks of In[1] go on" in capsys.readouterr().out
    assert api.current.in_background == {"In[1]", "In[2]"}
    run(shell, "%ray cancel --cell 1")
    assert api.current.cancelled_cells == ["In[1]"]


def test_an_interrupted_cells_work_is_cancelled(shell: InteractiveShell, api: FakeApi) -> None:
    def work() -> None:
        assert api.current is not None
        cell = context.current_cell()
        api.current.put_task(TaskInfo("1", "f", state=RUNNING, cell=cell))
        raise KeyboardInterrupt

    api.init()
    assert api.current is not None
    shell.user_ns["work"] = work
    run(shell, "1 + 1")
    run(shell, "work()")
    assert api.current.cancelled_cells == ["In[2]"]
    assert api.current.tasks["1"].state == "CANCELLED"


def test_a_cell_that_is_let_go_is_not_interrupted(
    shell: InteractiveShell, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The button in its progress ends its wait by a signal, for other cells' work too perhaps."""
    api.init()
    assert api.current is not None
    interrupted: list[str] = []
    monkeypatch.setattr(api.current, "interrupt_cell", interrupted.append)
    book = shell._raykernel_notebook  # type: ignore[attr-defined]
    run(shell, "pass")
    cell = book.cells.numbered(1).id
    book.let_go(cell)
    assert cell in api.current.in_background
    book.cells.pardon(cell)  # as `let_go` does where it runs
    book._cancel_interrupted(cell)
    assert interrupted == []
    book._cancel_interrupted("In[2]")
    assert interrupted == ["In[2]"]
