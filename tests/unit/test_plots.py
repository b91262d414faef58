"""The timeline as a matplotlib figure: what stands in it, for real tasks of a fake engine."""

from __future__ import annotations

from collections.abc import Iterator

import matplotlib
import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_hex

from raykernel import api
from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import ACTOR, CALL, FAILED, FINISHED, RUNNING, WAITING, TaskInfo
from raykernel.util import plot_timeline


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEngine]:
    before = matplotlib.get_backend()
    plt.switch_backend("agg")
    engine = FakeEngine()
    monkeypatch.setattr(api, "connected", lambda: engine)
    yield engine
    plt.close("all")
    plt.switch_backend(before)


def put(engine: FakeEngine, name: str, at: float, took: float, **more: object) -> None:
    task = TaskInfo(f"{len(engine.tasks)}", name, state=FINISHED, worker="7", submitted=at - 0.5)
    task.started, task.ended = at, at + took
    for field, value in more.items():
        setattr(task, field, value)
    engine.put_task(task)


def test_each_task_is_a_bar_in_its_lane(engine: FakeEngine) -> None:
    put(engine, "load", 10.5, 2.0, called=11.0, returned=12.0)
    put(engine, "load", 13.0, 1.0)
    put(engine, "train", 11.0, 1.0, worker="8", state=FAILED, error="ValueError")
    put(engine, "Counter", 10.5, 0.1, kind=ACTOR, actor="ab" * 16, worker="9")
    put(engine, "Counter.add", 11.0, 0.5, kind=CALL, actor="ab" * 16, worker="9")
    put(engine, "long", 14.0, 0.0, worker="8", state=RUNNING, ended=0.0)
    engine.put_task(TaskInfo("w", "late", state=WAITING, submitted=10.0))
    figure = plot_timeline()
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "worker 7",
        "Counter abab",
        "worker 8",
    ]
    legend = ax.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        *("load", "Counter", "failed", "Counter.add", "long"),
    ]
    bars = {str(c.get_label()): c for c in ax.collections if not str(c.get_label()).startswith("_")}
    spans = [path.get_extents() for path in bars["load"].get_paths()]
    assert [(span.x0, span.x1) for span in spans] == [(0.5, 2.5), (3.0, 4.0)]  # since submission
    assert (to_hex(bars["failed"].get_facecolor()[0]), bars["failed"].get_hatch()) == (
        "#d55e00",
        "//",
    )
    pale = next(c for c in ax.collections if to_hex(c.get_facecolor()[0]) == "#ffffff")
    moved = [path.get_extents() for path in pale.get_paths()]
    assert [(span.x0, span.x1) for span in moved] == [(0.5, 1.0), (2.0, 2.5)]


def test_it_draws_into_the_axes_it_is_given_and_says_when_there_is_nothing(
    engine: FakeEngine,
) -> None:
    figure, ax = plt.subplots()
    assert plot_timeline(ax) is figure
    assert [text.get_text() for text in ax.texts] == ["no tasks have run"]
