"""The same magics in plain IPython: text. (A task's output may come between any two writes of the
program's own to stdout, as any thread's may, and `print` writes each of its arguments by itself.)
"""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time

SCRIPT = """
%load_ext raykernel
%ray status
%ray start -n 2
import raykernel as ray, time
get_ipython().run_cell('''%%remote
def f(x):
    time.sleep(0.5)
    print("hello", x)
    return x
''')
print(f"sum {sum(ray.get([f.remote(i) for i in range(4)]))}")
%ray graph
%ray status
%ray stop
"""


def ipython(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", *arguments]


def test_a_script_gets_text() -> None:
    done = subprocess.run(
        ipython("--colors=nocolor", "--no-banner", "--simple-prompt"),
        input=SCRIPT,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "No session is running." in done.stdout
    assert ": 2 CPUs" in done.stdout
    assert "sum 6" in done.stdout
    for i in range(4):
        assert f") hello {i}\n" in done.stdout
    assert "4 tasks ended in " in done.stderr
    assert "\r" not in done.stderr  # it is no terminal: only the last line
    assert "ended." in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_a_terminal_sees_one_line_that_changes() -> None:
    code = (
        "get_ipython().run_line_magic('load_ext', 'raykernel'); import raykernel as ray, time; "
        "f = ray.remote(lambda s: time.sleep(s)); "
        "get_ipython().run_cell('ray.get([f.remote(0.4) for _ in range(6)])'); ray.shutdown()"
    )
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ipython("-c", code), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    try:
        seen = read_all(ours, 60.0)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert "\r\x1b[2K" in seen
    assert "of 6 tasks done" in seen
    last = seen.rsplit("\r\x1b[2K", 1)[1]
    assert last.startswith("6 tasks ended in ")


def test_a_failed_tasks_frame_opens_in_the_debugger() -> None:
    script = """%load_ext raykernel
%ray start -n 1
import raykernel as ray
get_ipython().run_cell("@ray.remote\\ndef half(x):\\n    doubled = 2 * x\\n    return 1 / x\\n")
ray.get(half.remote(0))
%debug
p doubled, x
q
%ray debug half
p doubled + 40
q
%ray stop
"""
    done = subprocess.run(
        ipython("--colors=nocolor", "--no-banner", "--simple-prompt"),
        input=script,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert "In the task half(x=0) of In[5], pid " in done.stdout
    assert "----> 4     return 1 / x" in done.stdout
    assert "(0, 0)\n" in done.stdout
    assert "40\n" in done.stdout
    assert done.stdout.count("> <ipython-input-") + done.stdout.count("> Cell") >= 2


def read_all(fd: int, patience: float) -> str:
    """What is written to a terminal until its last writer closes it."""
    seen = b""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if not select.select([fd], [], [], 0.5)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:  # how Linux says that nobody writes any more
            break
        if not data:
            break
        seen += data
    return seen.decode(errors="replace")
