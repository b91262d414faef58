"""What is measured, and the goals: how many times better than Ray, or an absolute bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

RAYKERNEL = "raykernel"
RAY = "ray"
POOL = "processpool"  # concurrent.futures.ProcessPoolExecutor

START = "start to first result"
MEMORY = "memory of an idle session, 2 workers (USS)"
ONE_TASK = "tasks, one at a time"
MANY_TASKS = "tasks, 1,000 at once"

#: What each engine can be asked for; None means all of it.
OFFERS: Mapping[str, frozenset[str] | None] = {
    RAYKERNEL: None,
    RAY: None,
    POOL: frozenset({START, ONE_TASK, MANY_TASKS}),
}


@dataclass(frozen=True)
class Row:
    """One operation. `over` is the goal's least ratio to each other engine, `limit` its bound."""

    name: str
    unit: str
    over: Mapping[str, float] = field(default_factory=dict)
    limit: float | None = None

    @property
    def less_is_better(self) -> bool:
        return self.unit in ("s", "MB")

    def ratio(self, ours: float, theirs: float) -> float:
        """How many times better ours is, whichever way better lies."""
        return theirs / ours if self.less_is_better else ours / theirs

    def goal(self) -> str:
        said = [f">= {least:g}x {engine}" for engine, least in self.over.items()]
        if self.limit is not None:
            said.insert(0, f"<= {self.limit:g} {self.unit}")
        return ", ".join(said)

    def met(self, ours: float, ratios: Mapping[str, float]) -> bool | None:
        """Whether the goal is reached, as far as this run can tell; None if it can't."""
        checks = [
            ratios[engine] >= least for engine, least in self.over.items() if engine in ratios
        ]
        if self.limit is not None:
            checks.append(ours <= self.limit)
        return all(checks) if checks else None


ROWS = (
    Row(START, "s", {RAY: 20}, limit=0.4),
    Row(MEMORY, "MB", limit=70),
    Row("get small object", "ops/s", {RAY: 20}),
    Row("put small object", "ops/s", {RAY: 20}),
    Row("put 100 MiB array", "GiB/s", {RAY: 2.5}),
    Row("get 100 MiB array (zero-copy)", "GiB/s", {RAY: 1}),
    Row("task reads 100 MiB array", "ops/s", {RAY: 8}),
    Row("task returns 10 MiB array", "ops/s", {RAY: 2.5}),
    Row(ONE_TASK, "ops/s", {RAY: 8, POOL: 1}),
    Row(MANY_TASKS, "ops/s", {RAY: 25, POOL: 4}),
    Row("tasks submitted by 4 tasks", "ops/s", {RAY: 12}),
    Row("tree reduction of 256", "tasks/s", {RAY: 20}),
    Row("dependent chain of 100", "tasks/s", {RAY: 15}),
    Row("wait for 1,000 refs one by one", "ops/s", {RAY: 12}),
    Row("actor calls, one at a time", "ops/s", {RAY: 5}),
    Row("actor calls, 1,000 at once", "ops/s", {RAY: 10}),
    Row("async actor calls, 1,000 at once", "ops/s", {RAY: 12}),
    Row("actor: create, call, kill", "ops/s", {RAY: 100}),
    Row("object holding 1,000 refs", "ops/s", {RAY: 25}),
)

#: Measured on a session that did nothing yet, so each round starts one of its own.
FRESH = frozenset({START, MEMORY})
