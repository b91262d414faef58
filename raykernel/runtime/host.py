"""What the machine itself tells: its memory and load, and what processes on it use.

Asked where a session runs: by a driver on the same machine, or for one on another (remote/).
"""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

import psutil

_processes: dict[int, psutil.Process] = {}  # kept, since CPU use is counted from call to call


def facts(pids: Collection[int]) -> dict[str, Any]:
    """Of the machine, and by their ids of these processes: bytes of memory, and shares of a CPU.
    Zeros for one that has just ended."""
    memory = psutil.virtual_memory()
    for pid in [pid for pid in _processes if pid not in pids]:
        del _processes[pid]
    return {
        "memory": [memory.total - memory.available, memory.total],
        "cpus": os.cpu_count() or 1,
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        "processes": {str(pid): _process(pid) for pid in pids if pid},
    }


def _process(pid: int) -> dict[str, Any]:
    try:
        process = _processes.get(pid)
        if process is None:
            process = _processes[pid] = psutil.Process(pid)
        return {"memory": process.memory_info().rss, "cpu": round(process.cpu_percent() / 100, 2)}
    except psutil.Error:
        _processes.pop(pid, None)
        return {"memory": 0, "cpu": 0.0}
