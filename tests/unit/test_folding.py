"""Which of the lines that tasks repeat are shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raykernel.folding import MEMORY, WAIT, Folding
from raykernel.runtime.events import LogLine


def line(text: str, pid: str = "1", times: int = 1, cell: str = "c") -> LogLine:
    return LogLine(cell, f"task of {pid}", "f", pid, "stdout", f"{text}\n", times)


def shown(folding: Folding, *lines: LogLine, now: float = 0.0) -> list[str]:
    return [told.text[:-1] for one in lines for told in folding.take(one, now)]


def due(folding: Folding, now: float, everything: bool = False) -> list[str]:
    return [told.text[:-1] for told in folding.due(now, everything)]


def test_a_worker_that_repeats_itself() -> None:
    folding = Folding()
    assert shown(folding, *[line("a")] * 4, line("b")) == ["a", "a … repeated 3 times", "b"]
    assert not folding.holds


def test_what_a_worker_says_again_later_is_news() -> None:
    assert shown(Folding(), line("a"), line("b"), line("a"), line("b")) == ["a", "b", "a", "b"]


def test_the_same_from_many_workers_however_it_mixes() -> None:
    folding = Folding()
    lines = [line(text, pid) for pid in "1234" for text in ("a", "b")]
    assert shown(folding, *lines) == ["a", "b"]
    assert folding.holds
    assert due(folding, WAIT / 2) == []
    assert due(folding, WAIT) == [
        "a … repeated 3 times by 3 workers",
        "b … repeated 3 times by 3 workers",
    ]


def test_one_repetition_is_shown_as_it_is() -> None:
    folding = Folding()
    (first,) = folding.take(line("a", "1"), 0.0)
    assert list(folding.take(line("a", "2"), 0.0)) == []
    (second,) = folding.due(0.0, everything=True)
    assert (first.worker, second.worker, second.text) == ("1", "2", "a\n")


def test_an_endless_repetition_is_told_of_ever_more_rarely() -> None:
    folding = Folding()
    told = []
    for second in range(100):
        told += shown(folding, line("tick"), now=float(second))
        told += due(folding, float(second))
    assert told[0] == "tick"
    assert 3 <= len(told) <= 8


def test_after_a_silence_a_line_is_news_again() -> None:
    folding = Folding()
    assert shown(folding, line("a")) == ["a"]
    assert due(folding, WAIT) == []
    assert shown(folding, line("a"), now=WAIT) == ["a"]


def test_lines_that_came_folded_count_in_full() -> None:
    folding = Folding()
    assert shown(folding, line("a", times=58), line("b")) == [
        *("a", "a … repeated 57 times", "b"),
    ]


def test_cells_are_kept_apart() -> None:
    assert shown(Folding(), line("a", "1", cell="c"), line("a", "2", cell="d")) == ["a", "a"]


def test_memory_is_bounded_and_nothing_is_lost() -> None:
    folding = Folding()
    told = shown(folding, line("a", "1"), line("a", "2"), line("a", "3"))
    told += shown(folding, *[line(str(i)) for i in range(MEMORY)])
    assert told[:2] == ["a", "0"]
    assert "a … repeated 2 times by 2 workers" in told


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("123"), st.integers(1, 3))))
def test_every_line_is_told_once(said: list[tuple[str, str, int]]) -> None:
    folding = Folding()
    told = shown(folding, *[line(*one) for one in said]) + due(folding, 0.0, everything=True)
    counts = dict.fromkeys("ab", 0)
    for text in told:
        words = text.split()
        counts[words[0]] += int(words[3]) if len(words) > 1 else 1
    assert counts == {key: sum(n for text, _, n in said if text == key) for key in "ab"}
