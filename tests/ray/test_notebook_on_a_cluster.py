"""The house-price lesson on a Ray cluster, whose second node is killed while workers run there."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import nbformat

from raykernel import lessons
from raykernel.commands import demo, runner
from tests.notebooks.test_notebooks import near

_CHANGES = {
    "%ray start": "%ray start --address {address}",
    "work.remote(": "work.options(scheduling_strategy='SPREAD').remote(",
    "Server.remote(": "Server.options(resources={{'head': 1}}).remote(",  # its state is but there
    "UPDATES = 2000": "UPDATES = 5000",  # enough after the loss to make up for what was stale
    "RACE_UPDATES = 600": "RACE_UPDATES = 100",
    "    if new:": "    if new and not __import__('pathlib').Path({mark!r}).touch():",
}


def test_house_prices_survive_the_loss_of_a_node(cluster: Any, tmp_path: Path) -> None:
    mark = tmp_path / "under way"
    notebook = nbformat.read(lessons.path(demo.LESSON), as_version=4)
    demo.clear_outputs(notebook)
    for cell in notebook.cells:
        for old, changed in _CHANGES.items():
            new = changed.format(address=cluster.address, mark=str(mark))
            cell.source = cell.source.replace(old, new)
    lost: list[float] = []

    def lose() -> None:
        end = time.monotonic() + 200
        while not mark.exists() and time.monotonic() < end:
            time.sleep(0.05)
        cluster.remove_node(cluster.second, allow_graceful=False)
        lost.append(time.monotonic())

    thread = threading.Thread(target=lose)
    thread.start()
    runner.run(notebook, tmp_path, io.StringIO())
    ended = time.monotonic()
    thread.join()
    assert lost[0] < ended
    result = demo.find_result(notebook)
    assert near(result["async"], result["least_squares"])
    assert near(result["sync"], result["least_squares"])
