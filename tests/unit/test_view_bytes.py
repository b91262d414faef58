"""What the views send, whatever goes on: 200 KiB a second at most, and 200 KiB in the file."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import FAILED, RUNNING, EventBatch, Finished, Stretch, TaskInfo
from raykernel.runtime.logfiles import LogEntry
from raykernel.widgets import view
from raykernel.widgets.cluster import ClusterView
from raykernel.widgets.graph import GraphView
from raykernel.widgets.logs import LogView
from raykernel.widgets.memory import MemoryView
from raykernel.widgets.memory_model import Holder, Look, MemoryRow
from raykernel.widgets.pump import Step
from raykernel.widgets.timeline import TimelineView

MOST = 200 * 1024
SECONDS = 20
NAME = "estimate_the_seasonally_adjusted_demand_of_every_product_in_each_region"


class Busy(FakeEngine):
    """Tasks of many functions on 64 workers, 300 actors, 5,000 lines a second."""

    def __init__(self) -> None:
        super().__init__()
        self.answers["actors"] = [
            {
                "actor_id": f"{n:032x}",
                "class_name": NAME,
                "name": f"actor {n}",
                "state": "ALIVE",
                "pid": n,
            }
            for n in range(300)
        ]
        self.answers["workers"] = [{"pid": 0, "state": "RUNNING", "tasks": 5} for _ in range(64)]

    def query(self, what: str, **filters: Any) -> Any:
        if what != "logs":
            return super().query(what, **filters)
        since = max(filters["since"], self.time - 1)
        return [
            LogEntry(f"<{n}> " + "é" * 300, since + n / 5_000, "stdout", 7, "ab", NAME, "c", "")
            for n in range(1, 1 + int((self.time - since) * 5_000))
        ][-filters["tail"] :]

    def batch(self, at: float) -> EventBatch:
        """A tenth of a second of it."""
        self.time = at
        tasks = [
            TaskInfo(f"{at}{n}", f"{NAME}_{n % 90}", state=FAILED if n % 2 else RUNNING)
            for n in range(100)
        ]
        for task in tasks:
            task.submitted, task.started, task.worker = at - 0.1, at - 0.05, str(len(task.id) % 64)
            task.ended, task.error = (
                (at, f"ValueError: {task.id}") if task.state == FAILED else (0.0, "")
            )
        lay = [
            Stretch(
                "", NAME, "", str(n % 64), 50, at - 1, at - 0.1 + n / 9_000, at - 0.1 + n / 8_000
            )
            for n in range(640)
        ]
        return EventBatch(tasks, at, 0, [Finished("", NAME, "task", 30_000)], lay)


class StillPump:
    def __init__(self, step: Step) -> None: ...

    def wake(self) -> None: ...

    def stop(self) -> None: ...


def look(engine: Any) -> Look:
    """Each time something else."""
    rows = [
        MemoryRow(
            f"{n:056x}", int(engine.time * 10) + n, "memory", f"{NAME}()", 1,
            [Holder("variable", f"{NAME}_{m}") for m in range(6)],
        )
        for n in range(2_000)
    ]  # fmt: skip
    return Look(rows, engine.answers["store"], engine.session)


@pytest.mark.parametrize("kind", [GraphView, TimelineView, ClusterView, MemoryView, LogView])
def test_a_view_sends_and_leaves_no_more_than_it_may(kind: Any) -> None:
    engine, now = Busy(), [100.0]
    sent: list[dict[str, Any]] = []

    def publish(data: dict[str, Any], *_: object) -> None:
        kept = {name: form for name, form in data.items() if name != view.WIDGET}
        assert sum(len(form.encode()) for form in kept.values()) <= MOST, "in the file"
        sent.append(data)

    how = {"publish": publish, "pump": StillPump, "clock": lambda: now[0]}
    made = kind(engine, look=look, **how) if kind is MemoryView else kind(engine, **how)
    if kind is MemoryView:
        made._model._clock = lambda: now[0]  # else it looks less often on a busy machine
    made.send = lambda message: sent.append(message)
    made.observe(lambda change: sent.append(change["new"]), "snapshot")
    made.show()
    made._handle_custom_msg({"hello": "in place"}, [])
    sent.clear()
    for tenth in range(10 * SECONDS):
        now[0] += 0.1
        made._handle_custom_msg({"seen": True}, [])
        batch = engine.batch(1_000_000 + tenth / 10)
        if made._model.follows:
            made._follower._receive(batch)
        made.step(now[0])
    size = sum(len(json.dumps(message, ensure_ascii=False).encode()) for message in sent)
    assert len(sent) > SECONDS / 4
    assert size / SECONDS <= MOST
    made.close()
