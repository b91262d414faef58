"""What the cluster panel knows, tells and does."""

from __future__ import annotations

import json

import pytest

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import FINISHED, RUNNING, EventBatch, Finished, TaskInfo
from raykernel.widgets.cluster_model import ClusterModel
from raykernel.widgets.subject import reply

COUNTER = {
    "actor_id": "ab",
    "class_name": "Counter",
    "name": "<mine>",
    "namespace": "",
    "state": "ALIVE",
    "pid": 7,
    "restarts": 1,
    "queued": 3,
    "cell": "",
    "reason": "",
}


class Deeds:
    def __init__(self) -> None:
        self.done: list[str] = []

    def start(self, cpus: int | None) -> None:
        self.done.append("start")

    def stop(self) -> None:
        self.done.append("stop")


@pytest.fixture
def engine() -> FakeEngine:
    engine = FakeEngine()
    engine.answers["actors"] = [dict(COUNTER)]
    engine.answers["workers"] = [{"pid": 7, "state": "ACTOR", "tasks": 1, "actor_id": "ab"}]
    engine.answers["nodes"] = [{"NodeID": "n1", "Alive": True}]
    engine.answers["resources"] = {"total": {"CPU": 4.0}, "available": {"CPU": 1.0}}
    engine.answers["store"] = {"capacity": 100, "used": 50, "objects": 2, "pinned": 10}
    return engine


def test_it_shows_what_the_engine_says(engine: FakeEngine) -> None:
    model = ClusterModel()
    assert model.poll(engine)
    told = json.loads(json.dumps(model.snapshot()))
    assert told["resources"] == {"CPU": [3.0, 4.0]}
    assert told["workers"][0]["actor"] == "Counter"
    assert (told["actors"][0]["queued"], told["actors"][0]["restarts"]) == (3, 1)
    assert told["history"] == [[3.0, 50]]


def test_between_two_polls_only_the_tasks_are_told(engine: FakeEngine) -> None:
    model = ClusterModel()
    model.poll(engine)
    before = model.snapshot()["version"]
    model.apply(EventBatch([TaskInfo("1", "f", state=RUNNING)], 1.0))
    assert model.delta() == {
        "base": before,
        "version": before + 1,
        "counts": [0, 0, 1, 0, 0, 0],
        "total": 1,
    }
    model.merge([TaskInfo("1", "f", state=FINISHED), TaskInfo("2", "f", state=FINISHED)])
    model.merge([TaskInfo("1", "f", state=RUNNING)])
    assert model.counts.by_state == [0, 0, 0, 2, 0, 0]
    model.poll(engine)
    assert model.delta() is None


def test_its_buttons_act(engine: FakeEngine) -> None:
    deeds = Deeds()
    model = ClusterModel(deeds)
    model.poll(engine)
    assert reply(model, {"ask": "kill", "actor": "ab"}, engine) == {"reply": 0}
    assert engine.answers["actors"][0]["state"] == "DEAD"
    assert "no such actor" in reply(model, {"ask": "kill", "actor": "zz"}, engine)["refused"]
    assert reply(model, {"ask": "resize", "cpus": 6}, engine) == {"reply": 0}
    assert engine.answers["resources"]["total"]["CPU"] == 6.0
    assert "at least 1" in reply(model, {"ask": "resize", "cpus": 0}, engine)["refused"]
    for deed in ("stop", "start"):
        reply(model, {"ask": deed}, engine)
    assert deeds.done == ["stop", "start"]
    assert "refused" in reply(model, {"ask": "resize", "cpus": 2}, None)


def test_where_it_can_not_start_sessions_it_says_so(engine: FakeEngine) -> None:
    assert "where their program runs" in reply(ClusterModel(), {"ask": "stop"}, engine)["refused"]


def test_its_still_forms_are_safe_and_small(engine: FakeEngine) -> None:
    model = ClusterModel()
    assert model.bundle()["text/plain"] == "No session is running"
    model.poll(engine)
    forms = model.bundle("v")
    assert "CPU: 3 of 4 in use" in forms["text/plain"]
    assert "&lt;mine&gt;" in forms["text/html"]
    assert "<mine>" not in forms["text/html"]
    assert all(len(form) < 200 * 1024 for form in forms.values())
    before = model.bundle()["text/html"]
    model.poll(None)
    model.poll(None)
    assert model.snapshot()["total"] == 0
    after = model.bundle()
    assert "(ended)" in after["text/html"]
    assert "(ended)" in after["text/plain"]
    assert after["text/html"].partition("<table>")[2] == before.partition("<table>")[2] != ""


def test_quick_tasks_count_once_whether_told_by_number_or_in_a_list() -> None:
    model = ClusterModel()
    model.merge([TaskInfo("0", "f", state=FINISHED)])
    model.apply(EventBatch([], 1.0, finished=[Finished("", "f", "task", 3)]))
    model.merge([TaskInfo(str(n), "f", state=FINISHED) for n in range(4)])
    assert model.snapshot()["total"] == 4
    assert model.snapshot()["counts"][3] == 4
