"""A place is final, free, and to the right of a node's inputs."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from raykernel.runtime.events import ACTOR, CALL, TASK, EventBatch, TaskInfo
from raykernel.widgets.layout import Box, GroupLayout, TaskLayout
from raykernel.widgets.model import GraphModel

NONE = -math.inf


def apart(a: Box, b: Box) -> bool:
    return a.right <= b.x or b.right <= a.x or a.y + a.h <= b.y or b.y + b.h <= a.y


@st.composite
def graphs(draw: st.DrawFn) -> list[TaskInfo]:
    """Tasks, actors and calls, each with inputs among those before it."""
    tasks: list[TaskInfo] = []
    for number in range(draw(st.integers(1, 60))):
        kind = draw(st.sampled_from([TASK, TASK, TASK, ACTOR, CALL]))
        actors = [task.actor for task in tasks if task.kind == ACTOR]
        if kind == CALL and not actors:
            kind = TASK
        earlier = [task.id for task in tasks]
        deps = draw(st.lists(st.sampled_from(earlier), max_size=3)) if earlier else []
        parent = draw(st.sampled_from(["", *earlier]))
        function = draw(st.sampled_from("fgh"))
        actor = draw(st.sampled_from(actors)) if kind == CALL else str(number)
        task = TaskInfo(str(number), function, kind, parent=parent, deps=deps, submitted=number)
        task.actor = actor if kind != TASK else ""
        tasks.append(task)
    return tasks


@given(graphs())
def test_no_two_marks_overlap_and_inputs_lie_to_the_left(tasks: list[TaskInfo]) -> None:
    model = GraphModel()
    model.apply(EventBatch(tasks, 1.0))
    for picture in (model.picture, model.groups):
        boxes = [node.box for node in picture.nodes]
        assert all(apart(a, b) for i, a in enumerate(boxes) for b in boxes[:i])
    boxes = [node.box for node in model.picture.nodes]
    for source, target, relation in model.picture.edges:
        if relation == 0 and model.picture.nodes[target].kind != ACTOR:
            assert boxes[source].right < boxes[target].x


@given(graphs(), st.integers(1, 5))
def test_nothing_moves_when_more_comes(tasks: list[TaskInfo], step: int) -> None:
    model = GraphModel()
    placed: list[Box] = []
    for start in range(0, len(tasks), step):
        model.apply(EventBatch(tasks[start : start + step], 1.0))
        boxes = [node.box for node in model.picture.nodes]
        assert boxes[: len(placed)] == placed
        placed = boxes


def test_a_pipeline_keeps_to_its_row() -> None:
    layout = TaskLayout()
    loads = [layout.task("load", NONE) for _ in range(6)]
    trains = [layout.task("train", load.right, load) for load in loads]
    assert [box.y for box in trains] == [box.y for box in loads]
    assert len({box.x for box in trains}) == 1
    assert [header.text for header in layout.headers] == ["load", "train"]


def test_a_wide_step_wraps_under_one_header() -> None:
    layout = TaskLayout()
    boxes = [layout.task("f", NONE) for _ in range(30)]
    assert len({box.x for box in boxes}) == 3
    assert len(layout.headers) == 1
    assert layout.task("g", boxes[0].right).x > boxes[-1].right


def test_lanes_stack_upwards_and_fill_from_the_left() -> None:
    layout = TaskLayout()
    first = layout.actor("a", "Counter", NONE)
    second = layout.actor("b", "Store", NONE)
    calls = [layout.call("a", "Counter", NONE) for _ in range(4)]
    assert second.y < first.y < 0
    assert first.right < calls[0].x == calls[1].x < calls[2].x == calls[3].x
    lane = layout.lanes["a"]
    assert all(lane.y < box.y and box.y + box.h <= lane.y + lane.h for box in calls)
    assert layout.call("a", "Counter", 500.0).x > 500.0


def test_calls_of_an_actor_made_elsewhere_have_a_lane() -> None:
    layout = TaskLayout()
    call = layout.call("a", "Counter", NONE)
    actor = layout.actor("a", "Counter", NONE)
    assert actor.right < call.x
    assert layout.lanes["a"].x == actor.x


def test_cards_go_right_with_the_data() -> None:
    layout = GroupLayout()
    first = layout.card(NONE)
    second = layout.card(first.right, first)
    assert second.x > first.right
    assert second.y == first.y
    method = layout.method("Store", second.right)
    assert method.x > second.right
    assert method.y < 0
