"""Prefixes and partial lines of what tasks print."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raykernel.runtime.events import LogLine
from raykernel.tasklog import HOLD, MEMORY, LogText


def said(text: str, task: str = "t1", pid: str = "7", cell: str = "c", **more: str) -> LogLine:
    return LogLine(cell, task, more.get("name", "f"), pid, more.get("stream", "stdout"), text)


def test_each_line_says_who_wrote_it() -> None:
    assert LogText().render([said("a\nb\n"), said("c\n", "t2", "8")], 0.0) == [
        ("c", "stdout", "(f pid=7) a\n(f pid=7) b\n(f pid=8) c\n")
    ]


def test_text_from_outside_a_task_has_no_function() -> None:
    assert LogText().render([said("hello\n", name="")], 0.0) == [("c", "stdout", "(pid=7) hello\n")]


def test_cells_and_streams_are_kept_apart_and_in_order() -> None:
    lines = [
        said("1\n"),
        said("2\n", cell="d"),
        said("3\n", stream="stderr", cell="d"),
        said("4\n"),
    ]
    assert [(cell, stream) for cell, stream, _ in LogText().render(lines, 0.0)] == [
        ("c", "stdout"),
        ("d", "stdout"),
        ("d", "stderr"),
        ("c", "stdout"),
    ]


def test_the_beginning_of_a_line_waits_for_its_rest() -> None:
    log = LogText()
    assert log.render([said("be")], 0.0) == []
    assert log.holds
    assert log.render([said("other\n", "t2", "8")], 0.1) == [("c", "stdout", "(f pid=8) other\n")]
    assert log.render([said("gin\nnext\n")], 0.2) == [
        ("c", "stdout", "(f pid=7) begin\n(f pid=7) next\n")
    ]
    assert not log.holds


def test_a_line_without_end_is_shown_after_a_while_and_goes_on_without_a_second_prefix() -> None:
    log = LogText()
    log.render([said("half")], 0.0)
    assert log.render([], HOLD / 2) == []
    assert log.render([], HOLD) == [("c", "stdout", "(f pid=7) half")]
    assert log.render([said(" and")], HOLD) == [("c", "stdout", " and")]
    assert log.render([said(" done\nnext\n")], HOLD) == [("c", "stdout", " done\n(f pid=7) next\n")]


def test_waiting_for_a_lines_rest_is_not_prolonged_by_parts_of_it() -> None:
    log = LogText()
    log.render([said(".")], 0.0)
    log.render([said(".")], HOLD / 2)
    assert log.render([said(".")], HOLD) == [("c", "stdout", "(f pid=7) ...")]


def test_another_writer_begins_on_a_line_of_its_own() -> None:
    log = LogText()
    log.render([said("half")], 0.0, everything=True)
    assert log.render([said("other\n", "t2", "8")], 0.0) == [("c", "stdout", "\n(f pid=8) other\n")]
    assert log.render([said(" rest\n")], 0.0) == [("c", "stdout", "(f pid=7)  rest\n")]


def test_a_progress_bar_keeps_its_prefix() -> None:
    assert LogText().render([said("\r10%\r20%")], 0.0, everything=True) == [
        ("c", "stdout", "(f pid=7) \r(f pid=7) 10%\r(f pid=7) 20%")
    ]


def test_only_newlines_end_lines() -> None:
    assert LogText().render([said("a\x0cb\u2028c\r\n\n")], 0.0) == [
        ("c", "stdout", "(f pid=7) a\x0cb\u2028c\n(f pid=7) \n")
    ]


def test_open_lines_are_bounded() -> None:
    log = LogText()
    log.render([said("open", cell=str(i)) for i in range(MEMORY + 1)], 0.0, everything=True)
    (first,) = log.render([said("on", cell="0")], 0.0, everything=True)
    (last,) = log.render([said("on", cell=str(MEMORY))], 0.0)
    assert first[2] == "(f pid=7) on"
    assert last[2] == "on"


def test_nothing_is_nothing() -> None:
    assert LogText().render([said("")], 0.0) == []


@given(st.lists(st.tuples(st.sampled_from("78"), st.text("ab\n", max_size=6)), max_size=30))
def test_lines_cut_anywhere_come_out_whole(pieces: list[tuple[str, str]]) -> None:
    log = LogText()
    texts = {"7": "", "8": ""}
    shown = ""
    for pid, piece in pieces:
        texts[pid] += piece
        shown += "".join(text for *_, text in log.render([said(piece, pid, pid)], 0.0))
    shown += "".join(text for *_, text in log.render([], 0.0, everything=True))
    for pid, text in texts.items():
        prefix = f"(f pid={pid}) "
        mine = [line[len(prefix) :] for line in shown.split("\n") if line.startswith(prefix)]
        assert "\n".join(mine) == (text[:-1] if text.endswith("\n") else text)
