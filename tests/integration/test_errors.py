"""What a notebook shows of a task that fails, and the debugger in its frame."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator

import pytest

from tests.integration.kernels import Kernel, kernel

SETUP = """%%remote
def mean(values, n):
    total = sum(values)
    return total / n

def report(mean):
    return f"mean {mean}"

def outer(values):
    note = "outer"
    return ray.get(mean.remote(values, 0))

def wrap():
    try:
        ray.get(mean.remote([], 0))
    except ZeroDivisionError as error:
        raise ValueError("no mean") from error

def locals_of_all_kinds(ref):
    import numpy as np
    import threading
    small = {"a": [1, 2]}
    array = np.arange(1_000_000)
    too_big = np.zeros(70 << 20, dtype="uint8")
    lock = threading.Lock()
    refs = ref
    raise KeyError("here")

class Counter:
    def __init__(self):
        self.n = 41
    def fail(self, step):
        self.n += step
        raise RuntimeError(f"at {self.n}")
"""
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel() as made:
        made.run("%load_ext raykernel\nimport raykernel as ray\nray.init(num_cpus=2)")
        made.run(SETUP)
        yield made
        made.run("ray.shutdown()")


@pytest.fixture
def k(shared: Kernel) -> Kernel:
    shared.messages.clear()
    return shared


def failing(k: Kernel, code: str) -> str:
    """The traceback of a cell that fails, as it is read."""
    error = k.finish(k.send(code))
    assert error is not None
    return COLOURS.sub("", "\n".join(error["traceback"]))


def number(k: Kernel, cell: str) -> int:
    (message,) = k.of(cell, "execute_input")
    return int(message["content"]["execution_count"])


def test_a_traceback_shows_the_users_lines_here_and_there_and_nothing_else(k: Kernel) -> None:
    text = failing(k, "ray.get(mean.remote([1, 2, 3], n=0))")
    here, _, there = text.partition("In the task ")
    assert "----> 1 ray.get(mean.remote([1, 2, 3], n=0))" in here
    assert re.match(r"mean\(values=\[1, 2, 3\], n=0\) of In\[\d+\], pid \d+:\n", there)
    assert "Cell In[2], line 4, in mean()" in there
    assert "----> 4     return total / n" in there
    assert "\nZeroDivisionError: division by zero\n" in there
    assert "raykernel/" not in text
    assert "ipykernel_" not in text
    assert len(text.splitlines()) < 24  # it fits a screen
    error = k.finish(k.send("ray.get(mean.remote([1], 0))"))
    assert error is not None
    assert any("\x1b[" in line for line in error["traceback"])
    assert "Cell In[2], line 4, in mean" in error["evalue"]


def test_an_error_that_came_through_dependencies_is_told_once(k: Kernel) -> None:
    text = failing(k, "ray.get(report.remote(report.remote(mean.remote([1], 0))))")
    assert text.count("In the task") == text.count("ZeroDivisionError:") == 1
    assert "Tasks that needed its result did not run: report\n" in text


def test_an_error_from_a_task_in_a_task_shows_each_ones_frames(k: Kernel) -> None:
    text = failing(k, "await outer.remote([1])")
    places = [
        "----> 1 await outer.remote([1])",
        "In the task outer(values=[1])",
        "---> 11     return ray.get(mean.remote(values, 0))",
        "In the task mean(values=[1], n=0)",
        "----> 4     return total / n",
        "ZeroDivisionError: division by zero",
    ]
    assert [text.find(place) >= 0 for place in places] == [True] * 6
    assert sorted(places, key=text.find) == places


def test_what_an_error_came_of_is_shown_before_it(k: Kernel) -> None:
    text = failing(k, "ray.get(wrap.remote())")
    first, _, second = text.partition("The above exception was the direct cause")
    assert "ZeroDivisionError: division by zero" in first
    assert "----> 4     return total / n" in first
    assert "ValueError: no mean" in second
    assert '---> 17         raise ValueError("no mean") from error' in second


def test_many_that_fail_alike_are_one_traceback_and_a_count(k: Kernel) -> None:
    text = failing(
        k,
        "refs = [mean.remote([1], 0) for _ in range(20)]\n"
        "ray.get([ray.put(1), *refs])",  # a moment is given to those that are about to fail
    )
    assert text.count("In the task") == 1
    assert "20 of the 21 tasks have failed so far: 20 of mean (ZeroDivisionError)" in text


SHAPES = """# %% shapes
import json, sys, time

def refuse(thing):
    raise TypeError("no")

def down(n):
    return 1 / n if n == 0 else down(n - 1)

def strange(how):
    if how == "library":
        json.dumps(object(), default=refuse)
    if how == "recursion":
        down(25)
    if how == "syntax":
        exec("a = = 1")
    if how == "group":
        raise ExceptionGroup("many", [ValueError("one"), KeyError("two")])
    while True:
        time.sleep(0.1)

strange = ray.remote(strange)
"""


def test_a_traceback_is_short_and_the_users_whatever_failed(k: Kernel) -> None:
    k.run(SHAPES)

    def shown(how: str) -> str:
        text = failing(k, f"ray.get(strange.options(timeout=0.3).remote({how!r}))")
        assert f"In the task strange(how={how!r})" in text
        assert len(text.splitlines()) < 40
        assert "raykernel/" not in text
        assert "IPython/" not in text
        return text

    text = shown("library")
    assert "json.dumps(object(), default=refuse)" in text
    assert "skipping hidden" in text  # what json did in between
    assert '----> 5     raise TypeError("no")' in text
    assert shown("recursion").count("in down()") < 5
    assert "SyntaxError: invalid syntax (<string>, line 1)\n    a = = 1\n        ^" in shown(
        "syntax"
    )
    if sys.version_info >= (3, 11):
        assert "  1. ValueError: one\n  2. KeyError: 'two'" in shown("group")
    text = shown("endless")
    assert "GetTimeoutError: The task strange ran longer than its time limit of 0.3 s" in text
    assert "time.sleep(0.1)" in text


def test_debug_opens_the_remote_frame(k: Kernel) -> None:
    failing(k, "x = [5, 6]\nray.get(outer.remote(x))")
    cell = k.converse(
        "%debug", "p total", "p values, n", "p len(values) + 1", "l", "w",
        "u", "p note", "u", "p x", "d", "d", "p total * 2", "q",
    )  # fmt: skip
    text = COLOURS.sub("", k.text(cell))
    for answer in ("11\n", "([5, 6], 0)\n", "3\n", "'outer'\n", "[5, 6]\n", "22\n"):
        assert answer in text
    assert "----> 4     return total / n" in text
    assert "return ray.get(mean.remote(values, 0))" in text


def test_debug_has_values_up_to_a_cap_and_says_what_it_has_not(k: Kernel) -> None:
    failing(k, "ref = ray.put(1)\nray.get(locals_of_all_kinds.remote([ref]))")
    cell = k.converse(
        "%debug", "p small", "p array.sum()", "p too_big", "p lock", "p refs", "p missing", "q"
    )
    text = COLOURS.sub("", k.text(cell))
    assert "{'a': [1, 2]}" in text
    assert "499999500000" in text
    assert "<ndarray 73400320 uint8>" in text
    assert "lock" in text
    assert "[ObjectRef(" in text
    assert "NameError" in text
    # and nothing of it keeps an object alive
    k.run(
        "import gc, time\nname = ref.hex()\ndel ref\ngc.collect()\n"
        "for _ in range(100):\n"
        "    if name not in [one.object_id for one in ray.util.state.list_objects(limit=9999)]:\n"
        "        break\n"
        "    time.sleep(0.05)\n"
        "else:\n    raise AssertionError('it is still there')"
    )


def test_ray_debug_finds_older_failures_by_name_and_id(k: Kernel) -> None:
    k.run(
        "c = Counter.remote()\nfor step in (1, 2):\n"
        "    ref = c.fail.remote(step)\n    ray.wait([ref])\nshow = ref.task_id().hex()\n"
        "ray.wait([mean.remote([7], 0)])"
    )
    by_name = k.converse("%ray debug Counter.fail", "p self.n, step", "q")
    assert "(44, 2)" in k.text(by_name)
    by_id = k.converse("get_ipython().run_line_magic('ray', f'debug {show}')", "p step", "q")
    assert "RuntimeError: at 44" in k.text(by_id)
    listed = k.text(k.run("%ray debug"))
    assert "Counter.fail: RuntimeError: at 42" in listed
    cell = k.send("%ray debug nobody")
    k.finish(cell)
    assert "no task 'nobody' is known" in k.text(cell, "stderr")


def test_variables_are_there_after_their_worker_was_killed(k: Kernel) -> None:
    text = failing(k, "ray.get(mean.remote([9], 0))")
    found = re.search(r"pid (\d+):", text)
    assert found is not None
    os.kill(int(found[1]), signal.SIGKILL)
    assert "[9]\n" in k.text(k.converse("%debug", "p values", "q"))


def test_keeping_can_be_turned_off_and_the_debugger_says_so() -> None:
    with kernel() as k:
        k.run("%load_ext raykernel\n%ray start -n 1 --no-keep-locals\nimport raykernel as ray")
        k.run("%%remote\ndef f(x):\n    return 1 / x")
        failing(k, "ray.get(f.remote(0))")
        cell = k.converse("%debug", "p x", "q")
        assert "The variables of f are not there: they were not kept" in k.text(cell)
        k.run("ray.shutdown()")
