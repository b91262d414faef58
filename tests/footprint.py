"""What a test run holds of the machine: processes, threads, open files, shared memory, sessions.

A test takes a `Footprint` before it begins and asks afterwards what is there that was not.

Processes are found by a mark in their environment, which everything started from this test run
inherits: a process that made itself a session of its own and lost its parent, as the head of a
raykernel session does, is found like any child. Other runs on the same machine carry other marks.
"""

from __future__ import annotations

import gc
import json
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "RAYKERNEL_TEST_RUN"
SHARED_MEMORY = Path("/dev/shm")
SESSIONS = Path(tempfile.gettempdir()) / f"raykernel-{os.getuid()}"
OPEN_FILES = Path("/proc/self/fd") if Path("/proc/self/fd").exists() else Path("/dev/fd")

#: Threads and files which a library opens once and keeps for the life of the process.
LASTING_THREADS = ("IPythonHistorySavingThread",)
LASTING_FILES = ("/history.sqlite", "/history.sqlite-journal", "/dev/urandom")


def mark_this_run() -> None:
    """Mark everything that this process starts from now on."""
    os.environ[MARK] = uuid.uuid4().hex


@dataclass(frozen=True)
class Footprint:
    """A snapshot. Each part maps what identifies a thing to what a person calls it."""

    processes: dict[psutil.Process, str]
    threads: dict[int, str]
    files: dict[int, str]
    paths: dict[Path, str]

    @classmethod
    def take(cls) -> Footprint:
        return cls(
            dict(_marked_processes()),
            {
                id(thread): f"thread {thread.name!r}"
                for thread in threading.enumerate()
                if thread.name not in LASTING_THREADS
            },
            dict(_open_files()),
            {
                **{path: f"shared memory {path}" for path in SHARED_MEMORY.glob("raykernel-*")},
                **{path: f"session folder {path}" for path in SESSIONS.glob("*")},
            },
        )

    def grown_since(self, before: Footprint) -> list[str]:
        """What `self` holds and `before` did not, for people to read."""
        return [
            *(name for found, name in self.processes.items() if found not in before.processes),
            *(name for found, name in self.threads.items() if found not in before.threads),
            # A closed file's number is handed out again: the number alone says little.
            *(name for found, name in self.files.items() if before.files.get(found) != name),
            *(
                name
                for found, name in self.paths.items()
                if found not in before.paths and not _used_by_others(found)
            ),
        ]

    def strays_since(self, before: Footprint) -> list[str]:
        """The processes that are new and descend from none of `before`'s.

        While a server (a session's head, a browser) lives longer than one test, its own processes,
        threads and files come and go as it likes; only what got away from it is a fault.
        """
        return [
            name
            for process, name in self.processes.items()
            if process not in before.processes and not _descends(process, before.processes)
        ]


def leftovers(before: Footprint, seconds: float, known: Collection[str] = ()) -> list[str]:
    """What was begun since `before`, is there now, and still is once `seconds` are over.

    Returns as soon as nothing is but what is `known`. If `before` already held processes, only
    strays count. What comes while waiting is not counted: what a test left behind is there at its
    end, while another run's session may begin at any time.
    """
    deadline = time.monotonic() + seconds
    left = _grown(before)
    while True:
        left = [name for name in left if name not in known]
        if not left or time.monotonic() >= deadline:
            return left
        gc.collect()  # an unreachable socket is closed, and an unreachable view unmapped, by it
        time.sleep(0.02)
        grown = _grown(before)
        left = [name for name in left if name in grown]


def _grown(before: Footprint) -> list[str]:
    now = Footprint.take()
    return now.strays_since(before) if before.processes else now.grown_since(before)


def end_strays(before: Footprint) -> None:
    """Kill the processes begun since `before`, so that one leak does not fail the tests after."""
    now = Footprint.take()
    for process in now.processes:
        if process not in before.processes and not _descends(process, before.processes):
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue


def _marked_processes() -> Iterator[tuple[psutil.Process, str]]:
    mark = os.environ.get(MARK)
    if mark is None:
        raise RuntimeError("mark_this_run() was not called: no process would be found")
    for process in _perhaps_marked(f"{MARK}={mark}".encode()):
        try:
            if process.ppid() == os.getpid() and process.status() == psutil.STATUS_ZOMBIE:
                yield process, f"process {process.pid} (ended, but never waited for)"
            elif process.pid != os.getpid() and process.environ().get(MARK) == mark:
                yield process, f"process {process.pid} ({' '.join(process.cmdline())[:120]})"
        except psutil.Error:
            continue  # ended meanwhile, or somebody else's


def _perhaps_marked(mark: bytes) -> Iterator[psutil.Process]:
    """All processes but those of which one file says that they are none. Two looks at all of them
    for each test add up."""
    if not os.path.exists("/proc/self/environ") or _a_child_has_ended():  # then it has no such file
        yield from psutil.process_iter()
        return
    for name in os.listdir("/proc"):
        if not name.isdecimal():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environment:
                if mark not in environment.read():
                    continue
            yield psutil.Process(int(name))
        except (OSError, psutil.NoSuchProcess):
            continue  # ended meanwhile, or somebody else's


def _a_child_has_ended() -> bool:
    """Whether one was not waited for; it still can be."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def _open_files() -> Iterator[tuple[int, str]]:
    for number in sorted(int(name) for name in os.listdir(OPEN_FILES)):
        try:
            target = os.readlink(OPEN_FILES / str(number))
        except FileNotFoundError:
            continue  # the listing's own
        except OSError:
            target = "unknown"  # macOS has no links in /dev/fd
        if not target.endswith(LASTING_FILES):
            yield number, f"open file {number} ({target})"


def _used_by_others(path: Path) -> bool:
    """Whether a process outside this run holds the shared memory or session: not our leak then."""
    for process in psutil.process_iter():
        try:
            ours = process.pid == os.getpid() or process.environ().get(MARK) == os.environ[MARK]
            if not ours and (_drives(process.pid, path) or _holds(process.pid, path)):
                return True
        except (OSError, psutil.Error):
            continue  # ended meanwhile, or somebody else's
    return False


def _holds(pid: int, shared: Path) -> bool:
    if str(shared) in Path(f"/proc/{pid}/maps").read_text(errors="replace"):
        return True
    return any(os.readlink(file) == str(shared) for file in Path(f"/proc/{pid}/fd").iterdir())


def _drives(pid: int, path: Path) -> bool:
    """Whether the process is the driver or head of the session whose folder or arena this is."""
    session = SESSIONS / path.name.removeprefix(f"raykernel-{os.getuid()}-")
    try:
        about = json.loads((session / "session.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False  # no session's folder, or one that was never described
    return pid in (about["driver"], about["pid"])


def _descends(process: psutil.Process, ancestors: dict[psutil.Process, str]) -> bool:
    try:
        return any(parent in ancestors for parent in process.parents())
    except psutil.NoSuchProcess:
        return True  # ended meanwhile: nothing to complain about
