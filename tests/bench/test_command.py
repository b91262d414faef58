"""`raykernel bench` on real engines, for a moment: it ends, it cleans up, its JSON holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raykernel.bench import harness
from raykernel.bench.harness import BenchError, ChildEngine
from raykernel.bench.rows import MANY_TASKS, MEMORY, POOL, RAYKERNEL, ROWS, START


def bench(*options: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(harness.__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-m", "raykernel", "bench", *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_every_row_runs_on_raykernel() -> None:
    done = bench("--seconds", "0.01", "--rounds", "1", "--json", "--against", "processpool")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["engines"] == [RAYKERNEL, POOL]
    assert [row["name"] for row in result["rows"]] == [row.name for row in ROWS]
    for row in result["rows"]:
        assert row["errors"] == {}
        assert row["measured"][RAYKERNEL]["median"] > 0
    offered = {row["name"] for row in result["rows"] if POOL in row["measured"]}
    assert offered == {row["name"] for row in result["rows"] if row["ratios"]}
    assert MANY_TASKS in offered


def test_the_table_is_for_people() -> None:
    done = bench("--seconds", "0.01", "--rounds", "2", "--only", "get small")
    assert done.returncode == 0, done.stderr
    header, _, line = done.stdout.splitlines()
    assert header.split()[:3] == ["operation", "unit", "raykernel"]
    assert line.startswith("get small object  ops/s")
    assert ">= 20x ray" in line


def test_a_session_has_memory_of_its_own() -> None:
    engine = ChildEngine(RAYKERNEL, cpus=2)
    try:
        assert 5 < engine.ask(MEMORY, 0) < 2000
        assert 0 < engine.ask(START, 0) < 60
        with pytest.raises(BenchError, match="KeyError"):
            engine.ask("knitting", 0)
        assert engine.ask("get small object", 0) > 0, "one row's error leaves the others be"
    finally:
        engine.close()


def test_an_engine_that_does_not_start_is_an_error() -> None:
    with pytest.raises(BenchError, match=r"ended with exit code 1, .*has no attribute 'init'"):
        ChildEngine("raykernel.lessons", cpus=1)  # a module, but no engine
