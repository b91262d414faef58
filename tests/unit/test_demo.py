"""The demo's parts that need no kernel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from raykernel import lessons
from raykernel.commands import CommandError, demo

RESULT: demo.Result = {
    "rows": 321,
    "skipped_rows": 2,
    "least_squares": {"slope": 40.0, "intercept": 11000.0},
    "async": {"slope": 40.04, "intercept": 11000.0, "updates_per_s": 380.4},
    "sync": {"slope": 40.0, "intercept": 10945.0, "updates_per_s": 360.6},
    "straggler_ratio": 3.96,
    "notebook": "/tmp/house_prices.ipynb",
    "html": "/tmp/house_prices.html",
}


def outputs_of(cell: Any, data: dict[str, Any]) -> Any:
    cell.outputs = [new_output("display_data", data=data)]
    return cell


def test_the_report_says_everything_a_person_asks_for() -> None:
    said = demo.report(RESULT, "area")
    assert "321 sales used, 2 rows skipped" in said
    assert "least squares: price = 11,000.00 + 40.0000 * area" in said
    assert "slope 0.1000%, intercept 0.0000%" in said
    assert "slope 0.0000%, intercept 0.5000%" in said
    assert "380 updates/s" in said
    assert "361 updates/s" in said
    assert "4.0 times" in said
    assert "/tmp/house_prices.ipynb" in said
    assert "/tmp/house_prices.html" in said


def test_the_lesson_takes_the_demo_s_parameters() -> None:
    lesson = nbformat.read(lessons.path(demo.LESSON), as_version=4)
    demo.set_parameters(lesson, {"CSV": "a'b.csv", "SIZE_COLUMN": "Size", "PRICE_COLUMN": "Price"})
    [at] = [
        n
        for n, cell in enumerate(lesson.cells)
        if "given-parameters" in cell.metadata.get("tags", [])
    ]
    names: dict[str, Any] = {}
    exec(lesson.cells[at - 1].source, names)
    defaults = set(names)
    exec(lesson.cells[at].source, names)
    assert (names["CSV"], names["SIZE_COLUMN"], names["PRICE_COLUMN"]) == (
        "a'b.csv",
        "Size",
        "Price",
    )
    assert set(names) == defaults, "the demo sets a parameter that the lesson does not know"
    nbformat.validate(lesson)


def test_a_notebook_without_parameters_is_refused() -> None:
    with pytest.raises(CommandError, match="no cell tagged"):
        demo.set_parameters(new_notebook(cells=[new_code_cell("1")]), {"CSV": ""})


def test_the_result_is_read_from_the_last_output_that_carries_it() -> None:
    old = outputs_of(new_code_cell("1"), {demo.RESULT: {"rows": 1}})
    last = outputs_of(new_code_cell("2"), {demo.RESULT: {"rows": 2}, "text/plain": "2 sales"})
    after = outputs_of(new_code_cell("3"), {"text/plain": "done"})
    assert demo.find_result(new_notebook(cells=[old, last, after])) == {"rows": 2}
    with pytest.raises(CommandError, match="published no result"):
        demo.find_result(new_notebook(cells=[after]))


def test_the_page_needs_no_network_and_shows_the_settled_picture() -> None:
    view = {demo.WIDGET: {"model_id": "7"}, "image/svg+xml": "<svg><title>settled</title></svg>"}
    notebook = new_notebook(cells=[outputs_of(new_code_cell("view"), view)])
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    page = demo.to_html(notebook)
    assert "data:image/svg+xml;base64," in page
    assert 'src="http' not in page
    assert demo.WIDGET not in page
    assert demo.WIDGET in notebook.cells[0].outputs[0].data, "the notebook itself keeps its view"
    assert page.endswith(demo.MARK)


def test_its_own_earlier_output_is_overwritten(tmp_path: Path) -> None:
    notebook = tmp_path / "house_prices.ipynb"
    notebook.write_text(json.dumps({"metadata": {"raykernel": {"demo": True}}}))
    (tmp_path / "house_prices.html").write_text(f"<html>{demo.MARK}")
    files = demo._outputs(tmp_path)
    assert files == (notebook.resolve(), (tmp_path / "house_prices.html").resolve())
