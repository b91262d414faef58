"""Placement groups: resources reserved together, in bundles, all or none. Sans-IO.

On one machine the strategies PACK, STRICT_PACK and SPREAD come to the same: every bundle lies on
this node. STRICT_SPREAD wants a node per bundle and can have only one. A group is created as soon
as the node has what all its bundles need, oldest group first; what it reserved is the node's again
when the group is removed, or its owner ends.

A `Space` is where a task's resources come from: the node's pool, one bundle, or whichever bundle
of a group has room.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Protocol

from . import resources
from .messages import CreateGroup
from .resources import Amounts, Pool


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

    __slots__ = ("bundles", "detached", "id", "name", "needs", "owner", "state", "strategy")

    def __init__(self, message: CreateGroup, owner: bytes) -> None:
        self.id = message.group
        self.name = message.name
        self.strategy = message.strategy
        self.detached = message.detached
        self.owner = owner
        self.state = GroupState.PENDING
        self.bundles = [Pool(resources.decode(b)) for b in message.bundles]
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

    def __init__(self, pool: Pool) -> None:
        self.groups: dict[bytes, Group] = {}
        self.pending = 0
        self._pool = pool

    def create(self, message: CreateGroup, owner: bytes) -> str:
        """Note a group. Returns why it can never be created, or ""."""
        if message.group in self.groups:
            return ""
        group = Group(message, owner)
        if group.strategy == "STRICT_SPREAD" and len(group.bundles) > 1:
            return (
                f"a STRICT_SPREAD placement group of {len(group.bundles)} bundles needs as many "
                "nodes, and this session has one"
            )
        if group.strategy == "STRICT_PACK" and not self._pool.could_ever_fit(group.needs):
            have = resources.describe(resources.encode_units(self._pool.total))
            need = resources.describe(resources.encode_units(group.needs))
            return f"a STRICT_PACK placement group of {need} can't fit on a node that has {have}"
        self.groups[group.id] = group
        self.pending += 1
        return ""

    def place(self) -> None:
        """Create the pending groups that fit, oldest first."""
        for group in self.groups.values():
            if group.state is GroupState.PENDING and self._pool.fits(group.needs):
                self._pool.take(group.needs)
                group.state = GroupState.CREATED
                self.pending -= 1

    def remove(self, group_id: bytes) -> Group | None:
        """Take a group out; the node has back what it reserved. None if there is none."""
        group = self.groups.get(group_id)
        if group is None or group.state is GroupState.REMOVED:
            return None
        if group.state is GroupState.CREATED:
            self._pool.give(group.needs)
        else:
            self.pending -= 1
        group.state = GroupState.REMOVED
        return group

    def of_owner(self, owner: bytes) -> list[Group]:
        return [g for g in self.groups.values() if g.owner == owner and not g.detached]
