"""What the log pane knows, tells and finds, on real log files."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from raykernel.runtime import logfiles
from raykernel.runtime.engines.fake import FakeEngine
from raykernel.runtime.events import FINISHED, RUNNING, EventBatch, TaskInfo
from raykernel.widgets.log_model import FOUND, LogModel
from raykernel.widgets.subject import reply


class Files(FakeEngine):
    """A `FakeEngine` whose log files are real."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = str(folder)
        (folder / "logs").mkdir()
        self.clock = itertools.count(1_000_000.0)

    def query(self, what: str, **filters: Any) -> Any:
        if what == "logs":
            return logfiles.find(self.folder, **filters)
        return super().query(what, **filters)

    def says(self, text: str, *, pid: int = 7, stream: str = "stdout", **labels: str) -> None:
        path = Path(logfiles.path(self.folder, pid, stream))
        start = path.stat().st_size if path.exists() else 0
        with path.open("a") as file:
            file.write(text)
        entry = logfiles.Entry(next(self.clock), stream, start, path.stat().st_size, **labels)
        logfiles.append(f"{self.folder}/logs/worker-{pid}.idx", [entry])


@pytest.fixture
def engine(tmp_path: Path) -> Files:
    return Files(tmp_path)


def texts(told: dict[str, Any] | None) -> list[str]:
    assert told is not None
    return [line[8] for line in json.loads(json.dumps(told))["lines"]]


def test_each_line_is_told_once_with_its_labels(engine: Files) -> None:
    model = LogModel(cell_name=lambda cell: f"In[{cell}]")
    engine.answers["actors"] = [{"actor_id": "ac", "name": "", "class_name": "m.Counter"}]
    engine.says("one\ntwo\n", task="t1", name="f", cell="3")
    engine.says("bad\n", pid=8, stream="stderr", name="Counter.add", actor="ac")
    assert model.poll(engine)
    snapshot = json.loads(json.dumps(model.snapshot()))
    assert texts(snapshot) == ["one", "two", "bad"]
    assert snapshot["lines"][0][2:8] == ["f", 7, False, "t1", "In[3]", ""]
    assert snapshot["lines"][2][2:8] == ["Counter.add", 8, True, "", "", "Counter"]
    assert (snapshot["names"], snapshot["cells"]) == (["f", "Counter.add"], ["In[3]"])
    assert not model.poll(engine)
    engine.says("three\n", name="f")
    assert model.poll(engine)
    delta = model.delta()
    assert texts(delta) == ["three"]
    assert delta is not None
    assert (delta["base"], delta["total"]) == (snapshot["version"], 4)


def test_what_is_told_and_kept_is_bounded_and_a_search_finds_the_rest(engine: Files) -> None:
    model = LogModel()
    engine.says("".join(f"line {n} {'x' * 500}\n" for n in range(5_000)), name="f")
    model.poll(engine)
    assert len(json.dumps(model.snapshot())) < 100 * 1024
    for n in range(40):
        engine.says("".join(f"more {n} {m}\n" for m in range(200)), name="g")
    model.poll(engine)
    assert len(model.lines) <= 3_000
    delta = model.delta()
    assert texts(delta)[-1] == "more 39 199"
    assert len(texts(delta)) <= 400
    found = reply(model, {"ask": "find", "text": "LINE 3 "}, engine)
    assert [line[:6] for line in texts(found)] == ["line 3"]
    assert not found["more"]
    many = reply(model, {"ask": "find", "name": "g"}, engine)
    assert len(many["lines"]) == FOUND
    assert many["more"]
    assert all(len(form) < 200 * 1024 for form in model.bundle("v").values())


def test_a_search_keeps_to_what_the_pane_shows(engine: Files) -> None:
    model = LogModel({"name": "f", "grep": "keep"}, "task f")
    engine.says("keep apples\nkeep pears\ndrop apples\n", name="f")
    engine.says("keep apples too\n", name="g")
    model.poll(engine)
    assert texts(model.snapshot()) == ["keep apples", "keep pears"]
    assert texts(reply(model, {"ask": "find", "text": "(apples"}, engine)) == []
    assert texts(reply(model, {"ask": "find", "text": "Apples"}, engine)) == ["keep apples"]
    assert "ended" in reply(model, {"ask": "find"}, None)["refused"]


def test_it_is_live_while_tasks_are(engine: Files) -> None:
    model = LogModel()
    model.apply(EventBatch([TaskInfo("1", "f", state=RUNNING)], 1.0))
    assert model.live == 1
    model.merge([TaskInfo("1", "f", state=FINISHED)])
    assert model.live == 0


def test_its_static_form_is_safe_and_says_how_much_there_is(engine: Files) -> None:
    model = LogModel(tail=2)
    assert model.bundle()["text/plain"] == "No task output yet."
    engine.says("<script>1</script>\nlast but one\nlast\n", name="<f>")
    model.poll(engine)
    forms = model.bundle("v")
    assert "3 lines of task output, the last 2 of them here" in forms["text/html"]
    assert "<f>" not in forms["text/html"]
    assert forms["text/plain"] == "(<f> pid=7) last but one\n(<f> pid=7) last"
