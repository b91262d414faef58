"""The leak checks see each kind of leak, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.footprint import SESSIONS, SHARED_MEMORY, Footprint, end_strays, leftovers

SLEEPER = [sys.executable, "-c", "import sys; sys.stdin.read()"]

#: Starts a process in a session of its own, prints its id, and leaves it to itself.
ABANDON = """
import subprocess, sys
orphan = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"],
    start_new_session=True,
    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
print(orphan.pid)
orphan.returncode = 0  # or the interpreter warns of it at exit
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(SLEEPER, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def test_nothing_started_is_nothing_left() -> None:
    assert leftovers(Footprint.take(), 0) == []


def test_a_process_that_left_its_session_and_lost_its_parent_is_found_and_ended() -> None:
    before = Footprint.take()
    answer = subprocess.run(
        [sys.executable, "-c", ABANDON], capture_output=True, text=True, check=True
    )
    orphan = psutil.Process(int(answer.stdout))
    assert [str(orphan.pid) in left for left in leftovers(before, 0)] == [True]
    end_strays(before)
    assert leftovers(before, 10) == []


def test_a_child_never_waited_for_is_found() -> None:
    before = Footprint.take()
    process = subprocess.Popen(SLEEPER, stdin=subprocess.DEVNULL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert "never waited for" in leftovers(before, 0)[0]
    process.wait()
    assert leftovers(before, 0) == []


def test_what_a_long_lived_server_starts_is_its_own_affair(
    sleeper: subprocess.Popen[bytes],
) -> None:
    shell = ["sh", "-c", "sleep 600 & echo ready; wait"]
    before_all = Footprint.take()
    assert any(process.pid == sleeper.pid for process in before_all.processes)
    with subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        before = Footprint.take()
        assert server.stdout.readline() == b"ready\n"
        assert leftovers(before, 0) == []
        assert len(leftovers(before_all, 0)) == 2
        end_strays(before_all)
    assert leftovers(before_all, 10) == []


def test_threads_files_shared_memory_and_sessions_are_found(tmp_path: Path) -> None:
    before = Footprint.take()
    ended = threading.Event()
    thread = threading.Thread(target=ended.wait, name="stray", daemon=True)
    thread.start()
    shared = SHARED_MEMORY / f"raykernel-footprint-{os.getpid()}"
    session = SESSIONS / f"footprint-{os.getpid()}"
    with open(tmp_path / "held", "w"):
        shared.touch()
        session.mkdir(parents=True)
        left = leftovers(before, 0)
        assert len(left) == 4
        assert "stray" in left[0]
        assert "held" in left[1]
        assert shared.name in left[2]
        assert session.name in left[3]
    shared.unlink()
    session.rmdir()
    ended.set()
    assert leftovers(before, 10) == []


def test_the_sessions_of_other_runs_are_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.footprint.SESSIONS", tmp_path)
    before = Footprint.take()
    session = tmp_path / "other"
    session.mkdir()
    assert leftovers(before, 0) == [f"session folder {session}"]
    outside = os.getppid()  # started before this run, so it doesn't bear the run's mark
    (session / "session.json").write_text(json.dumps({"driver": outside, "pid": outside}))
    assert leftovers(before, 0) == []
    (session / "session.json").write_text(json.dumps({"driver": os.getpid(), "pid": os.getpid()}))
    assert leftovers(before, 0) == [f"session folder {session}"]
