"""%%task in a real shell: what is done here, what travels, and how mistakes are shown. The body
is run in this process, by the very function that a worker runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from raykernel import late_value, magics, task_cell
from raykernel.runtime.execute import Failed
from raykernel.task_body import run


class Ref:
    """Stands for the ref of an output that has its value."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def get(self) -> Any:
        if isinstance(self.value, Failed):
            raise self.value.error
        return self.value


class Shell:
    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.names = shell.user_ns
        self.shown: Any = None
        self.plan: Any = None

    def submit(self, shell: Any, plan: task_cell.Plan) -> None:
        self.plan = plan
        inputs = {n: self.names[n] for n in plan.reads if n in self.names}
        inputs = {n: v.get() if isinstance(v, Ref) else v for n, v in inputs.items()}
        self.shown, *values = run(plan.body, **inputs)
        self.names.update(zip(plan.body.outputs, map(Ref, values), strict=True))

    def __call__(self, cell: str) -> Any:
        return self.shell.run_cell(cell, store_history=True)

    def run(self, cell: str) -> None:
        self(cell).raise_error()

    def values(self, *names: str) -> list[Any]:
        return [self.names[name].get() for name in names]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Shell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell(config=config)
    made.user_ns["get_ipython"] = lambda: made
    made.run_line_magic("colors", "nocolor")
    magics.load_ipython_extension(made)
    wrapped = Shell(made)
    monkeypatch.setattr(task_cell, "submit", wrapped.submit)
    monkeypatch.setattr(late_value, "follow", lambda *_: None)
    yield wrapped
    magics.unload_ipython_extension(made)


def test_what_is_read_is_taken_along_and_what_is_set_becomes_a_ref(shell: Shell) -> None:
    shell.run("radius, unused = 3, 4")
    shell.run("%%task\nr = radius * 2\nif r: s = [r for r in range(r)]\ntotal = sum(s)\n")
    assert shell.plan.reads == ("radius", "range", "sum", "s")
    assert shell.plan.body.outputs == ("r", "s", "total")
    assert shell.values("r", "s", "total") == [6, [0, 1, 2, 3, 4, 5], 15]
    shell.run("%%task\ntotal += r\n")
    assert shell.values("total") == [21]
    assert shell.plan.number == 3


def test_imports_and_definitions_are_here_at_once_unless_they_use_what_is_computed(
    shell: Shell,
) -> None:
    shell.run(
        """%%task
import math
from os import path as p
def area(r): return math.pi * r ** 2
def twice(r): return 2 * area(r)
class Point:
    def area(self): return area(1)
x = 1
def later(): return x
class Holder:
    x = x
_ = 3
for _ in range(2): pass
if x:
    import json
"""
    )
    assert shell.plan.body.outputs == ("x", "later", "Holder")
    names = shell.names
    assert names["math"].pi > 3
    assert names["twice"](1) == 2 * names["area"](1) == 2 * names["Point"]().area()
    assert names["area"].__code__.co_firstlineno == 4
    assert "json" not in names
    assert shell.values("later")[0]() == 1


def test_only_listed_outputs_change_the_notebook(shell: Shell) -> None:
    shell.run("a = b = 1")
    shell.run("%%task -i a, b -o y\nimport math\ndef f(): return a\nx = f()\ny = x + b\n")
    assert shell.values("y") == [2]
    assert not {"math", "f", "x"} & set(shell.names)


def test_the_value_of_the_last_line_is_shown(shell: Shell) -> None:
    for text, shown in (("1 + 1", "2"), ("'a'", "'a'"), ("x = 1", None), ("None", None)):
        shell.run(f"%%task\n{text}\n")
        assert (shell.shown or {}).get("text/plain") == shown
    shell.run("%%task\n1 + 1;\n")
    assert shell.shown is None
    shell.run(
        """%%task
class Fancy:
    def _repr_html_(self): return "<b>"
    def _repr_png_(self): return b"png"
    def _repr_svg_(self): raise ValueError
Fancy()
"""
    )
    assert {k: v for k, v in shell.shown.items() if k != "text/plain"} == {
        "text/html": "<b>",
        "image/png": "cG5n",
    }


def test_what_was_not_set_is_an_error_of_its_own(shell: Shell) -> None:
    shell.run("%%task\nx = 5\nif x > 9: y = 1\n")
    assert shell.values("x") == [5]
    with pytest.raises(NameError, match="'y' was not set"):
        shell.values("y")


def test_what_it_changes_in_place_is_a_copy_of_its_own(shell: Shell) -> None:
    shell.run("import numpy as np\na = np.zeros(3); a.flags.writeable = False\nb = [1]")
    shell.run("%%task\na += 1\nb[0] = 2\nc = b\n")
    assert shell.values("a")[0].tolist() == [1, 1, 1]
    assert (shell.names["b"], shell.values("c")) == ([1], [[2]])


@pytest.mark.parametrize(
    ("cell", "kind", "message"),
    [
        ("%%task\n\nx = missing + 1\n", "NameError", "----> 3 x = missing + 1"),
        ("%%task\ndef f(): return missing\n", "NameError", "name 'missing' is not defined"),
        ("%%task -i missing\nx = 1\n", "NameError", "name 'missing' is not defined"),
        ("%%task\nx = (\n", "SyntaxError", ":2\n    x = ("),
        ("%%task\nx = 1\nreturn x\n", "SyntaxError", "'return' outside function"),
        ("%%task\nimport no_such_module\n", "ModuleNotFoundError", "----> 2 import no_such"),
        ("%%task\nx = 1\n%time x\n", "UsageError", "line 3 is a magic or a shell command"),
        ("%%task\n!ls\n", "UsageError", "line 2 is a magic"),
        ("%%task\nfrom os import *\n", "UsageError", "line 2: 'from os import *'"),
        ("%%task -o y\nx = 1\n", "UsageError", "the cell never sets 'y'"),
        ("%%task -i b\nx = a\n", "UsageError", "reads 'a' (line 2), which is not among"),
        ("%%task --timeout -1\nx = a\n", "UsageError", "--timeout"),
        ("%%task -o 1x\nx = a\n", "UsageError", "invalid list of names value: '1x'"),
        ("%%task\n# nothing\n", "UsageError", "nothing to run"),
    ],
)
def test_a_mistake_is_told_at_once_and_nothing_is_run(
    shell: Shell, capsys: pytest.CaptureFixture[str], cell: str, kind: str, message: str
) -> None:
    shell.run("a, b = 1, 2")
    result = shell(cell)
    error = result.error_before_exec or result.error_in_exec
    assert type(error).__name__ == kind
    said = capsys.readouterr()
    assert message in said.out + said.err
    assert "raykernel" not in said.out
    assert shell.plan is None
    shell.run("%%task\nfine = 1\n")  # one mistake is reported once
    assert shell.values("fine") == [1]


def test_code_may_call_the_magic_itself(shell: Shell) -> None:
    shell.shell.run_cell_magic("task", "-o y", "x = 1\ny = x + 1\n")
    assert shell.values("y") == [2]
    with pytest.raises(NameError, match="missing"):
        shell.shell.run_cell_magic("task", "", "y = missing\n")


def test_an_error_in_the_body_has_the_cells_lines(shell: Shell) -> None:
    error = shell("%%task\nx = 1\n1 / 0\n").error_in_exec
    frame = error.__traceback__
    while frame.tb_next is not None:
        frame = frame.tb_next
    assert frame.tb_lineno == 3
    import linecache

    assert linecache.getline(frame.tb_frame.f_code.co_filename, 3) == "1 / 0\n"


def test_names_complete(shell: Shell) -> None:
    shell.run("my_weights = 1")
    assert "my_weights" in shell.shell.complete("my_w", "%%task -i my_w")[1]
    assert "--outputs" in shell.shell.complete("--out", "%%task --out")[1]
    assert "--inputs" in shell.shell.object_inspect("%%task")["docstring"]
