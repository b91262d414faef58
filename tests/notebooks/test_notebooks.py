"""The lessons run from top to bottom, and what their saved files show is true. The last one runs as
`raykernel demo`: test_demo.py."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from raykernel import lessons
from raykernel.commands import demo, runner

NAMES = ["01_first_steps", "02_cells_as_tasks", "05_house_prices"]


def saved(name: str) -> Any:
    return nbformat.read(lessons.path(name), as_version=4)


def execute(name: str, folder: Path) -> Any:
    notebook = saved(name)
    demo.clear_outputs(notebook)
    runner.run(notebook, folder, io.StringIO())
    return notebook


def text(notebook: Any, cell_id: str) -> str:
    """All that a cell printed."""
    [cell] = [cell for cell in notebook.cells if cell.id == cell_id]
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def raised(notebook: Any, cell_id: str) -> str:
    """The traceback a cell ended with, without its colours."""
    [cell] = [cell for cell in notebook.cells if cell.id == cell_id]
    [error] = [output for output in cell.outputs if output.output_type == "error"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error.traceback))


def seconds(line: str) -> float:
    return float(re.findall(r"(\d+\.\d+) s", line)[0])


def near(found: demo.Training, exact: demo.Line) -> bool:
    return found["slope"] == pytest.approx(exact["slope"], rel=0.01) and found[
        "intercept"
    ] == pytest.approx(exact["intercept"], rel=0.01)


def test_first_steps(tmp_path: Path) -> None:
    notebook = execute("01_first_steps", tmp_path)

    in_turn = text(notebook, "in-turn").splitlines()
    assert in_turn[0].endswith("slow")
    assert len(in_turn) == 5
    assert seconds(in_turn[-1]) >= 9

    started, *came = text(notebook, "at-once").splitlines()
    assert seconds(started) < 1, "starting tasks waits for none of them"
    assert {line.split("s  ", 1)[1] for line in came[:-1]} == {f"fast {n}" for n in (1, 2, 3, 4)}
    assert came[-1].endswith("slow")
    assert seconds(came[-2]) < 5 <= seconds(came[-1]) < 9

    one_by_one, parallel = text(notebook, "echo-in-turn"), text(notebook, "echo-parallel")
    assert one_by_one.splitlines()[:-1] == parallel.splitlines()[:-1]
    assert one_by_one.splitlines()[1].split() == ["stressed", "desserts"]
    assert seconds(parallel.splitlines()[-1]) < seconds(one_by_one.splitlines()[-1])


@pytest.mark.parametrize("fresh", [True, False])
def test_cells_as_tasks(tmp_path: Path, fresh: bool) -> None:
    name = "02_cells_as_tasks"
    notebook = execute(name, tmp_path) if fresh else saved(name)

    assert seconds(text(notebook, "check")) < 2
    assert text(notebook, "check").splitlines()[1:] == ["Mon 11 120", "Tue 14 310", "Wed 9 95"]
    assert text(notebook, "caught").startswith("caught: ")
    for cell in ("traceback", "many"):
        shown = raised(notebook, cell)
        assert shown.count("return total / len(values)") == 1
        assert "raykernel/" not in shown
    assert "did not run: rounded" in raised(notebook, "traceback")
    assert "50 of the 50 tasks have failed" in raised(notebook, "many")
    assert "mean: ZeroDivisionError" in text(notebook, "debug")
    assert text(notebook, "stop") == "stopped\n"
    assert text(notebook, "stopped") == "and its task was cancelled\n"


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_is_saved_as_it_ran(name: str) -> None:
    notebook = saved(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    # a lesson on errors says of the cells that show one
    outputs = [
        o for c in code if "raises-exception" not in c.metadata.get("tags", ()) for o in c.outputs
    ]
    assert "error" not in {output.output_type for output in outputs}
    assert "stderr" not in {output.get("name") for output in outputs}


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_lesson_tells_nothing_of_the_machine_it_ran_on(name: str) -> None:
    raw = lessons.path(name).read_text(encoding="utf-8")
    raw = re.sub(r'"image/png": "[^"]*"|base64,[A-Za-z0-9+/=]*', "", raw)
    assert not re.search(r"(?<![\w.:/<])/(work|home|root|tmp|Users|usr|dev)/", raw)


def test_the_saved_house_prices_are_true() -> None:
    result: Any = demo.find_result(saved("05_house_prices"))
    assert near(result["async"], result["least_squares"])
    assert near(result["sync"], result["least_squares"])
    assert result["straggler_ratio"] >= 2


def test_every_lesson_is_tested() -> None:
    assert [name.removesuffix(".ipynb") for name in lessons.names()] == NAMES
