"""The notebook's side of a head that is 50 ms away and loses packets: all that a notebook has at
home it has there, and the house-price lesson comes out right.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import nbformat
import pytest

from raykernel import lessons
from raykernel.commands import demo, runner
from tests.integration.far import far_head
from tests.integration.kernels import WIDGET, Kernel, kernel
from tests.notebooks.test_notebooks import near

CELL = """
%%remote
import time
from pathlib import Path
import numpy as np

def shout(n):
    print("hello", n)
    return n

def fail(x):
    culprit = x + 1
    return culprit / 0

def sleep(mark):
    Path(mark).touch()
    time.sleep(1000)

def make(n):
    return np.random.rand(n)

def last(x):
    return float(x[-1])
"""


@pytest.fixture(scope="module")
def file(
    tmp_path_factory: pytest.TempPathFactory, _module_leaves_nothing: object
) -> Iterator[Path]:
    with far_head(tmp_path_factory.mktemp("far")) as (_, made):
        yield made


@pytest.fixture(scope="module")
def far(file: Path) -> Iterator[Kernel]:
    """A kernel that uses the head."""
    with kernel() as k:
        k.run("%load_ext raykernel\nimport raykernel as ray, numpy as np")
        assert "Connected in" in k.text(k.run(f"%ray start --address {file}"))
        k.run(CELL.strip())
        yield k
        assert "which goes on" in k.text(k.run("%ray stop"))


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_output_comes_to_the_cell_and_starting_again_is_harmless(far: Kernel, file: Path) -> None:
    cell = far.run("refs = [shout.remote(n) for n in range(3)]\nray.get(refs)")
    far.run("pass")
    far.until(lambda: far.text(cell).count("hello") == 3)
    assert "(shout pid=" in far.text(cell)
    assert "A session is running already" in far.text(far.run(f"%ray start --address {file}"))


def test_the_debugger_opens_the_frame_there(far: Kernel) -> None:
    cell = far.send("ray.get(fail.remote(3))")
    error = far.finish(cell)
    assert error is not None
    shown = plain("\n".join(error["traceback"]))
    assert "In the task fail(x=3)" in shown
    assert "return culprit / 0" in shown
    assert "4\n" in far.text(far.converse("%debug", "p culprit", "q"))
    assert "fail: ZeroDivisionError" in far.text(far.run("%ray debug"))
    assert "(3, 4)" in far.text(far.converse("%ray debug fail", "p x, culprit", "q"))


def says(k: Kernel, cell: str, pattern: str) -> bool:
    return re.search(pattern, k.displays(cell)[0]["text/plain"]) is not None


def test_every_view_shows_the_session_there(far: Kernel) -> None:
    assert far.finish(far.send("ray.get([shout.remote(7), fail.remote(1)])")) is not None
    for view, there in (
        ("graph", r"fail {1,9}\d failed"),
        ("status", r"CPU: \d of 2 in use[^$]*machine's memory: [\d.]+ [MG]iB of"),
        ("memory", r"of 512.0 MiB of the store used"),
        ("timeline", r"shout: \d task"),
        ("logs", r"hello 7"),
    ):
        cell = far.run(f"%ray {view}")
        (sent,) = far.of(cell, "display_data")
        assert WIDGET in sent["content"]["data"], view
        far.until(partial(says, far, cell, there))
    assert far.text(far.run("%ray logs --grep 'hello 7'")).count("hello") == 1


def bars(k: Kernel, since: int) -> list[str]:
    """The bars that progress showed in the messages from this one on."""
    return [
        f"{bar['label']} {bar['n']}/{bar['total']}"
        for m in k.messages[since:]
        if m["msg_type"] == "comm_msg"
        for bar in m["content"]["data"].get("state", {}).get("snapshot", {}).get("bars", ())
        if isinstance(bar, dict)  # a timeline's are others
    ]


def test_what_takes_long_on_its_way_is_told_of(far: Kernel) -> None:
    begun = len(far.messages)
    cell = far.run("x = ray.get(make.remote(6_000_000))\nlen(x)")
    assert far.value(cell) == "6000000"
    far.run("ray.get(shout.remote(1))")  # what was told of the cell before is here
    down = bars(far, begun)
    assert down
    assert all(re.fullmatch(r"MiB of objects from the head [\d.]+/45\.8", bar) for bar in down)
    begun = len(far.messages)
    cell = far.run("print(ray.get(last.remote(ray.put(x))) == x[-1])")
    assert far.text(cell) == "True\n"
    up = bars(far, begun)
    assert up
    assert all(re.fullmatch(r"MiB of objects to the head [\d.]+/45\.8", bar) for bar in up)


def test_stop_ends_the_cell_and_its_tasks_there(far: Kernel, tmp_path: Path) -> None:
    mark = tmp_path / "runs"
    running = far.send(f"ray.get(sleep.remote({str(mark)!r}))")
    far.until(mark.exists)
    assert stopped_in(far, running) < 2
    begun = len(far.messages)
    uploading = far.send("y = np.random.rand(10_000_000)\nray.get(last.remote(ray.put(y)))")
    far.until(lambda: bars(far, begun))
    assert stopped_in(far, uploading) < 4  # behind what is on its way
    count = "sum(t.state == 'CANCELLED' for t in ray.api.engine().query('tasks'))"
    far.until(lambda: far.value(far.run(count)) == "2")  # the other one once it has come there


def stopped_in(k: Kernel, cell: str) -> float:
    begun = time.monotonic()
    k.manager.interrupt_kernel()
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    return time.monotonic() - begun


@pytest.mark.timeout(300)
def test_house_prices_come_out_right(file: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(lessons.path(demo.LESSON), as_version=4)
    demo.clear_outputs(notebook)
    for old, new in (
        ("%ray start", f"%ray start --address {file}"),
        ("RACE_UPDATES = 600", "RACE_UPDATES = 30"),
    ):
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    runner.run(notebook, tmp_path, io.StringIO())
    result = demo.find_result(notebook)
    assert near(result["async"], result["least_squares"])
    assert near(result["sync"], result["least_squares"])
