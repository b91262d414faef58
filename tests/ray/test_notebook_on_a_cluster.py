"""The house-price lesson on both engines: the local one, and a Ray cluster that loses a node while
workers run there."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path

import nbformat
import pytest

from raykernel import lessons
from raykernel.commands import demo, runner
from tests.notebooks.test_notebooks import near

_SHORTER = {"RACE_UPDATES = 600": "RACE_UPDATES = 100"}
_ON_A_CLUSTER = {
    **_SHORTER,
    "%ray start": "%ray start --address {address}",
    "work.remote(": "work.options(scheduling_strategy='SPREAD').remote(",
    "Server.remote(": "Server.options(resources={{'head': 1}}).remote(",  # its state is but there
    "UPDATES = 2000": "UPDATES = 5000",  # enough after the loss to make up for what was stale
    "    if new:": "    if new and not __import__('pathlib').Path({mark!r}).touch():",
}


@pytest.mark.ray(patience=250)  # 80 s on a quiet machine with two cores
@pytest.mark.parametrize("engine", ["local engine", "Ray cluster"])
def test_house_prices_come_out_right(
    engine: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    mark = tmp_path / "under way"
    cluster = request.getfixturevalue("cluster") if engine == "Ray cluster" else None
    changes, address = (_ON_A_CLUSTER, cluster.address) if cluster is not None else (_SHORTER, "")
    notebook = nbformat.read(lessons.path(demo.LESSON), as_version=4)
    demo.clear_outputs(notebook)
    for old, changed in changes.items():
        new = changed.format(address=address, mark=str(mark))
        assert any(old in cell.source for cell in notebook.cells), old
        for cell in notebook.cells:
            cell.source = cell.source.replace(old, new)
    lost: list[float] = []

    def lose() -> None:
        end = time.monotonic() + 200
        while not mark.exists() and time.monotonic() < end:
            time.sleep(0.05)
        cluster.remove_node(cluster.second, allow_graceful=False)
        lost.append(time.monotonic())

    thread = threading.Thread(target=lose)
    if cluster is not None:
        thread.start()
    runner.run(notebook, tmp_path, io.StringIO())
    ended = time.monotonic()
    if cluster is not None:
        thread.join()
        assert lost[0] < ended
    result = demo.find_result(notebook)
    assert near(result["async"], result["least_squares"])
    assert near(result["sync"], result["least_squares"])
