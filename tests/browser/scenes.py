"""A session at work, played by a `FakeEngine`: what each view shows, in little and in much."""

from __future__ import annotations

import random
import re
from typing import Any

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import (
    ACTOR,
    CALL,
    CANCELLED,
    FAILED,
    FINISHED,
    READY,
    RUNNING,
    WAITING,
    Awaited,
    BarInfo,
    EventBatch,
    TaskInfo,
)
from raykernel.runtime.logfiles import LogEntry
from raykernel.widgets.cluster_model import ClusterModel
from raykernel.widgets.log_model import LogModel
from raykernel.widgets.memory_model import Holder, Look, MemoryModel, MemoryRow
from raykernel.widgets.model import GraphModel
from raykernel.widgets.subject import Subject
from raykernel.widgets.timeline_model import TimelineModel
from raykernel.widgets.work import CellWork

LONG = "estimate_the_seasonally_adjusted_demand_of_every_product_in_each_region"
ERROR = "ValueError: column 'price' has gaps in rows 17, 204 and 3,311 of part-0007.parquet"
MIB = 1 << 20


class Buttons:
    """What starts and ends sessions, where nothing does."""

    def start(self, cpus: int | None) -> None: ...

    def stop(self) -> None: ...


class Scene(FakeEngine):
    """`functions`, `workers` and `actors` are how many there are; one function has a long name."""

    def __init__(
        self, functions: int = 4, workers: int = 4, actors: int = 2, seed: int = 0
    ) -> None:
        super().__init__("house-prices")
        self.dice = random.Random(seed)
        names = ["load", "clean", LONG, "fit"] + [f"stage_{n}" for n in range(functions)]
        self.names = names[:functions]
        self.pids = [4700 + n for n in range(workers)]
        self.actor_ids = [f"{n:032x}" for n in range(actors)]
        self.play()
        self.describe()

    def play(self) -> None:
        start = self.time
        free = dict.fromkeys(self.pids, start + 0.02)
        before: list[str] = []
        for depth, name in enumerate(self.names):
            level = []
            for n in range(6):
                pid = min(free, key=lambda pid: free[pid])
                took = self.dice.uniform(0.1, 0.6)
                task = TaskInfo(f"{depth:04x}{n:044x}", name, state=FINISHED, worker=str(pid))
                task.deps = [before[n]] if before else []
                task.cell, task.taken, task.made = "cell", 3 * MIB if before else 0, 2 * MIB
                task.submitted = start + depth * 0.01
                task.started = free[pid]
                task.ready = max(task.submitted, task.started - 0.05)
                task.called = task.started + 0.04
                task.returned, task.ended = task.started + took, task.started + took + 0.03
                free[pid] = task.ended + 0.005
                last = depth == len(self.names) - 1
                if last and n >= 2:
                    task.state, task.ended = (RUNNING, 0.0) if n < 4 else (READY, 0.0)
                    if n >= 4:
                        task.started, task.worker = 0.0, ""
                    if n == 5:
                        task.state = WAITING
                elif depth == 1 and n == 3:
                    task.state, task.error = FAILED, ERROR
                elif depth == 2 and n == 3:
                    task.state, task.error = CANCELLED, "cancelled"
                self.put_task(task)
                level.append(task.id)
            before = level
        for n, actor in enumerate(self.actor_ids[:8]):
            made = TaskInfo(
                f"a{n:047x}", "Model", ACTOR, FINISHED, "cell", actor=actor, worker="99"
            )
            made.submitted, made.started, made.ended = start, start + 0.1, start + 0.15
            self.put_task(made)
            for k in range(5):
                call = TaskInfo(f"b{n:03x}{k:044x}", "Model.update", CALL, FINISHED, "cell")
                call.actor, call.worker, call.submitted = actor, "99", start + 0.1
                call.started = start + 0.2 + k * 0.3
                call.ended = call.started + self.dice.uniform(0.1, 0.5)
                self.put_task(call)
        self.time = max([start, *(t.ended for t in self.tasks.values())]) + 0.4

    def describe(self) -> None:
        self.answers["resources"] = {
            "total": {"CPU": float(len(self.pids)), "memory": 16.0 * 1024 * MIB},
            "available": {"CPU": 1.0, "memory": 12.0 * 1024 * MIB},
        }
        self.answers["store"] = {
            "capacity": 512 * MIB, "used": 200 * MIB, "objects": 24, "pinned": 48 * MIB,
            "on_disk": 90 * MIB,
        }  # fmt: skip
        self.answers["nodes"] = [{"NodeID": "feed" * 14, "Alive": True}]
        self.answers["workers"] = [
            {"pid": pid, "state": ("IDLE", "RUNNING", "BLOCKED")[n % 3], "tasks": 17 * n}
            for n, pid in enumerate(self.pids)
        ]
        self.answers["actors"] = [
            {
                "actor_id": one, "class_name": "Model" if n % 3 else LONG.title().replace("_", ""),
                "name": f"model {n}" if n % 2 else "", "state": "DEAD" if n % 9 == 8 else "ALIVE",
                "restarts": n % 4, "queued": 3 * n, "pid": 5000 + n, "reason": "",
            }
            for n, one in enumerate(self.actor_ids)
        ]  # fmt: skip

    def query(self, what: str, **filters: Any) -> Any:
        if what != "logs":
            return super().query(what, **filters)
        entries = [
            LogEntry(
                f"step {n}: loss {1 / (n + 1):.3f}" if n % 7 else ERROR, self.time + n / 10,
                "stdout" if n % 7 else "stderr", self.pids[n % len(self.pids)], f"{n:048x}",
                self.names[n % len(self.names)], "cell" if n % 2 else "other",
                self.actor_ids[0] if self.actor_ids and n % 5 == 0 else "",
            )
            for n in range(40)
        ]  # fmt: skip
        return [each for each in entries if re.search(filters.get("grep", ""), each.text)]

    def subjects(self) -> list[Subject]:
        """Each view's model, filled."""
        models: list[Subject] = [
            GraphModel(),
            TimelineModel(),
            ClusterModel(Buttons()),
            MemoryModel(self.look),
            LogModel(),
        ]
        for model in models:
            if model.follows:
                model.apply(EventBatch(list(self.tasks.values()), self.time))
            model.poll(self)
        return models

    def look(self, _: Any) -> Look:
        rows = [
            MemoryRow(
                f"{n:056x}", 48 * MIB >> n, ("memory", "disk", "inline", "pending")[n % 4],
                f"{self.names[n % len(self.names)]}()", n % 3,
                [Holder("variable", f"table_{n}"), Holder("task", self.names[-1])][n % 2 :],
            )
            for n in range(14)
        ]  # fmt: skip
        return Look(rows, self.answers["store"], self.session)

    def progress(self) -> dict[str, Any]:
        """What the progress block draws."""
        work = CellWork(0.0)
        work.update(self.tasks.values(), 3.0)
        work.awaited = (Awaited("", "1 CPU, 1 gold", 1), Awaited("", "8 CPU", 1))
        for n, desc in enumerate(("epoch", LONG)):
            bar = BarInfo(f"b{n}", name="fit", worker="4701", desc=desc, n=30 * n + 4, total=100)
            bar.elapsed = 2.0
            work.move(bar, 3.0)
        return work.snapshot(3.4, waited=True).to_json()
