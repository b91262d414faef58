"""Prefixes and partial lines of what tasks print."""

from __future__ import annotations

from raykernel.runtime.events import LogLine
from raykernel.tasklog import MEMORY, LogText


def said(text: str, task: str = "t1", pid: str = "7", cell: str = "c", **more: str) -> LogLine:
    return LogLine(cell, task, more.get("name", "f"), pid, more.get("stream", "stdout"), text)


def test_each_line_says_who_wrote_it() -> None:
    log = LogText()
    assert log.render([said("a\nb\n"), said("c\n", "t2", "8")]) == [
        ("c", "stdout", "(f pid=7) a\n(f pid=7) b\n(f pid=8) c\n")
    ]


def test_text_from_outside_a_task_has_no_function() -> None:
    assert LogText().render([said("hello\n", name="")]) == [("c", "stdout", "(pid=7) hello\n")]


def test_cells_and_streams_are_kept_apart_and_in_order() -> None:
    lines = [
        said("1\n"),
        said("2\n", cell="d"),
        said("3\n", stream="stderr", cell="d"),
        said("4\n"),
    ]
    assert [(cell, stream) for cell, stream, _ in LogText().render(lines)] == [
        ("c", "stdout"),
        ("d", "stdout"),
        ("d", "stderr"),
        ("c", "stdout"),
    ]


def test_a_partial_line_goes_on_without_a_second_prefix() -> None:
    log = LogText()
    assert log.render([said("half")]) == [("c", "stdout", "(f pid=7) half")]
    assert log.render([said(" done\nnext\n")]) == [("c", "stdout", " done\n(f pid=7) next\n")]


def test_another_writer_begins_on_a_line_of_its_own() -> None:
    log = LogText()
    log.render([said("half")])
    assert log.render([said("other\n", "t2", "8")]) == [("c", "stdout", "\n(f pid=8) other\n")]
    assert log.render([said(" rest\n")]) == [("c", "stdout", "(f pid=7)  rest\n")]


def test_a_progress_bar_keeps_its_prefix() -> None:
    assert LogText().render([said("\r10%\r20%")]) == [
        ("c", "stdout", "(f pid=7) \r(f pid=7) 10%\r(f pid=7) 20%")
    ]


def test_only_newlines_end_lines() -> None:
    assert LogText().render([said("a\x0cb\u2028c\r\n\n")]) == [
        ("c", "stdout", "(f pid=7) a\x0cb\u2028c\n(f pid=7) \n")
    ]


def test_open_lines_are_bounded() -> None:
    log = LogText()
    log.render([said("open", cell=str(i)) for i in range(MEMORY + 1)])
    (first,) = log.render([said("on", cell="0")])
    (last,) = log.render([said("on", cell=str(MEMORY))])
    assert first[2] == "(f pid=7) on"
    assert last[2] == "on"


def test_nothing_is_nothing() -> None:
    assert LogText().render([said("")]) == []
