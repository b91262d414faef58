"""What tasks, C libraries and child processes write, in the cell that caused it and in the logs."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.kernels import Kernel, kernel

SETUP = """
%load_ext raykernel
%config RayKernelConfig.log_lines_per_cell = 300
import os
import raykernel as ray
ray.init(num_cpus=2)

@ray.remote(max_retries=0)
def run(code):
    names = "ctypes, logging, multiprocessing, os, signal, subprocess, sys, time"
    exec(f"import {names}\\n{code}", {})
"""


@pytest.fixture(scope="module")
def k() -> Iterator[Kernel]:
    with kernel() as made:
        made.run(SETUP)
        yield made
        made.run("ray.shutdown()")


def lines(k: Kernel, cell: str, name: str = "stdout") -> list[str]:
    """What a cell's tasks wrote, without the prefixes, each of which must be there."""
    out = []
    for line in k.text(cell, name).splitlines():
        prefix, end, text = line.partition(") ")
        assert prefix.startswith("(run pid=") or line.startswith("…"), line
        out.append(text if end else line)
    return out


def test_every_way_of_writing_arrives_in_order_before_the_cell_ends(k: Kernel) -> None:
    cell = k.run(
        """ray.get(run.remote('''
print("print 1")
os.write(1, b"fd 1\\\\n")
print("print 2", flush=True)
ctypes.CDLL(None).puts(b"C library")
subprocess.run(["echo", "child"])
child = multiprocessing.get_context("fork").Process(target=print, args=("forked",))
child.start(); child.join()
sys.stdout.write("a"); sys.stdout.write("b\\\\n")
sys.stdout.buffer.write("bytes \\u00e4\\\\n".encode())
print("no newline", end="")
'''))"""
    )
    assert lines(k, cell) == [
        *("print 1", "fd 1", "print 2", "C library", "child", "forked", "ab", "bytes ä"),
        "no newline",
    ]


def test_stderr_is_stderr(k: Kernel) -> None:
    cell = k.run(
        """ray.get(run.remote('''
os.write(2, b"fd\\\\n")
logging.getLogger("mine").warning("logged")
subprocess.run("echo child >&2", shell=True)
print("printed", file=sys.stderr)
'''))"""
    )
    assert lines(k, cell, "stderr") == ["fd", "logged", "child", "printed"]
    assert k.text(cell) == ""


def test_output_shows_while_the_task_runs_also_a_childs(k: Kernel) -> None:
    # `exec`: an interrupted `run` ends the shell, and not what that has started
    cell = k.send(
        """ray.get(run.remote('subprocess.run("echo early; exec sleep 30", shell=True)'))"""
    )
    k.until(lambda: "early" in k.text(cell), 10)
    assert not any(m["content"]["execution_state"] == "idle" for m in k.of(cell, "status"))
    k.manager.interrupt_kernel()
    k.finish(cell)


def test_the_last_words_of_a_killed_worker_are_heard(k: Kernel) -> None:
    cell = k.send(
        """ray.get(run.remote('''
print("printed"); os.write(1, b"written\\\\n"); print("half", end="", flush=True)
os.kill(os.getpid(), signal.SIGKILL)
'''))"""
    )
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "WorkerCrashedError"
    k.until(lambda: "half" in k.text(cell), 10)
    assert lines(k, cell) == ["printed", "written", "half"]


def test_repeated_lines_are_folded(k: Kernel) -> None:
    one = k.run("""ray.get(run.remote('for i in range(58): print("tick")\\nprint("tock")'))""")
    assert lines(k, one) == ["tick", "tick … repeated 57 times", "tock"]
    many = k.run(
        """@ray.remote(num_cpus=0)
class Twin:
    def say(self, text):
        print(text)
        return os.getpid()
twins = [Twin.remote() for _ in range(4)]
pids = ray.get([twin.say.remote("hello") for twin in twins])"""
    )
    said = [line.partition(") ")[2] for line in k.text(many).splitlines()]
    assert said == ["hello", "hello … repeated 3 times by 3 workers"]


def test_what_is_too_much_stands_in_the_log_files_and_a_line_says_so(k: Kernel) -> None:
    cell = k.run("""ray.get(run.remote('for i in range(20000): print("line", i)'))""")
    (message,) = k.of(cell, "execute_input")
    count = message["content"]["execution_count"]
    shown = lines(k, cell)
    assert shown[:2] == ["line 0", "line 1"]
    assert shown[299] == "line 299"
    assert shown[300:] == [
        "… this cell's tasks have printed more than 300 lines: the rest is in the log files, see "
        f"%ray logs --cell {count}"
    ]
    last = k.text(k.run(f"%ray logs --cell {count} --tail 2"))
    assert [line.partition(") ")[2] for line in last.splitlines()] == ["line 19998", "line 19999"]
    found = k.text(k.run(f"%ray logs --cell {count} --grep 'line 1234\\d'"))
    assert len(found.splitlines()) == 10


def test_the_logs_of_a_task_and_of_an_actor(k: Kernel) -> None:
    k.run(
        """@ray.remote(num_cpus=0)
class Speaker:
    def say(self, text):
        print(text)
speaker = Speaker.options(name="orator").remote()
ray.get(speaker.say.remote("from the actor"))
ref = run.remote('print("from the task")')
ray.get(ref)"""
    )
    assert "from the actor" in k.text(k.run("%ray logs --actor orator"))
    assert "from the actor" in k.text(k.run("%ray logs --actor Speaker --tail 1"))
    of_task = k.text(
        k.run("get_ipython().run_line_magic('ray', f'logs --task {ref.task_id().hex()}')")
    )
    assert of_task.endswith(") from the task\n")
    assert len(of_task.splitlines()) == 1
    assert "from the task" in k.text(k.run("%ray logs --task run --tail 1"))
    assert "No task output that fits" in k.text(k.run("%ray logs --task nobody"))
    for wrong, complaint in (
        ("--grep '('", "no regular expression"),
        ("--actor nobody", "no actor 'nobody'"),
        ("--cell 999", "no cell ran as In[999]"),
    ):
        error = k.finish(cell := k.send(f"%ray logs {wrong}"))
        assert error is not None or complaint in k.text(cell, "stderr")
        assert complaint in (error["evalue"] if error else "") + k.text(cell, "stderr")
