"""When tasks ran: what the timeline keeps, tells its viewers and leaves in a file."""

from __future__ import annotations

import json

from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import (
    ACTOR,
    CALL,
    FAILED,
    FINISHED,
    READY,
    RUNNING,
    EventBatch,
    Finished,
    Stretch,
    TaskInfo,
)
from raykernel.util import trace
from raykernel.widgets.subject import reply
from raykernel.widgets.timeline_model import TOLD, TimelineModel


def ended(task_id: str, at: float, took: float = 1.0, **more: object) -> TaskInfo:
    """Submitted half a second before its start."""
    task = TaskInfo(task_id, task_id.rstrip("0123456789"), state=FINISHED, worker="7")
    task.submitted, task.started, task.ended = at - 0.5, at, at + took
    for field, value in more.items():
        setattr(task, field, value)
    return task


def feed(model: TimelineModel, *tasks: TaskInfo, time: float = 0.0) -> bool:
    return model.apply(EventBatch(list(tasks), time))


def test_a_bar_has_a_tasks_whole_story() -> None:
    model = TimelineModel()
    task = ended("f1", 10.5, 2.0, ready=10.2, called=10.75, returned=12.25)
    assert feed(model, task)
    [bar] = model.snapshot()["bars"]
    assert bar == [0, 0, 0, 0, 3, 1, 500_000, 200_000, 300_000, 250_000, 1_500_000, 250_000]
    assert model.snapshot()["lanes"] == [["worker 7", "worker", 1]]
    assert not feed(model, task), "told twice"
    assert (model.total, model.live) == (1, 0)


def test_a_running_task_has_an_open_bar_that_its_end_closes() -> None:
    model = TimelineModel()
    feed(model, TaskInfo("f1", "f", state=READY, submitted=1.0), time=1.0)
    assert (model.snapshot()["bars"], model.live) == ([], 1)
    feed(
        model, TaskInfo("f1", "f", state=RUNNING, worker="7", submitted=1.0, started=2.0), time=2.1
    )
    delta = model.delta()
    assert delta is not None
    assert delta["bars"] == [[0, 0, 0, 0, 2, 1, 1_000_000, 0, 1_000_000, 0, -1, 0]]
    assert delta["samples"] == [[1_100_000, 0, 1]], "the first is in the snapshot"
    feed(model, ended("f1", 2.0, submitted=1.0, state=FAILED), time=3.1)
    delta = model.delta()
    assert delta is not None
    assert [(row[0], row[4], row[10]) for row in delta["bars"]] == [(0, 4, 1_000_000)]
    assert model.counts == [0, 0, 0, 0, 1, 0]


def test_an_actors_overlapping_calls_take_rows_and_a_workers_tasks_do_not() -> None:
    model = TimelineModel()
    calls = [
        ended(f"c{n}", 1.0 + n / 4, kind=CALL, actor="A", name="Counter.add", worker="8")
        for n in range(3)
    ]
    made = ended("a", 0.6, 0.1, kind=ACTOR, name="Counter.__init__", actor="A", worker="8")
    feed(model, made, *calls, ended("f1", 1.0), ended("f2", 1.5))
    assert [lane[:2] for lane in model.snapshot()["lanes"]] == [
        ["Counter", "actor"],
        ["worker 7", "worker"],
    ]
    rows = [(bar[1], bar[2]) for bar in model.snapshot()["bars"]]
    assert sorted(rows) == [(0, 0), (0, 0), (0, 1), (0, 2), (1, 0), (1, 0)]


def test_a_crowd_of_tiny_tasks_is_drawn_as_few_bars_that_count_them() -> None:
    model = TimelineModel()
    feed(model, *(ended(f"f{n}", 1.0 + n * 1e-4, 1e-4) for n in range(5_000)))
    snapshot = model.snapshot()
    assert sum(bar[5] for bar in snapshot["bars"]) == model.total == 5_000
    assert len(snapshot["bars"]) <= 60
    assert model.lanes[0].tasks == 5_000


def test_stretches_are_bars_and_the_sample_of_their_tasks_only_counts() -> None:
    model = TimelineModel()
    lay = [
        Stretch("", "f", "", "7", 900, 0.5, 1.0, 1.009),
        Stretch("", "A.m", "aa", "8", 100, 0.5, 1.0, 1.005, mixed=True),
    ]
    sample = [ended("f1", 1.001, 0.001, returned=1.002), ended("f2", 1.5, 0.1, returned=1.6)]
    batch = EventBatch(sample, 1.7, finished=[Finished("", "f", "task", 998)], stretches=lay)
    assert model.apply(batch)
    assert (model.total, model.counts[3], model.live) == (1_000, 1_000, 0)
    bars = [(bar[3], bar[5]) for bar in model.snapshot()["bars"]]
    assert [(model.names[name], count) for name, count in bars] == [
        ("f", 900), ("several functions", 100), ("f", 1)
    ]  # fmt: skip
    assert [lane.label for lane in model.lanes] == ["worker 7", "A"]
    assert model.lanes[0].busy == 109_000
    assert "many tasks" in reply(model, {"ask": "task", "bar": 0}, None)["refused"]
    assert not model.merge([ended("f7", 1.003, 0.001)]), "a list holds what was told as a number"
    assert model.merge([TaskInfo("g1", "g", state=RUNNING, worker="7", started=2.0)])
    assert model.total == 1_001


def test_a_delta_says_only_what_is_different() -> None:
    model = TimelineModel()
    feed(model, ended("f1", 1.0), time=2.0)
    model.snapshot()
    feed(model, ended("f2", 2.0), time=3.0)
    delta = model.delta()
    assert delta is not None
    assert {"lanes", "names"} & set(delta) == set()
    assert (delta["samples"], len(delta["bars"])) == ([], 1)
    feed(model, ended("g1", 3.0, worker="8"), time=4.0)
    delta = model.delta()
    assert delta is not None
    assert (delta["names"], len(delta["lanes"])) == (["f", "g"], 2)


def test_memory_and_messages_are_bounded_and_older_bars_come_page_by_page() -> None:
    model = TimelineModel(kept=4_000)
    for n in range(5_000):
        feed(model, ended(f"f{n}", 1.0 + n))
    snapshot = model.snapshot()
    assert (len(model.bars), len(snapshot["bars"]), snapshot["first"]) == (4_000, TOLD, 1_000)
    assert len(json.dumps(snapshot)) < 200 * 1024
    have = snapshot["bars"][0][0]
    while have > snapshot["first"]:
        told = reply(model, {"ask": "older", "before": have}, None)["bars"]
        assert told[-1][0] == have - 1
        have = told[0][0]
    for form in model.bundle("v").values():
        assert len(form) < 200 * 1024


def test_a_bar_answers_for_its_task() -> None:
    model, engine = TimelineModel(), FakeEngine()
    task = ended("f1", 1.0, taken=5)
    engine.put_task(task)
    feed(model, task)
    assert reply(model, {"ask": "task", "bar": 0}, engine)["taken"] == 5
    assert "many tasks" in reply(model, {"ask": "task", "bar": 9}, engine)["refused"]


def test_it_reads_as_text_and_as_a_picture() -> None:
    model = TimelineModel()
    assert model.bundle()["text/plain"].startswith("timeline, 0 tasks")
    feed(model, ended("<f>1", 1.0, 2.0), ended("g1", 3.0, 1.0, worker="8", state=FAILED))
    words = model.bundle()["text/plain"]
    assert "2 tasks: 1 finished, 1 failed, 3 s" in words
    assert "worker 7       1 tasks   67 % busy" in words
    assert "g: 1 task, 1 s each, waited 500 ms" in words
    html = model.bundle("view")["text/html"]
    assert 'data-raykernel-view="view"' in html
    assert "&lt;f&gt;" in html
    assert "<f>" not in html


def test_the_trace_nests_a_tasks_parts_and_tells_what_waited() -> None:
    task = ended("f1", 10.5, 2.0, ready=10.25, called=10.75, returned=12.25, taken=5, made=6)
    events = trace.events([TaskInfo("x", "x", state=RUNNING, started=1.0), task])
    slices = [(e["name"], e["ts"] - 10e6, e["dur"]) for e in events if e["ph"] == "X"]
    assert slices == [
        ("f", 500_000, 2_000_000),
        ("task:deserialize_arguments", 500_000, 250_000),
        ("task:execute", 750_000, 1_500_000),
        ("task:store_outputs", 2_250_000, 250_000),
    ]
    waits = [(e["ph"], e["ts"] - 10e6) for e in events if e["cat"] == "wait"]
    assert waits == [("b", 0), ("e", 250_000), ("b", 250_000), ("e", 500_000)]
    json.dumps(events)


def test_the_trace_is_what_the_format_wants() -> None:
    """As Perfetto's importer reads it: numbers for processes, threads and times, a name for each
    thread before its events, slices that nest, waits that begin and end by one id."""
    tasks = [
        ended("C1", 9.0, kind=ACTOR, actor="a", worker="9"),
        ended("f1", 10.5, 2.0, ready=10.25, called=10.75, returned=12.25, taken=5, made=6),
        ended("f2", 13.0, 0.000001, error="ValueError: <no>", state=FAILED),
        ended("g1", 13.5, worker="node-2/17"),
    ]
    events = json.loads(json.dumps(trace.events(tasks)))
    named: dict[tuple[int, int], str] = {}
    opened: dict[tuple[str, str], float] = {}
    slices: dict[int, list[tuple[float, float]]] = {}
    for event in events:
        assert {"ph", "ts", "pid", "tid", "name", "cat"} <= set(event)
        for field in ("pid", "tid"):
            assert type(event[field]) is int
            assert 0 <= event[field] < 2**32
        assert isinstance(event["ts"], int | float)
        place = (event["pid"], event["tid"])
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            named[place] = event["args"]["name"]
            continue
        assert place in named
        if event["ph"] == "X":
            assert event["dur"] >= 0
            slices.setdefault(event["tid"], []).append((event["ts"], event["ts"] + event["dur"]))
        elif event["ph"] == "b":
            opened[event["id"], event["name"]] = event["ts"]
        else:
            assert event["ph"] == "e"
            assert opened.pop((event["id"], event["name"])) <= event["ts"]
    assert not opened
    assert named[1, 9] == "actor:C worker:9"
    for spans in slices.values():
        for a, b in spans:
            assert all(
                d <= a or c >= b or (c <= a and b <= d) or (a <= c and d <= b) for c, d in spans
            )
