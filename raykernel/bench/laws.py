"""How a cost grows with its size: the law behind a few measurements, and whether it is kept.

The total for `n` items is taken to be c * n**e. `e` is the slope of the line through the points in
logarithms, by least squares: 1 means that each item costs the same however many there are, 2 that
each costs as much as all before it together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Law:
    """One thing that grows. `totals` belong to `sizes`, in `unit`; at most `bound` each."""

    name: str
    item: str  # what there are `sizes` of
    unit: str  # of a total: "s" or "B"
    sizes: Sequence[int]
    totals: Sequence[float]
    bound: float | None = None
    #: How much less than the best rate the worst may be, as a part of it.
    flat: float | None = None
    note: str = ""

    def each(self) -> list[float]:
        """The cost of one item, at each size."""
        return [total / size for size, total in zip(self.sizes, self.totals, strict=True)]

    def exponent(self) -> float | None:
        """None where there is too little to tell."""
        points = [
            (math.log(size), math.log(total))
            for size, total in zip(self.sizes, self.totals, strict=True)
            if total > 0
        ]
        if len({x for x, _ in points}) < 2:
            return None
        mean_x = sum(x for x, _ in points) / len(points)
        mean_y = sum(y for _, y in points) / len(points)
        spread = sum((x - mean_x) ** 2 for x, _ in points)
        return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread

    def goal(self) -> str:
        said = []
        if self.bound is not None:
            said.append(f"<= {self.bound:g} {self.unit} each")
        if self.flat is not None:
            said.append(f"rates within {self.flat:.0%}")
        return ", ".join(said)

    def met(self) -> bool | None:
        """Whether the goal is reached; None if there is none, or nothing was measured."""
        each = self.each()
        if not each or (self.bound is None and self.flat is None):
            return None
        if self.bound is not None and each[-1] > self.bound:
            return False
        return self.flat is None or min(each) / max(each) >= 1 - self.flat


def lines(laws: Sequence[Law]) -> list[str]:
    """For a person: a line per law, with the cost of one item at each size."""
    out = []
    for law in laws:
        exponent = law.exponent()
        said = "" if exponent is None else f"   total ~ n^{exponent:.2f}"
        met = {True: "   met", False: "   NOT met", None: ""}[law.met()]
        goal = f"   goal {law.goal()}" if law.goal() else ""
        out.append(f"{law.name}{said}{goal}{met}")
        out += [
            f"    {size:>9,} {law.item:<8} {_cost(each, law.unit)} each"
            for size, each in zip(law.sizes, law.each(), strict=True)
        ]
        if law.note:
            out.append(f"    {law.note}")
    return out


def _cost(value: float, unit: str) -> str:
    if unit == "B":
        return f"{value:8,.0f} B "
    if value >= 1e-3:
        return f"{value * 1e3:8.2f} ms"
    return f"{value * 1e6:8.2f} us"


def as_dicts(laws: Sequence[Law]) -> list[dict[str, object]]:
    return [
        {
            "name": law.name, "unit": law.unit, "sizes": list(law.sizes),
            "totals": list(law.totals), "each": law.each(), "exponent": law.exponent(),
            "goal": law.goal(), "met": law.met(), "note": law.note,
        }
        for law in laws
    ]  # fmt: skip
