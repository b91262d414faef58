"""What waits for a node of a Ray cluster, and what Ray says of tasks that ended. No process."""

from __future__ import annotations

import pytest

from raykernel.runtime import messages as m
from raykernel.runtime.engines.ray_values import Failure
from raykernel.runtime.engines.ray_watch import awaited, ended_by
from raykernel.runtime.events import CANCELLED, FAILED, Awaited
from raykernel.runtime.resources import encode
from raykernel.runtime.wire import encode_one

NODES: list[dict[str, float]] = [{"CPU": 2.0, "head": 10.0}, {"CPU": 4.0, "gold": 0.5}]


def test_what_some_node_could_run_waits_for_none() -> None:
    demands = [{"CPU": 4}, {"CPU": 1, "gold": 0.5}, {"head": 10}, {}]
    assert awaited([("cell", encode(each)) for each in demands], NODES) == []


def test_what_no_single_node_has_is_awaited_by_cell() -> None:
    both, much = encode({"head": 1, "gold": 0.5}), encode({"CPU": 5})
    waiting = [("a", both), ("b", much), ("a", both), ("a", much)]
    assert awaited(waiting, NODES) == [
        Awaited("a", "0.5 gold, 1 head", 2), Awaited("b", "5 CPU", 1), Awaited("a", "5 CPU", 1)
    ]  # fmt: skip
    assert awaited([("a", encode({"CPU": 1}))], []) == [Awaited("a", "1 CPU", 1)]


class RayTaskError(Exception):
    """As Ray's, whose text is of many lines and in colours."""

    def __init__(self, record: m.ErrorRecord) -> None:
        super().__init__("\x1b[36mray::f()\x1b[39m (pid=1)\n  many lines")
        self.cause = Failure("text", encode_one(record))


class TaskCancelledError(Exception): ...


class WorkerCrashedError(Exception): ...


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RayTaskError(m.ErrorRecord("cancelled", "the task f was cancelled")),
         (CANCELLED, "the task f was cancelled")),
        (RayTaskError(m.ErrorRecord("task", text="Traceback\n  line 1\nValueError: no such row\n")),
         (FAILED, "ValueError: no such row")),
        (TaskCancelledError("\x1b[36mgone\x1b[39m"), (CANCELLED, "cancelled")),
        (WorkerCrashedError("the worker died\nat noon"), (FAILED, "the worker died")),
    ],
    ids=["struck", "failed", "cancelled", "crashed"],
)  # fmt: skip
def test_how_a_task_ended_is_said_in_one_line(error: Exception, told: tuple[str, str]) -> None:
    assert ended_by(error) == told
