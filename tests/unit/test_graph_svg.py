"""The picture that stays in a saved file."""

from __future__ import annotations

import base64
import re
from xml.etree import ElementTree

from raykernel.runtime.events import ACTOR, CALL, FAILED, FINISHED, EventBatch, TaskInfo
from raykernel.widgets import svg
from raykernel.widgets.model import GraphModel


def model_of(*tasks: TaskInfo) -> GraphModel:
    model = GraphModel()
    model.apply(EventBatch(list(tasks), 1.0))
    return model


def test_it_is_well_formed_and_says_what_it_shows() -> None:
    model = model_of(
        TaskInfo("1", "<load & go>", state=FINISHED),
        TaskInfo("2", "train", deps=["1"], state=FAILED, error="ValueError: <x> & 'y'"),
        TaskInfo("3", "Counter.__init__", ACTOR, actor="A"),
        TaskInfo("4", "Counter.add", CALL, actor="A", deps=["2"]),
    )
    root = ElementTree.fromstring(svg.svg(model))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"<load & go>", "train", "Counter", "1 failed", "1 finished", "2 waiting"} == set(texts)
    assert root[0].text == "Task graph of 4 tasks: 2 waiting, 1 finished, 1 failed"
    marks = list(root.iter("{http://www.w3.org/2000/svg}use"))
    assert len(marks) == 4 + 3, "a mark per task, and the legend's"


def test_cards_of_an_actors_methods_are_named_by_the_method() -> None:
    calls = [
        TaskInfo(f"c{n}", "ParameterServer.push", CALL, actor="A", state=FINISHED)
        for n in range(1200)
    ]
    model = model_of(TaskInfo("a", "ParameterServer", ACTOR, actor="A", state=FINISHED), *calls)
    root = ElementTree.fromstring(svg.svg(model))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("ParameterServer") == 2, "the lane, and its card of the creation"
    assert {"push", "1,200", "1,201 finished"} <= set(texts)
    assert "ParameterServer.push" in svg.text(model), "in words there is no lane"


def test_nothing_in_it_runs_and_text_is_escaped() -> None:
    bad = "</summary><script>alert(1)</script>"
    model = model_of(TaskInfo("1", bad, state=FAILED, error=bad))
    for form in ("text/html", "image/svg+xml"):
        assert "<script" not in svg.bundle(model, '"><script>')[form]


def test_the_html_holds_the_same_picture_and_a_table() -> None:
    model = model_of(
        TaskInfo("1", "f", state=FINISHED), TaskInfo("2", "g", state=FAILED, error="OSError: gone")
    )
    data = svg.bundle(model, "view-1")
    found = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', data["text/html"])
    assert found is not None
    assert base64.b64decode(found[1]).decode() == data["image/svg+xml"]
    assert 'data-raykernel-view="view-1"' in data["text/html"]
    assert "<td>f</td><td>1</td>" in data["text/html"]
    assert "<code>g: OSError: gone</code>" in data["text/html"]


def test_an_output_stays_under_200_kib() -> None:
    ids = [str(i) for i in range(300)]
    dense = [
        TaskInfo(name, f"function_{i % 30}", deps=ids[:i], submitted=float(i))
        for i, name in enumerate(ids)
    ]
    many = [
        TaskInfo(f"{i}", f"a_function_with_a_long_name_{i}", state=FAILED, error=f"{i}" * 400)
        for i in range(2000)
    ]
    for tasks in (dense, many):
        data = svg.bundle(model_of(*tasks), "view")
        assert sum(map(len, data.values())) < 200 * 1024
        ElementTree.fromstring(data["image/svg+xml"])


def test_an_empty_graph_says_so() -> None:
    model = GraphModel()
    assert "No tasks yet" in svg.svg(model)
    assert svg.text(model) == "task graph, 0 tasks"


def test_the_text_names_functions_states_sources_and_failures() -> None:
    model = model_of(
        TaskInfo("1", "load", state=FINISHED),
        TaskInfo("2", "train", deps=["1"], state=FINISHED, submitted=1.0),
        TaskInfo("3", "train", deps=["1"], state=FAILED, error="OSError: x", submitted=2.0),
    )
    assert svg.text(model) == (
        "task graph, 3 tasks: 2 finished, 1 failed\n"
        "  load   1 finished\n"
        "  train  1 finished, 1 failed   <- load\n"
        "  failed: train: OSError: x"
    )
