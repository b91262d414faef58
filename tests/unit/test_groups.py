"""Placement groups' accounts: bundles all or none, out of the node's pool, card by card."""

from __future__ import annotations

import pytest

from raykernel.runtime.groups import REMEMBERED, GroupSpace, GroupState, GroupTable
from raykernel.runtime.messages import CreateGroup
from raykernel.runtime.resources import UNIT, Pool, encode


class Node:
    """A node's pool with a table of groups, and a clock that a test sets."""

    def __init__(self, **total: float) -> None:
        self.now = 100.0
        self.pool = Pool({name: int(n * UNIT) for name, n in total.items()})
        self.table = GroupTable(self.pool, lambda: self.now)
        self.whys: list[str] = []

    def reserve(
        self,
        name: bytes,
        *bundles: dict[str, float],
        strategy: str = "PACK",
        detached: bool = False,
    ) -> GroupState:
        message = CreateGroup(
            1, name, [encode(b) for b in bundles], strategy, name.decode(), detached
        )
        self.whys.append(self.table.create(message, b"driver"))
        self.table.place()
        return self.table.groups[name].state

    def free(self, name: str) -> float:
        return self.pool.free[name] / UNIT


def test_a_group_takes_what_all_its_bundles_need_at_once() -> None:
    node = Node(CPU=4, GPU=1)
    assert node.reserve(b"a", {"CPU": 1}, {"CPU": 2, "GPU": 1}) is GroupState.CREATED
    assert (node.free("CPU"), node.free("GPU")) == (1, 0)


def test_a_group_that_does_not_fit_now_takes_nothing() -> None:
    node = Node(CPU=4)
    node.pool.take({"CPU": 3 * UNIT})
    assert node.reserve(b"a", {"CPU": 1}, {"CPU": 1}) is GroupState.PENDING
    assert node.free("CPU") == 1
    node.pool.give({"CPU": 3 * UNIT})
    node.table.place()
    assert node.table.groups[b"a"].state is GroupState.CREATED
    assert node.table.pending == 0


def test_removing_a_group_lets_the_oldest_waiting_one_in() -> None:
    node = Node(CPU=2)
    states = [node.reserve(name, {"CPU": 2}) for name in (b"a", b"b", b"c")]
    assert states == [GroupState.CREATED, GroupState.PENDING, GroupState.PENDING]
    assert node.table.remove(b"a") is not None
    node.table.place()
    assert node.table.groups[b"b"].state is GroupState.CREATED
    assert node.table.groups[b"c"].state is GroupState.PENDING


def test_removing_twice_or_what_never_was_gives_nothing_back() -> None:
    node = Node(CPU=2)
    node.reserve(b"a", {"CPU": 2})
    node.table.remove(b"a")
    assert node.table.remove(b"a") is None
    assert node.table.remove(b"nobody") is None
    assert node.free("CPU") == 2


@pytest.mark.parametrize(
    ("strategy", "bundles", "why"),
    [
        ("PACK", [{"CPU": 8.0}], "can't fit on a node that has 4 CPU"),
        ("STRICT_PACK", [{"CPU": 3.0}, {"CPU": 3.0}], "6 CPU can't fit"),
        ("STRICT_SPREAD", [{"CPU": 1.0}, {"CPU": 1.0}], "needs as many nodes"),
        ("PACK", [{"gold": 1.0}], "1 gold can't fit"),
    ],
)
def test_what_can_never_be_is_told_stays_pending_and_can_be_removed(
    strategy: str, bundles: list[dict[str, float]], why: str
) -> None:
    node = Node(CPU=4)
    assert node.reserve(b"a", *bundles, strategy=strategy) is GroupState.PENDING
    assert why in node.whys[-1]
    assert not node.table.groups[b"a"].feasible
    assert node.table.pending == 0  # nobody need look at it again
    assert node.table.remove(b"a") is not None
    assert node.free("CPU") == 4


def test_a_strict_spread_of_one_bundle_is_possible() -> None:
    assert Node(CPU=1).reserve(b"a", {"CPU": 1}, strategy="STRICT_SPREAD") is GroupState.CREATED


def test_each_group_has_cards_of_its_own() -> None:
    node = Node(GPU=2)
    node.reserve(b"a", {"GPU": 1})
    node.reserve(b"b", {"GPU": 1})
    a, b = (node.table.groups[name].bundles[0] for name in (b"a", b"b"))
    assert (a.take_cards(UNIT), b.take_cards(UNIT)) == ((0,), (1,))


def test_scattered_cards_make_a_group_wait_and_stay_free() -> None:
    node = Node(GPU=2)
    for _ in range(2):  # half of each card: one GPU in all, but no whole one
        node.pool.cards[_] -= UNIT // 2
        node.pool.free["GPU"] -= UNIT // 2
    assert node.reserve(b"a", {"GPU": 0.5}, {"GPU": 0.5}) is GroupState.CREATED
    node.table.remove(b"a")
    assert node.reserve(b"b", {"GPU": 1}) is GroupState.PENDING
    assert node.pool.cards == {0: UNIT // 2, 1: UNIT // 2}


def test_a_bundle_serves_what_fits_in_it_and_no_more() -> None:
    node = Node(CPU=4)
    node.reserve(b"a", {"CPU": 1}, {"CPU": 2})
    group = node.table.groups[b"a"]
    first, any_bundle = GroupSpace(group, 0), GroupSpace(group, -1)
    assert first.choose({"CPU": 2 * UNIT}) is None
    assert any_bundle.choose({"CPU": 2 * UNIT}) is group.bundles[1]
    assert any_bundle.count({"CPU": UNIT}, 10) == 3
    assert not any_bundle.could_ever_fit({"CPU": 3 * UNIT})
    node.table.remove(b"a")
    assert any_bundle.choose({"CPU": UNIT}) is None


def test_a_driver_s_end_takes_its_groups_but_not_the_detached_ones() -> None:
    node = Node(CPU=4)
    node.reserve(b"a", {"CPU": 1})
    node.reserve(b"b", {"CPU": 1}, detached=True)
    assert [g.id for g in node.table.of_owner(b"driver")] == [b"a"]
    assert node.table.of_owner(b"somebody else") == []


def test_a_name_is_free_again_once_its_group_is_removed() -> None:
    node = Node(CPU=4)
    node.reserve(b"a", {"CPU": 1})
    found = node.table.named("a")
    assert found is not None
    assert found.id == b"a"
    node.table.remove(b"a")
    assert node.table.named("a") is None


def test_the_time_from_asking_to_having_is_kept() -> None:
    node = Node(CPU=1)
    node.reserve(b"a", {"CPU": 1})
    node.reserve(b"b", {"CPU": 1})
    node.now += 3
    node.table.remove(b"a")
    node.table.place()
    group = node.table.groups[b"b"]
    assert group.created - group.submitted == 3


def test_removed_groups_are_forgotten_in_the_end() -> None:
    node = Node(CPU=1)
    for i in range(REMEMBERED + 1):
        name = str(i).encode()
        node.reserve(name, {"CPU": 1})
        node.table.remove(name)
    assert len(node.table.groups) == REMEMBERED
    assert b"0" not in node.table.groups
