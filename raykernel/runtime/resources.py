"""Amounts of resources, exact to 1e-4, and sets of them with a canonical text.

Amounts are whole numbers of 1/10,000, so that a thousand tasks of 0.001 CPU add up to one CPU. A
set travels and serves as a key as its canonical text ("CPU=10000;GPU=5000", sorted), parsed once
per distinct text.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

UNIT = 10_000

Amounts = Mapping[str, int]


def to_units(amount: float) -> int:
    return round(amount * UNIT)


def to_float(units: int) -> float:
    value = units / UNIT
    return value


def encode(amounts: Mapping[str, float]) -> str:
    """The canonical text of a set; resources of amount 0 are left out."""
    return encode_units({name: to_units(amount) for name, amount in amounts.items()})


def encode_units(units: Amounts) -> str:
    """The same for amounts in units."""
    return ";".join(f"{name}={n}" for name, n in sorted(units.items()) if n)


@lru_cache(maxsize=4096)
def decode(text: str) -> Amounts:
    """The set of a canonical text, in units. Shared: never change it."""
    if not text:
        return {}
    pairs = (item.rpartition("=") for item in text.split(";"))
    return {name: int(units) for name, _, units in pairs}


def describe(text: str) -> str:
    """For a person: "2 CPU, 0.5 GPU"."""
    return _in_words(decode(text)) or "no resources"


def describe_node(total: Mapping[str, int]) -> str:
    """As `describe`, of all that a node has, but for the resources that stand for itself."""
    return _in_words({name: n for name, n in total.items() if not name.startswith("node:")})


def _in_words(amounts: Mapping[str, int]) -> str:
    return ", ".join(f"{to_float(n):g} {name}" for name, n in amounts.items())


class Pool:
    """What a node (or a placement group's bundle) has, and what of it is free.

    `take` may be told to overdraw: a task that was blocked in `get` takes its CPU back at once and
    the pool is then short until another ends, as it is in Ray.

    GPUs are also kept card by card, since what is free of all together may be scattered: a fraction
    needs one card with room for it, a whole number as many cards that nobody uses. `cards` says
    which cards the pool has and what of each is free; without it they are numbered from 0.
    """

    __slots__ = ("cards", "free", "total")

    def __init__(self, total: Mapping[str, int], cards: Mapping[int, int] | None = None) -> None:
        self.total = dict(total)
        self.free = dict(total)
        if cards is None:
            whole, part = divmod(total.get("GPU", 0), UNIT)
            cards = dict(enumerate([UNIT] * whole + ([part] if part else [])))
        self.cards = dict(cards)

    def could_ever_fit(self, amounts: Amounts) -> bool:
        return all(self.total.get(name, 0) >= n for name, n in amounts.items())

    def covers(self, amounts: Amounts) -> bool:
        """Whether these amounts are free, wherever they lie."""
        free = self.free
        for name, n in amounts.items():  # noqa: SIM110 - on the hot path, twice as fast as all()
            if free.get(name, 0) < n:
                return False
        return True

    def fits(self, amounts: Amounts) -> bool:
        """Whether one task could have these amounts now."""
        return self.covers(amounts) and (not self.cards or self.fits_cards(amounts.get("GPU", 0)))

    def choose(self, amounts: Amounts) -> Pool | None:
        """This pool, if it has these amounts now."""
        return self if self.fits(amounts) else None

    def count(self, amounts: Amounts, most: int) -> int:
        """How many times these amounts fit now, `most` at the most."""
        for name, n in amounts.items():
            if n:
                most = min(most, self.free.get(name, 0) // n)
        return max(0, most)

    def take(self, amounts: Amounts) -> None:
        free = self.free
        for name, n in amounts.items():
            free[name] = free.get(name, 0) - n

    def give(self, amounts: Amounts) -> None:
        free = self.free
        for name, n in amounts.items():
            free[name] += n

    # -- cards ---------------------------------------------------------------------------------

    def fits_cards(self, units: int) -> bool:
        if not units:
            return True
        if units < UNIT:
            return any(n >= units for n in self.cards.values())
        return sum(n == UNIT for n in self.cards.values()) >= units // UNIT

    def take_cards(self, units: int) -> tuple[int, ...] | None:
        """The cards for so much GPU, None for none. They must fit."""
        if not units:
            return None
        cards = self.cards
        if units < UNIT:
            # the fullest card that still has room, so that whole ones stay whole
            index = min((i for i, n in cards.items() if n >= units), key=cards.__getitem__)
            cards[index] -= units
            return (index,)
        chosen = tuple([i for i, n in cards.items() if n == UNIT][: units // UNIT])
        for i in chosen:
            cards[i] = 0
        return chosen

    def give_cards(self, chosen: tuple[int, ...] | None, units: int) -> None:
        for i in chosen or ():
            self.cards[i] += min(units, UNIT)
