"""Executed without a front end, by nbclient: what stays in the file."""

from __future__ import annotations

import json
import re

import nbformat
from nbclient import NotebookClient

from tests.integration import kernels

assert kernels.LOOP  # nbclient runs on it too


def execute(*cells: str) -> nbformat.NotebookNode:
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    NotebookClient(nb, timeout=60, kernel_name="python3").execute()
    return nb


def streams(cell: nbformat.NotebookNode) -> str:
    return "".join(out["text"] for out in cell.outputs if out.output_type == "stream")


def displays(cell: nbformat.NotebookNode) -> list[dict[str, str]]:
    return [out["data"] for out in cell.outputs if out.output_type == "display_data"]


def test_progress_and_output_are_in_the_file_and_no_widget_is() -> None:
    nb = execute(
        "%load_ext raykernel\n%ray start -n 2\nimport raykernel as ray, time",
        "%%remote\ndef f(x, seconds):\n    print('task', x)\n    time.sleep(seconds)\n    return x",
        "late = [f.remote(i, 1.5) for i in range(2)]\ntime.sleep(1)",
        "ray.get(late)",
        "ray.get([f.remote(i, 1.6) for i in range(2)])",
    )
    _, _, submits, gets, last = nb.cells
    (left_behind,) = displays(submits)
    (settled,) = displays(last)
    assert left_behind["text/plain"].endswith("f 2 done")
    assert settled["text/plain"].startswith("2 tasks ended in ")
    assert "raykernel-progress-still" in settled["text/html"]
    assert displays(gets) == []
    for cell in (submits, last):
        assert sorted(line.split(") ")[1] for line in streams(cell).splitlines()) == [
            "task 0",
            "task 1",
        ]
    assert "widget" not in json.dumps(nb.metadata)
    assert "widget-view" not in json.dumps(nb.cells)


def test_what_is_printed_after_its_cell_is_in_the_file_all_the_same() -> None:
    nb = execute(
        "%load_ext raykernel\n%ray start -n 2\nimport os, tempfile, time\n"
        "import raykernel as ray\nmark = tempfile.mktemp()",
        "@ray.remote\ndef wait(mark):\n    while not os.path.exists(mark):\n"
        "        time.sleep(0.01)\n    print('late')\n    print('later')",
        "ref = wait.remote(mark)",
        "open(mark, 'w').close()\nray.get(ref)\nos.unlink(mark)",
    )
    assert [re.sub(r"pid=\d+", "pid", line) for line in streams(nb.cells[3]).splitlines()] == [
        "In[3]: (wait pid) late",
        "In[3]: (wait pid) later",
    ]
