"""How much output is shown, and what stands where it breaks off."""

from __future__ import annotations

from raykernel.loglimit import Limit


def test_a_cells_lines_end_with_the_way_to_the_rest() -> None:
    limit = Limit(3, 0, lambda cell: 7)
    assert limit.take("c", "1\n2\n") == "1\n2\n"
    assert limit.take("c", "3\n4\n5\n").splitlines() == [
        "3",
        "… this cell's tasks have printed more than 3 lines: the rest is in the log files, see "
        "%ray logs --cell 7",
    ]
    assert limit.take("c", "6\n") == ""
    assert limit.take("c", "", skipped=True) == ""
    assert limit.take("d", "1\n") == "1\n"


def test_what_a_worker_kept_back_is_said_as_well() -> None:
    limit = Limit(3, 0, lambda cell: 0)
    assert limit.take("c", "1\n") == "1\n"
    assert limit.take("c", "", skipped=True).endswith(
        "the rest is in the log files, see %ray logs\n"
    )
    assert limit.take("c", "2\n") == ""


def test_a_sessions_bytes_end_once() -> None:
    limit = Limit(0, 10, lambda cell: 1)
    assert limit.take("c", "12345\n") == "12345\n"
    assert limit.take("d", "12345\n").count("\n") == 2
    assert limit.take("e", "1\n") == ""


def test_no_limit_is_none() -> None:
    limit = Limit(0, 0, lambda cell: 1)
    assert limit.take("c", "x\n" * 10_000) == "x\n" * 10_000


def test_an_endless_line_is_cut() -> None:
    shown = Limit(10, 0, lambda cell: 1).take("c", "x" * 50_000 + "\nnext\n")
    assert shown.endswith(" … (50,000 characters)\nnext\n")
    assert len(shown) < 11_000
