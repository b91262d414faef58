"""What a remote head and its drivers do when memory is short: relays that hold little however
slowly a driver reads, and disks that are full.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from raykernel.runtime import context
from tests.integration.far import driver, running_head, tunnel

MIB = 1 << 20

#: A driver that stops for a while with results on their way to it.
READER = """
import sys
import numpy as np
import raykernel as ray
from tests.integration.far import tunnel

ray.init(address=sys.argv[1])

@ray.remote
def small(n):
    return bytes([n % 256]) * 98_304

@ray.remote(num_returns="streaming")
def large():
    for n in range(64):
        yield np.full(4 << 17, n)

refs = [small.remote(n) for n in range(3000)]
stream = large.remote()
print(tunnel(), flush=True)
sys.stdin.readline()
for n, value in enumerate(map(ray.get, refs)):
    assert value[0] == n % 256 and len(value) == 98_304
assert [int(ray.get(ref)[-1]) for ref in stream] == list(range(64))
print("all there", flush=True)
ray.shutdown()
"""

#: `raykernel head` on a machine that has 2 MiB of memory left for objects.
FULL = """
import errno, os, sys
from raykernel import cli
from raykernel.runtime.remote import places

real = places.write_all

def write_all(fd, data, at):
    if at + len(data) > 2 << 20:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    real(fd, data, at)

places.write_all = write_all
sys.exit(cli.main(sys.argv[4:]))
"""


def peak(pid: int) -> int:
    """The most memory that a process ever held, in bytes."""
    if not Path("/proc/self/status").exists():
        return int(psutil.Process(pid).memory_info().rss)
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def test_relays_hold_little_for_a_driver_that_does_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_head(tmp_path) as (gateway, file),
        driver(file, monkeypatch),
        subprocess.Popen(
            [sys.executable, "-c", READER, str(file)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
        ) as reader,
    ):  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None
        relays = {"tunnel": int(reader.stdout.readline()), "gateway": gateway.pid}
        before = {name: peak(pid) for name, pid in relays.items()}
        os.kill(reader.pid, signal.SIGSTOP)
        try:
            query: Any = context.engine.query  # type: ignore[union-attr]
            deadline = time.monotonic() + 60
            while {task.state for task in query("tasks")} != {"FINISHED"}:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert len(query("tasks")) > 1000
        finally:
            os.kill(reader.pid, signal.SIGCONT)
        reader.stdin.write("\n")
        reader.stdin.flush()
        assert reader.stdout.readline() == "all there\n"
        for name, pid in relays.items():
            # 281 MiB of small values and 256 of large ones went through it
            assert peak(pid) - before[name] < 96 * MIB, name


def test_a_full_machine_costs_the_object_and_not_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_head(tmp_path, enter=(sys.executable, "-c", FULL)) as (_, file),
        driver(file, monkeypatch) as ray,
    ):

        @ray.remote
        def last(x: Any) -> int:
            return int(x[-1])

        good = ray.put(np.arange(100_000))
        data = bytes(3 * MIB)
        bad = ray.put(data)
        why = r"could not be written on the head's machine: No space left on device"
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match=why):
            ray.get(last.remote(bad))
        with pytest.raises(ray.exceptions.ObjectStoreFullError, match=why):
            ray.get(last.remote(data))  # as an argument
        assert ray.get(last.remote(good)) == 99_999
        assert psutil.pid_exists(tunnel())
        del bad
        deadline = time.monotonic() + 20
        while context.engine.query("store")["used"] > 2 * MIB:  # type: ignore[union-attr]
            assert time.monotonic() < deadline, "the room for it was not given back"
            time.sleep(0.05)
