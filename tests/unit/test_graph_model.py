"""What a graph knows after its batches, and what it tells its viewers."""

from __future__ import annotations

import base64
import json
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import (
    ACTOR,
    CALL,
    FAILED,
    FINISHED,
    LIVE,
    READY,
    RUNNING,
    STATES,
    WAITING,
    EventBatch,
    Finished,
    TaskInfo,
)
from raykernel.widgets.members import pack
from raykernel.widgets.model import GraphModel
from raykernel.widgets.subject import reply


def task(name: str, state: str = WAITING, *deps: str, **more: Any) -> TaskInfo:
    """A task whose function is its id without the digits."""
    return TaskInfo(name, name.rstrip("0123456789"), state=state, deps=list(deps), **more)


def feed(model: GraphModel, *tasks: TaskInfo) -> bool:
    return model.apply(EventBatch(list(tasks), 1.0))


def labels(model: GraphModel) -> list[tuple[str, str]]:
    nodes = model.picture.nodes
    return [(nodes[a].label, nodes[b].label) for a, b, _ in model.picture.edges]


class Viewer:
    """Folds snapshots and deltas as graph.js does."""

    def __init__(self, snapshot: dict[str, Any]) -> None:
        self.state = json.loads(json.dumps(snapshot))

    def fold(self, delta: dict[str, Any]) -> None:
        delta = json.loads(json.dumps(delta))
        assert delta.pop("base") == self.state["version"]
        nodes, edges = self.state["nodes"], self.state["edges"]
        for index, row in delta.pop("nodes"):
            nodes[index : index + 1] = [row]
        for edge in delta.pop("edges"):
            old = [e for e in edges if (e[0], e[1], e[3]) == (edge[0], edge[1], edge[3])]
            if old:
                old[0][2] = edge[2]
            else:
                edges.append(edge)
        for group, (count, columns, told) in delta.pop("cells").items():
            if isinstance(told, list):
                states = unpack(self.state["open"][group])
                states += [0] * (count - len(states))
                for place, state in zip(told[::2], told[1::2], strict=True):
                    states[place] = state
                told = pack(bytes(states))
            self.state["open"][group] = [count, columns, told]
        self.state.update(delta)


def unpack(told: list[Any]) -> list[int]:
    """The states of an unfolded card's tasks."""
    count, _, packed = told
    halves = [half for byte in base64.b64decode(packed) for half in (byte >> 4, byte & 15)]
    return halves[:count]


def test_edges_follow_data_and_parents() -> None:
    model = GraphModel()
    feed(model, task("load"), task("train", WAITING, "load"), task("child", parent="train"))
    assert labels(model) == [("load", "train"), ("train", "child")]
    assert [relation for *_, relation in model.picture.edges] == [0, 1]


def test_an_input_listed_after_its_user_is_placed_first() -> None:
    model = GraphModel()
    feed(model, task("train", WAITING, "load", submitted=2.0), task("load", submitted=1.0))
    nodes = {node.label: node.box.x for node in model.picture.nodes}
    assert nodes["load"] < nodes["train"]
    assert labels(model) == [("load", "train")]


def test_counts_follow_the_states() -> None:
    model = GraphModel()
    feed(model, task("f1"), task("f2"), task("g"))
    feed(model, task("f1", RUNNING), task("g", FAILED, error="ValueError: no"))
    assert model.functions() == [("f", [1, 0, 1, 0, 0, 0]), ("g", [0, 0, 0, 0, 1, 0])]
    assert model.counts == [1, 0, 1, 0, 1, 0]
    assert (model.total, model.live) == (3, 2)
    assert model.failures == {("g", "ValueError: no"): (1, "g")}
    assert model.headline() == "3 tasks: 1 waiting, 1 running, 1 failed"


def test_the_same_again_changes_nothing() -> None:
    model = GraphModel()
    assert feed(model, task("f1"))
    version = model.version
    assert not feed(model, task("f1"))
    assert model.version == version
    assert feed(model, task("f1", worker="17"))


def test_beyond_the_limit_it_groups_by_function() -> None:
    model = GraphModel(limit=3)
    loads = [task(f"load{i}") for i in range(3)]
    feed(model, *loads)
    model.snapshot()
    assert model.picture.mode == "tasks"
    feed(model, *(task(f"train{i}", WAITING, f"load{i}") for i in range(3)))
    assert model.delta() is None, "only a snapshot can change the picture's kind"
    snapshot = model.snapshot()
    assert snapshot["mode"] == "groups"
    assert [row[-2:] for row in snapshot["nodes"]] == [
        [[3, 0, 0, 0, 0, 0], "load"],
        [[3, 0, 0, 0, 0, 0], "train"],
    ]
    assert snapshot["edges"] == [[0, 1, 3, 0]]


def test_too_many_functions_share_a_card() -> None:
    model = GraphModel(limit=1, groups=2)
    feed(model, task("a"), task("b"), task("c"), task("d"))
    assert [name for name, _ in model.functions()] == ["a", "b", "other functions"]
    assert sum(model.functions()[2][1]) == 2


def test_memory_is_bounded_and_counts_stay_right() -> None:
    model = GraphModel(limit=10, memory=50)
    for i in range(1000):
        feed(model, task(f"f{i}", RUNNING))
        feed(model, task(f"f{i}", FINISHED))
    feed(model, task("g", WAITING, "f999", "f0"))
    assert len(model._known) == 51
    assert model.counts == [1, 0, 0, 1000, 0, 0]
    assert model.snapshot()["edges"] == [[0, 1, 1, 0]]


def test_a_whole_list_never_takes_a_task_back_nor_counts_it_twice() -> None:
    model = GraphModel(memory=1)
    feed(model, task("f1", FINISHED), task("f2", FINISHED), task("f3", RUNNING))
    assert not model.merge([task("f1", FINISHED), task("f2", RUNNING), task("f3", READY)])
    assert model.merge([task("f3", FINISHED), task("f4", RUNNING)])
    assert model.counts == [0, 0, 1, 3, 0, 0]


def test_an_actors_calls_share_its_lane() -> None:
    model = GraphModel()
    made = TaskInfo("a", "Counter.__init__", ACTOR, FINISHED, actor="A")
    calls = [TaskInfo(f"c{i}", "Counter.add", CALL, actor="A", submitted=1.0) for i in range(3)]
    feed(model, made, *calls)
    snapshot = model.snapshot()
    assert [lane[-1] for lane in snapshot["lanes"]] == ["Counter"]
    assert [row[0] for row in snapshot["nodes"]] == ["actor", "call", "call", "call"]


CHANGES = st.lists(
    st.lists(st.tuples(st.integers(0, 25), st.sampled_from(STATES)), max_size=6), max_size=25
)


@given(CHANGES, st.integers(1, 30))
def test_deltas_add_up_to_the_snapshot_and_counts_to_the_truth(
    batches: list[list[tuple[int, str]]], limit: int
) -> None:
    model = GraphModel(limit=limit)
    viewer = Viewer(model.snapshot())
    truth: dict[str, str] = {}
    for batch in batches:
        newest = {f"{'fgh'[n % 3]}{n}": state for n, state in batch}
        truth.update(newest)
        tasks = [
            task(name, state, *(other for other in truth if other < name))
            for name, state in newest.items()
        ]
        feed(model, *tasks)
        if batch and batch[0][0] == 0:
            model.answer({"ask": "unfold", "group": len(model.groups.nodes) - 1}, None)
        delta = model.delta()
        if delta is None:
            viewer = Viewer(model.snapshot())
        else:
            viewer.fold(delta)
        states = Counter(truth.values())
        assert model.counts == [states[state] for state in STATES]
        assert model.live == sum(states[state] for state in LIVE)
    whole = json.loads(json.dumps(model.snapshot()))
    for state in (viewer.state, whole):
        state["edges"].sort()
    assert viewer.state == whole


def test_an_unfolded_card_shows_each_task_in_order_and_answers_for_it() -> None:
    model, engine = GraphModel(limit=2), FakeEngine()
    tasks = [
        task("load0", FINISHED),
        task("load1", RUNNING, taken=3),
        task("use0", WAITING, "load1"),
    ]
    for each in tasks:
        engine.put_task(each)
    feed(model, *tasks)
    assert model.snapshot()["open"] == {}
    assert reply(model, {"ask": "unfold", "group": -1, "number": 7}, engine) == {"reply": 7}
    assert [unpack(told) for told in model.snapshot()["open"].values()] == [[3, 2], [0]]
    feed(model, task("load1", FAILED, taken=3))
    delta = model.delta()
    assert delta is not None
    assert unpack(delta["cells"]["0"]) == [3, 4]

    told = reply(model, {"ask": "task", "group": 1, "cell": 0}, engine)
    assert (told["id"], told["inputs"]) == ("use0", [[0, 1]])
    assert reply(model, {"ask": "task", "group": 0, "cell": 1}, engine)["taken"] == 3
    assert "no such task" in reply(model, {"ask": "task", "group": 0, "cell": 9}, engine)["refused"]
    assert "ended" in reply(model, {"ask": "task", "id": "load0"}, None)["refused"]
    assert reply(model, {"ask": "find", "text": "Failed"}, engine)["found"] == [[0, 1]]
    assert "dance" in reply(model, {"ask": "dance"}, engine)["refused"]

    model.answer({"ask": "fold", "group": 0}, engine)
    assert list(model.snapshot()["open"]) == ["1"]


def test_a_depth_leaves_out_what_deeper_tasks_submitted() -> None:
    family = [
        task("a0"),
        task("b0", parent="a0"),
        task("c0", parent="b0"),
        task("x0", parent="gone"),
    ]
    for depth, seen in ((1, 1), (2, 2), (3, 3)):
        model = GraphModel(depth=depth)
        feed(model, *family)
        assert model.total == seen
        assert not feed(model, task("c0", RUNNING, parent="b0")) or depth == 3


def test_quick_tasks_that_come_as_a_number_count_on_their_card():
    model = GraphModel()
    assert (model.brief, model.sample, model.partial) == (True, True, False)
    sample = [task(f"f{n}", FINISHED) for n in range(40)]
    many = EventBatch(sample, 1.0, finished=[Finished("c", "f", "task", 1_000)])
    assert model.apply(many)
    told = model.snapshot()
    assert (told["mode"], told["total"], told["counts"][3]) == ("groups", 1_040, 1_040)
    assert model.partial
    # A list that holds tasks of the number adds nothing, and what lives is still told.
    model.merge([task(f"f{n}", FINISHED) for n in range(700)])
    model.merge([task("f2000", RUNNING)])
    assert (model.total, model.live) == (1_041, 1)
    model.answer({"ask": "unfold", "group": 0}, None)
    assert model.snapshot()["open"]["0"][0] == 1_041
    asked = reply(model, {"ask": "task", "group": 0, "cell": 500}, FakeEngine())
    assert "story is not kept" in asked["refused"]
    assert "1,041 tasks: 1 running, 1,040 finished" in model.bundle()["text/plain"]


def test_who_limits_the_depth_wants_to_hear_of_each_task():
    assert not GraphModel(depth=1).brief
