"""What is promised of Ray's API, on Ray itself: `python -m tests.on_ray [FILES]`, where Ray is.

Each file of tests has a process of its own, two at a time, so that what Ray takes down or holds is
one file's. A file that fails is tried again by itself, up to twice: Ray is not free of races, and
gives some of its parts fixed times that a busy machine doesn't keep. A wrong test fails each time.
Every test ends in time (tests/contract/conftest.py), and so does a file. What failed is shown in
whole, what needed another try is named at the end.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: By file size, which is roughly the time it takes: the longest begin first and the end isn't idle.
#: A cluster of two nodes comes before all.
PLACES = ("tests/ray", "tests/contract", "tests/util")

BESIDE_EACH_OTHER = 2
TRIES = 3
#: What one file may take, in seconds.
FILE_LIMIT = 900
#: When more files fail than this it isn't Ray's races, and nothing is tried again.
HOPELESS = 6

NOTHING_COLLECTED = 5  # pytest's status: all of the file's tests are of raykernel alone

_printing = threading.Lock()


def files() -> list[str]:
    found: list[str] = []
    for place in PLACES:
        tests = sorted((ROOT / place).glob("test_*.py"), key=lambda path: -path.stat().st_size)
        found += [str(path.relative_to(ROOT)) for path in tests]
    return found


def passes(file: str) -> bool:
    """Run one file's tests on Ray. Shows how it went, and what it wrote if it failed."""
    began = time.monotonic()
    # What a crash of Ray writes would be lost in pytest's own capture of the process's output.
    options = ["-q", "-m", "ray", "-p", "no:cacheprovider", "--capture=sys", "--durations=5"]
    with tempfile.TemporaryFile() as written:  # the end of a pipe would be that of its last holder
        try:
            status = subprocess.call(
                [sys.executable, "-m", "pytest", *options, file],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
                timeout=FILE_LIMIT,
            )
        except subprocess.TimeoutExpired:
            status = -1
            written.write(f"\nended after {FILE_LIMIT} s\n".encode())
        written.seek(0)
        lines = written.read().decode(errors="replace").splitlines() or [""]
    passed = status in (0, NOTHING_COLLECTED)
    with _printing:
        if not passed:
            print(f"\n-- {file} (status {status})", *lines, "--", sep="\n")
        print(f"{time.monotonic() - began:5.0f} s  {file}: {lines[-1]}", flush=True)
    return passed


def failing(tests: list[str], at_once: int) -> list[str]:
    with ThreadPoolExecutor(at_once) as pool:
        passed = list(pool.map(passes, tests))
    return [file for file, well in zip(tests, passed, strict=True) if not well]


def main(tests: list[str]) -> int:
    began = time.monotonic()
    failed = failing(tests, BESIDE_EACH_OTHER)
    again: list[str] = []
    for _ in range(TRIES - 1):
        if not failed or len(failed) > HOPELESS:
            break
        print("\nOnce more, one by one:", *failed, flush=True)
        again += failed
        failed = failing(failed, 1)
    minutes = (time.monotonic() - began) / 60
    print(f"\nOn Ray: {len(tests) - len(failed)} of {len(tests)} files passed in {minutes:.1f} min")
    if again:
        print("Tried again:", *again)
    if failed:
        print("Failed:", *failed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or files()))
