"""A failure's trace and variables on their way from a worker to IPython's tools."""

from __future__ import annotations

import linecache
import sys
import threading
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raykernel import frames, holders
from raykernel.runtime import remains, remains_files, traces
from raykernel.runtime.context import Running
from raykernel.runtime.messages import TaskSpec
from raykernel.runtime.remains import Keeper, Remains
from raykernel.runtime.remains_files import Files
from raykernel.runtime.shortrepr import short_repr

CODE = """
def inner(values, n):
    total = sum(values)
    return total / n

def outer(x):
    lock = make_lock()
    return inner([x], 0)
"""


def fails(function: Any, *args: Any) -> BaseException:
    try:
        function(*args)
    except Exception as error:
        return error
    raise AssertionError("it went well")


@pytest.fixture
def failure(tmp_path: Path) -> tuple[Running, BaseException]:
    """A task that failed in code of a cell, which lies in no file."""
    names: dict[str, Any] = {"__name__": "__main__", "make_lock": threading.Lock}
    exec(compile(CODE, "/gone/cell.py", "exec"), names)
    linecache.cache["/gone/cell.py"] = (0, None, CODE.splitlines(keepends=True), "/gone/cell.py")
    running = Running(TaskSpec(b"t" * 24, b"f", "outer", cell="c"), 1, None)
    running.function, running.call = names["outer"], ([7], {})
    error = fails(names["outer"], 7)
    assert error.__traceback__ is not None
    return running, error.with_traceback(error.__traceback__.tb_next)  # as a worker sees it


def test_a_trace_says_where_with_what_arguments_and_in_which_cell(
    failure: tuple[Running, BaseException],
) -> None:
    trace = traces.decode(traces.make(*failure))
    assert trace is not None
    assert (trace.name, trace.cell, trace.arguments) == ("outer", "c", "x=7")
    (raised,) = trace.chain
    assert (raised.kind, raised.text) == ("ZeroDivisionError", "division by zero")
    assert [(f.name, f.line, f.first) for f in raised.frames] == [("outer", 8, 6), ("inner", 4, 2)]
    assert raised.frames[1].source[raised.frames[1].offset] == "    return total / n"


def test_rebuilt_frames_look_like_those_that_failed_and_fetch_their_variables(
    failure: tuple[Running, BaseException], tmp_path: Path
) -> None:
    data = traces.make(*failure)
    Keeper(Files(str(tmp_path))).keep(*failure, data)
    del linecache.cache["/gone/cell.py"]  # another kernel: the trace's own lines have to do
    trace = traces.decode(data)
    assert trace is not None
    rebuilt = frames.rebuild(Files(str(tmp_path)), trace, 0, {"helper": len})
    text = "".join(traceback.format_tb(frames.link(rebuilt)))
    assert 'File "/gone/cell.py", line 8, in outer\n    return inner([x], 0)' in text
    assert 'File "/gone/cell.py", line 4, in inner\n    return total / n' in text
    outer, inner = (place[0] for place in rebuilt)
    assert dict(inner.f_locals.items()) == {"values": [7], "n": 0, "total": 7}
    assert eval("helper(values)", inner.f_globals, inner.f_locals) == 1
    assert outer.f_locals["x"] == 7
    assert "lock" in repr(outer.f_locals["lock"])
    assert "nothing" not in outer.f_locals


def test_who_looks_for_holders_of_objects_reads_none_of_them(
    failure: tuple[Running, BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = traces.make(*failure)
    files = Files(str(tmp_path))
    Keeper(files).keep(*failure, data)
    trace = traces.decode(data)
    assert trace is not None
    tb = frames.link(frames.rebuild(files, trace, 0, {}))
    monkeypatch.setattr(sys, "last_value", ValueError().with_traceback(tb), raising=False)
    shell = SimpleNamespace(user_ns={})
    assert list(holders._values(shell)) == []
    assert tb is not None
    assert tb.tb_frame.f_locals["x"] == 7
    assert list(holders._values(shell)) == [("x in outer (last error)", 7)]


def test_what_is_not_there_is_said_once(
    failure: tuple[Running, BaseException], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trace = traces.decode(traces.make(*failure))
    assert trace is not None
    for folder, why in ((tmp_path, "were not kept"), (tmp_path / "gone", "its session is over")):
        ((frame, *_), _) = frames.rebuild(Files(str(folder)), trace, 0, {})
        assert frame.f_locals.get("x") is None
        assert list(frame.f_locals) == []
        (line,) = capsys.readouterr().out.splitlines()
        assert line.startswith("The variables of outer are not there: ")
        assert why in line


def test_files_are_bounded_and_the_oldest_go(
    failure: tuple[Running, BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains_files, "COUNT", 3)
    monkeypatch.setattr(remains_files, "_LOOK", 1)
    running, error = failure
    files = Files(str(tmp_path))
    keeper = Keeper(files)
    data = traces.make(running, error)
    for n in range(5):
        running.spec = TaskSpec(bytes([n]) * 24, b"f", "outer")
        keeper.keep(running, error, data)
        files._prune()
    assert len(list((tmp_path / "failed").iterdir())) == 3
    assert Remains(Files(str(tmp_path)), (bytes([4]) * 24).hex()).value(1, "total") == 7


def test_values_over_the_cap_are_there_as_text(
    failure: tuple[Running, BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains, "CAP", 20)
    running, _ = failure

    def large() -> None:
        text, number = "x" * 100, 5
        raise ValueError(number, text)

    keeper = Keeper(Files(str(tmp_path)))
    error = fails(large)
    keeper.keep(running, error, traces.make(running, error))
    kept = Remains(Files(str(tmp_path)), running.spec.id.hex())
    last = len(kept.header.frames) - 1
    assert kept.value(last, "number") == 5
    assert repr(kept.value(last, "text")).startswith("'xxx")


def test_a_failure_is_found_by_its_name_and_id(
    failure: tuple[Running, BaseException], tmp_path: Path
) -> None:
    Keeper(Files(str(tmp_path))).keep(*failure, traces.make(*failure))
    task = (b"t" * 24).hex()
    for wanted in ("outer", task, task[:6], task[-6:]):
        assert [h.trace.name for h in remains.find(Files(str(tmp_path)), wanted)] == ["outer"]
    assert remains.find(Files(str(tmp_path)), "inner") == []
    assert remains.find(Files(str(tmp_path / "nowhere")), "outer") == []


class Unspeakable:
    def __repr__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 2, 3], "[1, 2, 3]"),
        (list(range(100)), "[0, 1, 2, 3, ...]"),
        (SimpleNamespace(shape=(2, 3), dtype="f8"), "<SimpleNamespace 2 x 3 f8>"),
        ("a\nb", r"'a\nb'"),
    ],
)
def test_short_reprs(value: object, text: str) -> None:
    assert short_repr(value) == text


def test_a_short_repr_is_short_and_never_fails() -> None:
    assert len(short_repr("x" * 10_000)) <= 60
    assert "Unspeakable" in short_repr(Unspeakable())
    assert "Unspeakable" in short_repr([Unspeakable()])
