"""%%remote in a real shell: what becomes remote, what stays, and how mistakes are shown."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from raykernel import magics, remote_cell


class Remote:
    """Stands for a remote function or an actor class, and says how it was made."""

    def __init__(self, wrapped: Any, options: dict[str, Any]) -> None:
        self.__wrapped__ = wrapped
        self.how = options


def remote(*things: Any, **options: Any) -> Any:
    if things:
        return Remote(things[0], {})
    return lambda thing: Remote(thing, options)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[InteractiveShell]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setattr(remote_cell, "remote", remote)
    monkeypatch.setattr(remote_cell, "ActorClass", Remote)
    config = Config()
    config.HistoryManager.enabled = False
    made = InteractiveShell(config=config)
    made.user_ns.update(get_ipython=lambda: made, remote=remote)
    magics.load_ipython_extension(made)
    yield made
    magics.unload_ipython_extension(made)


def run(shell: InteractiveShell, cell: str) -> dict[str, Any]:
    """Run a cell that must succeed; returns the user's names."""
    shell.run_cell(cell, store_history=True).raise_error()
    return shell.user_ns


def made_remote(names: dict[str, Any], *candidates: str) -> list[str]:
    return [name for name in candidates if isinstance(names[name], Remote)]


def test_top_level_functions_and_classes_become_remote_and_nothing_else(
    shell: InteractiveShell,
) -> None:
    names = run(
        shell,
        """%%remote
import math
LIMIT = 3
square = lambda x: x * x
def f(x):
    def inner(): ...
    class Local: ...
    return inner, Local
class Counter:
    def add(self): ...
    class Nested: ...
if LIMIT:
    def chosen(): ...
else:
    def other(): ...
for i in range(2):
    try:
        def tried(): ...
    finally:
        pass
""",
    )
    assert made_remote(names, "math", "LIMIT", "square", "f", "Counter", "chosen", "tried") == [
        "f",
        "Counter",
        "chosen",
        "tried",
    ]
    inner, local = names["f"].__wrapped__(1)
    assert not isinstance(inner, Remote)
    assert not isinstance(local, Remote)
    assert inspect.isfunction(names["Counter"].__wrapped__.add)
    assert inspect.isclass(names["Counter"].__wrapped__.Nested)


def test_options_reach_the_decorator(shell: InteractiveShell) -> None:
    names = run(
        shell,
        "%%remote -n 0.5 --num-gpus 1 --max-retries -1\ndef f(): ...\nclass A: ...\n",
    )
    assert names["f"].how == {"num_cpus": 0.5, "num_gpus": 1.0, "max_retries": -1}
    assert names["A"].how == {"num_cpus": 0.5, "num_gpus": 1.0}
    assert run(shell, "%%remote --name load\ndef f(): ...\n")["f"].how == {"name": "load"}
    names = run(
        shell,
        "%%remote --timeout 2 --max-restarts 1 --lifetime detached\ndef f(): ...\nclass A: ...",
    )
    assert names["f"].how == {"timeout": 2.0}
    assert names["A"].how == {"timeout": 2.0, "max_restarts": 1, "lifetime": "detached"}


def test_what_is_remote_already_stays_as_it_is(shell: InteractiveShell) -> None:
    names = run(
        shell,
        """%%remote -n 1
@remote(num_cpus=7)
def f(): ...
make = remote
@make
class A: ...
""",
    )
    assert names["f"].how == {"num_cpus": 7}
    assert names["A"].how == {}


def test_other_decorators_are_applied_first(shell: InteractiveShell) -> None:
    names = run(
        shell,
        """%%remote
import contextlib, functools
def loud(f):
    @functools.wraps(f)
    def g(x): return f(x) + "!"
    return g
@loud
def f(x): return x
@functools.cache
def cached(x): return x
""",
    )
    assert names["f"].__wrapped__("a") == "a!"
    assert names["cached"].__wrapped__(3) == 3


def test_async_functions_run_to_their_end(shell: InteractiveShell) -> None:
    names = run(
        shell,
        """%%remote
import asyncio
async def later(x, *, twice=False):
    await asyncio.sleep(0)
    return 2 * x if twice else x
async def count(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i
""",
    )
    later, count = names["later"].__wrapped__, names["count"].__wrapped__
    assert (later(2, twice=True), list(count(3))) == (4, [0, 1, 2])
    assert str(inspect.signature(later)) == "(x, *, twice=False)"
    first = next(items := count(3))
    items.close()
    assert first == 0


def test_classes_of_values_stay_plain(shell: InteractiveShell) -> None:
    names = run(
        shell,
        """%%remote
import abc, dataclasses, enum, typing
class Trouble(ValueError): ...
class Colour(enum.Enum):
    RED = 1
class Point(typing.NamedTuple):
    x: int
class Options(typing.TypedDict):
    x: int
class Sized(typing.Protocol):
    def size(self) -> int: ...
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
class Meta(type): ...
@dataclasses.dataclass
class Row:
    x: int
class Square(Shape):
    def area(self): return 1
class Box(Sized):
    def size(self): return 1
""",
    )
    plain = ("Trouble", "Colour", "Point", "Options", "Sized", "Shape", "Meta", "Row")
    assert made_remote(names, *plain, "Square", "Box") == ["Square", "Box"]
    assert names["Row"](1) == names["Row"](1)


def test_a_class_inherits_from_the_class_behind_an_actor_class(shell: InteractiveShell) -> None:
    run(shell, "%%remote\nclass Far:\n    def far(self): return 'far'\n")
    names = run(
        shell,
        """%%remote
class Base:
    def who(self): return "base"
class Derived(Base, Far):
    def who(self): return "derived of " + super().who()
""",
    )
    assert made_remote(names, "Base", "Derived") == ["Base", "Derived"]
    derived = names["Derived"].__wrapped__()
    assert (derived.who(), derived.far()) == ("derived of base", "far")


def test_the_last_line_has_its_value_and_history_keeps_the_cell(shell: InteractiveShell) -> None:
    names = run(shell, "%%remote -n 2\ndef f(): ...\n40 + 2\n")
    assert names["Out"] == {1: 42}
    assert names["In"][1].endswith("def f(): ...\n40 + 2")


def test_magics_work_inside(shell: InteractiveShell) -> None:
    names = run(
        shell,
        """%%remote
%config RayKernelConfig.num_cpus = 9
def f(): ...
""",
    )
    assert isinstance(names["f"], Remote)
    assert run(shell, "configured = %config RayKernelConfig.num_cpus")["configured"] == 9


def test_lines_and_source_are_the_cells(shell: InteractiveShell) -> None:
    names = run(
        shell, "%%remote\n\n@remote\ndef g():\n    return 0\n\ndef f():\n    return 1 / 0\n"
    )
    f = names["f"].__wrapped__
    assert inspect.getsource(f) == "def f():\n    return 1 / 0\n"
    assert f.__code__.co_firstlineno == 7
    assert names["g"].__wrapped__.__code__.co_firstlineno == 3
    with pytest.raises(ZeroDivisionError) as caught:
        f()
    assert caught.traceback[-1].lineno == 7  # from 0


def test_an_error_in_the_cell_shows_its_own_lines_only(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    shell.run_line_magic("colors", "nocolor")
    shell.run_cell("%%remote\ndef f(): ...\n{}['missing']\n", store_history=True)
    out = capsys.readouterr().out
    assert "----> 3 {}['missing']" in out
    assert "raykernel" not in out


def test_a_syntax_error_is_shown_where_it_is(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    result = shell.run_cell("%%remote\ndef f(x)\n    return x\n", store_history=True)
    assert isinstance(result.error_before_exec, SyntaxError)
    shown = capsys.readouterr().out
    assert ":2" in shown or "line 2" in shown
    assert "def f(x)" in shown
    assert "f" not in shell.user_ns


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("%%remote -n lots\ndef f(): ...\n", "invalid number value: 'lots'"),
        ("%%remote -n -1\ndef f(): ...\n", "invalid number value: '-1'"),
        ("%%remote --timeout 0\ndef f(): ...\n", "invalid seconds value: '0'"),
        ("%%remote --max-retries 3\nclass A: ...\n", "--max-retries is for a function"),
        ("%%remote --max-restarts 3\ndef f(): ...\n", "--max-restarts is for a class"),
        ("%%remote --get-if-exists\nclass A: ...\n", "--get-if-exists needs a --name"),
        ("%%remote --cpus 1\ndef f(): ...\n", "unrecognized arguments: --cpus 1"),
        ("%%remote --name x\ndef f(): ...\ndef g(): ...\n", "this cell defines 2: f, g"),
        ("%%remote\nx = 1\n", "defines no function and no class"),
        ("%%remote\n\n%%time\ndef f(): ...\n", "put %%time above %%remote"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_run(
    shell: InteractiveShell, cell: str, message: str
) -> None:
    result = shell.run_cell("ran = False", store_history=True)
    result = shell.run_cell(cell + "ran = True\n", store_history=True)
    assert type(result.error_in_exec).__name__ == "UsageError"
    assert message in str(result.error_in_exec)
    assert shell.user_ns["ran"] is False
    run(shell, "%%remote\ndef f(): ...\n")  # one mistake is reported once


def test_a_cells_own_decorators_stay_plain(shell: InteractiveShell) -> None:
    run(
        shell,
        "%%remote\ndef plain(f): return f\ndef named(name):\n    def mark(f):\n"
        "        f.mark = name\n        return f\n    return mark\n"
        "@plain\ndef f(): return 1\nclass A:\n    @named('x')\n    def m(self): return 2\n",
    )
    names = shell.user_ns
    assert [type(names[n]).__name__ for n in ("plain", "named", "f", "A")] == [
        "function", "function", "Remote", "Remote",
    ]  # fmt: skip


@pytest.mark.parametrize("magic", ["remote", "task"])
@pytest.mark.parametrize("cell", ["", "\ndef f(): pass"])
def test_help_is_an_option_too(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], magic: str, cell: str
) -> None:
    shell.run_cell(f"%%{magic} --help{cell}")
    assert f"usage: %%{magic} [-" in capsys.readouterr().out
    assert "f" not in shell.user_ns


def test_braces_and_dollars_are_the_users(shell: InteractiveShell) -> None:
    run(shell, "%%remote --name {x}$y\ndef f(): return '{x} $y'\n")
    assert shell.user_ns["f"].how == {"name": "{x}$y"}
    assert shell.user_ns["f"].__wrapped__() == "{x} $y"


def test_code_may_call_the_magic_itself(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    body = "import math\ndef f():\n    return 1 / 0\nmath.pi\n"
    shell.run_cell_magic("remote", "-n 2", body)
    f = shell.user_ns["f"]
    assert f.how == {"num_cpus": 2.0}
    assert inspect.getsource(f.__wrapped__) == "def f():\n    return 1 / 0\n"
    assert "3.14159" in capsys.readouterr().out


def test_it_works_within_another_cell_magic(shell: InteractiveShell) -> None:
    run(shell, "%%capture out\n%%remote\ndef f(): ...\nprint('hello')\n")
    assert isinstance(shell.user_ns["f"], Remote)
    assert shell.user_ns["out"].stdout == "hello\n"


def test_other_cells_are_left_alone(shell: InteractiveShell) -> None:
    names = run(shell, "def f(): ...\nclass A: ...\nget_ipython().run_line_magic('ray', 'help')\n")
    assert made_remote(names, "f", "A") == []
