"""Progress bars: who is told of them, what is read from text, how they look on a line."""

from __future__ import annotations

import io

import pytest

from raykernel.barlines import BarLines, bar_text
from raykernel.runtime.bars import BarTable
from raykernel.runtime.events import BarInfo, LogLine
from raykernel.runtime.livetext import Screens, read_bar


def told(task: str = "t", bar: str = "1", **values: object) -> BarInfo:
    return BarInfo(bar, task, **values)  # type: ignore[arg-type]


def test_a_bar_ends_once_with_its_task_or_its_process_or_by_itself() -> None:
    out: list[BarInfo] = []
    table = BarTable(out.extend)
    table.moved(b"w", [told("t", "1", n=3), told("t", "2"), told("call", "3")], lambda bar: True)
    table.moved(b"w", [told("t", "2", n=9, closed=True)], lambda bar: True)
    out.clear()
    table.task_ended("t")
    assert [(bar.id, bar.n, bar.closed) for bar in out] == [("1", 3, True)]
    out.clear()
    table.client_gone(b"w")
    table.task_ended("call")
    assert [(bar.id, bar.closed) for bar in out] == [("3", True)]
    assert not table.open


def test_a_bar_that_comes_after_its_tasks_end_is_not_shown_for_ever() -> None:
    out: list[BarInfo] = []
    table = BarTable(out.extend)
    table.moved(b"w", [told("over")], lambda bar: bar.task != "over")
    assert not out
    assert not table.open


class Terminal:
    """What a task's stream comes to, sifted every tenth of a second."""

    def __init__(self) -> None:
        self.screens = Screens()
        self.now = 0.0
        self.text = ""
        self.bars: dict[str, BarInfo] = {}

    def write(self, *texts: str) -> None:
        for text in texts:
            self.now += 0.11
            lines = [LogLine("c", "t", "f", "7", "stderr", text)] if text else []
            self._take(*self.screens.sift(lines, self.now))

    def end(self) -> None:
        kept: list[LogLine] = []
        bars: list[BarInfo] = []
        self.screens.end("t", kept, bars)
        self._take(kept, bars)

    def _take(self, kept: list[LogLine], bars: list[BarInfo]) -> None:
        self.text += "".join(line.text for line in kept)
        for bar in bars:
            self.bars.pop(bar.id, None)
            if not bar.closed:
                self.bars[bar.id] = bar

    def shown(self) -> list[tuple[str, float, float | None, str]]:
        return [(bar.desc, bar.n, bar.total, bar.text) for bar in self.bars.values()]


def test_text_that_rewrites_itself_is_a_bar_and_its_last_form_a_line() -> None:
    screen = Terminal()
    screen.write("before\n", "\rtrain:  40%|####      | 40/100 [00:01<00:02, 30.0it/s]")
    assert screen.text == "before\n"
    assert screen.shown() == [("train", 40, 100, "")]
    screen.write("\rtrain: 100%|##########| 100/100 [00:03<00:00, 30.0it/s]\n", "after\n", "", "")
    assert screen.text.splitlines()[1:] == [
        "train: 100%|##########| 100/100 [00:03<00:00, 30.0it/s]",
        "after",
    ]
    assert not screen.bars
    assert not screen.screens


def test_bars_below_each_other_are_told_apart() -> None:
    screen = Terminal()
    outer, inner = "\router:  0%|  | 0/2 [00:00<?, ?it/s]", "\rinner: 50%|# | 1/2 [00:00<?, ?it/s]"
    for _ in range(3):
        screen.write(outer, f"\n{inner}\x1b[A")
    assert screen.shown() == [("outer", 0, 2, ""), ("inner", 1, 2, "")]
    assert screen.text == ""


def test_a_tasks_end_takes_its_bars_and_leaves_their_text() -> None:
    screen = Terminal()
    screen.write("\rloading...", "\rhalf way through")
    assert screen.shown() == [("", 0, None, "half way through")]
    screen.end()
    assert not screen.bars
    assert screen.text == "half way through\n"


def test_windows_newlines_are_newlines() -> None:
    screen = Terminal()
    screen.write("one\r\ntwo\r\n")
    assert screen.text == "one\r\ntwo\r\n"


@pytest.mark.parametrize(
    ("text", "bar"),
    [
        ("  7%|7   | 7/100 [00:01<00:09, 9.5rows/s, loss=1]", ("", 7, 100, "rows")),
        ("a: b: 50%|# | 1/2 [00:01<00:01, 1.20s/file]", ("a: b", 1, 2, "file")),
        ("load: 40it [00:01, 30.00it/s]", ("load", 40, None, "it")),
    ],
)
def test_what_tqdm_writes_is_read_back(text: str, bar: tuple[str, int, int, str]) -> None:
    found = read_bar(text)
    assert (found.desc, found.n, found.total, found.unit) == bar


def test_without_a_terminal_only_a_bars_last_state_is_printed() -> None:
    stream = io.StringIO()
    lines = BarLines(stream)
    lines.show([told(desc="train", n=1, total=4)])
    lines.show([told(desc="train", n=4, total=4, elapsed=2.0, closed=True)])
    assert stream.getvalue() == "train: 100% ████████████████████ 4/4 [2.0 it/s]\n"
    assert bar_text(told(n=1500, unit="rows")) == "1,500 rows"
