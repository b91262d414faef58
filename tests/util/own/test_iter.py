"""Parallel iterators, where Ray 2.60 hangs or is silent."""

from __future__ import annotations

import pytest

from raykernel.util.iter import LocalIterator, from_items, from_range

pytestmark = pytest.mark.usefixtures("session")


def test_duplicates_can_be_read_one_after_the_other() -> None:
    one, two = from_range(3, num_shards=1).gather_sync().duplicate(2)
    assert (list(one), list(two)) == ([0, 1, 2], [0, 1, 2])


def test_repeating_nothing_ends() -> None:
    assert from_items([], num_shards=1, repeat=True).take(3) == []


def test_counters_are_for_operators_alone() -> None:
    with pytest.raises(ValueError, match="get_metrics"):
        LocalIterator.get_metrics()


def test_an_iterator_begins_again_when_it_is_gathered_again() -> None:
    numbers = from_range(4, num_shards=2)
    assert numbers.take(2) == [0, 2]
    assert list(numbers.gather_sync()) == [0, 2, 1, 3]
