"""What leaves a process for the refs that came to be in it, and ended."""

from __future__ import annotations

from raykernel.runtime import messages as m
from raykernel.runtime.instances import Back, Instances, Plus

MINE, THEIRS = b"mine-1", b"theirs-1"


def test_ends_that_follow_each_other_leave_as_one_message_and_in_order() -> None:
    other = m.Unblocked()
    folded = Instances(b"mine", set()).fold([b"mine-1", b"mine-2", other, (64,), b"mine-3"])
    assert folded.messages == [m.Release([b"mine-1", b"mine-2"]), other, m.Release([b"mine-3"])]
    assert list(folded.gone) == [b"mine-1", b"mine-2", b"mine-3"]
    assert folded.unpinned == [64]


def test_an_object_made_elsewhere_is_gone_with_its_last_instance() -> None:
    instances = Instances(b"mine", set())
    assert not instances.fold([Plus(THEIRS), Plus(THEIRS), THEIRS]).gone
    assert list(instances.fold([THEIRS]).gone) == [THEIRS]


def test_of_an_object_made_here_the_first_instance_counts_besides() -> None:
    instances = Instances(b"mine", set())
    assert not instances.fold([Plus(MINE), MINE]).gone
    assert list(instances.fold([MINE]).gone) == [MINE]


def test_what_comes_back_here_is_gone_with_its_last_instance() -> None:
    instances = Instances(b"mine", set())
    assert list(instances.fold([MINE]).gone) == [MINE]
    assert not instances.fold([Back(MINE), Plus(MINE), MINE]).gone
    assert list(instances.fold([MINE]).gone) == [MINE]
    instances.fold([Back(MINE)])
    folded = instances.fold([MINE, Back(MINE), MINE])
    assert list(folded.gone) == [MINE]
    assert folded.messages == [m.Release([MINE]), m.AddRef([MINE]), m.Release([MINE])]
    assert not instances.fold([Plus(MINE), MINE]).gone  # made here again: the first counts besides


def test_an_instance_found_again_stands_for_the_first() -> None:
    instances = Instances(b"mine", set())
    instances.fold([Plus(MINE)])
    instances.is_first(MINE)
    assert list(instances.fold([MINE]).gone) == [MINE]


def test_what_is_gone_is_not_wanted_and_what_comes_back_is_asked_for_again() -> None:
    wanted = {MINE, THEIRS}
    instances = Instances(b"mine", wanted)
    folded = instances.fold([MINE, THEIRS, Plus(THEIRS)])
    assert folded.gone == {MINE: True}
    assert wanted == {THEIRS}
    assert folded.messages == [
        m.Release([MINE, THEIRS]),
        m.AddRef([THEIRS]),
        m.Want([THEIRS]),
    ]
