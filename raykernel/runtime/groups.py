"""Placement groups: resources reserved together, in bundles, all or none. Sans-IO.

On one machine the strategies PACK, STRICT_PACK and SPREAD come to the same: every bundle lies on
this node. STRICT_SPREAD wants a node per bundle and can have only one. A group is created as soon
as the node has what all its bundles need, oldest group first; what it reserved is the node's again
when the group is removed, or the driver that made it ends. What a task or an actor reserves is the
whole session's: it may hand the group on.

A `Space` is where a task's resources come from: the node's pool, one bundle, or whichever bundle
of a group has room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from . import resources
from .messages import CreateGroup
from .resources import Amounts, Pool

REMEMBERED = 1000  # removed groups that can still be asked for


class Space(Protocol):
    """Where leases are taken from."""

    def choose(self, amounts: Amounts) -> Pool | None:
        """A pool that has these amounts now."""
        ...

    def count(self, amounts: Amounts, most: int) -> int:
        """How many times these amounts fit now, `most` at the most."""
        ...

    def could_ever_fit(self, amounts: Amounts) -> bool: ...


class GroupState(IntEnum):
    PENDING = 0
    CREATED = 1
    REMOVED = 2


class Group:
    """One placement group."""

    __slots__ = (
        "bundles", "cards", "created", "detached", "feasible", "id", "name", "needs", "owner",
        "state", "strategy", "submitted",
    )  # fmt: skip

    def __init__(self, message: CreateGroup, owner: bytes, now: float) -> None:
        self.id = message.group
        self.name = message.name
        self.strategy = message.strategy
        self.detached = message.detached
        self.owner = owner
        self.state = GroupState.PENDING
        self.feasible = True
        self.submitted = now
        self.created = 0.0
        self.bundles = [Pool(resources.decode(b)) for b in message.bundles]
        self.cards: list[tuple[tuple[int, ...], int]] = []  # of each bundle: which, and how much
        self.needs: dict[str, int] = {}
        for bundle in self.bundles:
            for name, n in bundle.total.items():
                self.needs[name] = self.needs.get(name, 0) + n


class GroupSpace:
    """One bundle of a group, or (`bundle` -1) any of them."""

    def __init__(self, group: Group, bundle: int) -> None:
        self._group = group
        self._pools = group.bundles if bundle < 0 else group.bundles[bundle : bundle + 1]

    def choose(self, amounts: Amounts) -> Pool | None:
        if self._group.state is not GroupState.CREATED:
            return None
        return next((p for p in self._pools if p.fits(amounts)), None)

    def count(self, amounts: Amounts, most: int) -> int:
        if self._group.state is not GroupState.CREATED:
            return 0
        return min(most, sum(p.count(amounts, most) for p in self._pools))

    def could_ever_fit(self, amounts: Amounts) -> bool:
        return any(p.could_ever_fit(amounts) for p in self._pools)


class GroupTable:
    """Owned by the scheduler."""

    def __init__(self, pool: Pool, clock: Callable[[], float]) -> None:
        self.groups: dict[bytes, Group] = {}
        self._waiting: dict[bytes, Group] = {}  # those that can be created one day
        self._removed: deque[bytes] = deque()
        self._pool = pool
        self._clock = clock

    @property
    def pending(self) -> int:
        """How many groups wait for resources."""
        return len(self._waiting)

    def create(self, message: CreateGroup, owner: bytes) -> str:
        """Note a group. Returns why it can never be created, or "": it then stays pending."""
        group = Group(message, owner, self._clock())
        self.groups[group.id] = group
        why = ""
        if group.strategy == "STRICT_SPREAD" and len(group.bundles) > 1:
            why = (
                f"a STRICT_SPREAD placement group of {len(group.bundles)} bundles needs as many "
                "nodes, and this session has one"
            )
        elif not self._pool.could_ever_fit(group.needs):
            have = resources.describe_node(self._pool.total)
            need = resources.describe(resources.encode_units(group.needs))
            why = f"a placement group of {need} can't fit on a node that has {have}"
        if why:
            group.feasible = False
        else:
            self._waiting[group.id] = group
        return why

    def named(self, name: str) -> Group | None:
        """The living group of that name."""
        for group in self.groups.values():
            if group.name == name and group.state is not GroupState.REMOVED:
                return group
        return None

    def place(self) -> None:
        """Create the pending groups that fit, oldest first."""
        for group in list(self._waiting.values()):
            if self._pool.covers(group.needs) and self._take_cards(group):
                self._pool.take(group.needs)
                group.state = GroupState.CREATED
                group.created = self._clock()
                del self._waiting[group.id]

    def _take_cards(self, group: Group) -> bool:
        """Give each bundle cards of its own; False, and nothing is taken, if they are scattered."""
        node = self._pool
        for bundle in group.bundles:
            units = bundle.total.get("GPU", 0)
            bundle.cards = {}
            if not node.fits_cards(units):
                self._give_cards(group)
                return False
            chosen = node.take_cards(units) or ()
            bundle.cards = dict.fromkeys(chosen, min(units, resources.UNIT))
            group.cards.append((chosen, units))
        return True

    def _give_cards(self, group: Group) -> None:
        for chosen, units in group.cards:
            self._pool.give_cards(chosen, units)
        group.cards.clear()

    def remove(self, group_id: bytes) -> Group | None:
        """Take a group out; the node has back what it reserved. None if there is none."""
        group = self.groups.get(group_id)
        if group is None or group.state is GroupState.REMOVED:
            return None
        if group.state is GroupState.CREATED:
            self._pool.give(group.needs)
            self._give_cards(group)
        self._waiting.pop(group_id, None)
        group.state = GroupState.REMOVED
        self._removed.append(group_id)
        if len(self._removed) > REMEMBERED:
            del self.groups[self._removed.popleft()]
        return group

    def of_owner(self, owner: bytes) -> list[Group]:
        living = (g for g in self.groups.values() if g.state is not GroupState.REMOVED)
        return [g for g in living if g.owner == owner and not g.detached]
