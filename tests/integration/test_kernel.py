"""The extension in a real kernel: output, progress, Stop and %%remote, as a front end sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.kernels import Kernel, kernel

WIDGET = "application/vnd.jupyter.widget-view+json"


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    """One kernel with a session for this module: a session is dear, cells are cheap."""
    with kernel() as made:
        made.run("%load_ext raykernel")
        made.run("import time, asyncio, threading\nimport raykernel as ray\nray.init(num_cpus=2)")
        made.run("@ray.remote\ndef say(text, after=0.0):\n    time.sleep(after)\n    print(text)")
        made.run("@ray.remote(num_cpus=0)\ndef sleep(seconds):\n    time.sleep(seconds)")
        yield made
        made.run("ray.shutdown()")


@pytest.fixture
def k(shared: Kernel) -> Kernel:
    shared.messages.clear()
    return shared


def progress_displays(k: Kernel, cell: str) -> list[str]:
    return [
        data["text/plain"]
        for data in k.displays(cell)
        if "raykernel-progress-still" in data.get("text/html", "")
    ]


def said(k: Kernel, code: str) -> str:
    """What a cell printed and displayed, as text."""
    cell = k.run(code)
    return k.text(cell) + "".join(str(shown["text/plain"]) for shown in k.displays(cell))


def test_a_sessions_life_in_magics() -> None:
    with kernel() as k:
        k.run("%load_ext raykernel\n%load_ext raykernel")
        assert "No session is running" in said(k, "%ray status")
        started = k.text(k.run("%ray start -n 1"))
        assert ": 1 CPU" in started
        assert "Started in" in started
        assert "running already" in k.text(k.run("%ray start -n 2"))
        assert "CPU: 0 of 1 in use" in said(k, "%ray status")
        assert "ended" in k.text(k.run("%ray stop"))
        assert "No session is running" in k.text(k.run("%ray stop"))
        k.run("import raykernel as ray\n@ray.remote\ndef f():\n    print('by itself')")
        cell = k.run("ray.get(f.remote())")
        assert "(f pid=" in k.text(cell)
        assert "by itself" in k.text(cell)
        k.run("%unload_ext raykernel")
        assert k.finish(k.send("%ray status")) is None
        assert "not found" in "".join(
            k.text(m["parent_header"]["msg_id"], "stderr") for m in k.messages[-3:]
        )
        k.run("ray.shutdown()")


def test_output_lands_in_the_cell_that_caused_it_however_many_ran_since(k: Kernel) -> None:
    first = k.run("ref = say.remote('from the first', 0.7)")
    second = k.run("other = say.remote('from the second', 0.2)")
    third = k.run("ray.get([ref, other])")
    k.until(lambda: "first" in k.text(first) and "second" in k.text(second))
    assert k.text(first).endswith(") from the first\n")
    assert k.text(first).startswith("(say pid=")
    assert k.text(second).endswith(") from the second\n")
    assert k.text(third) == ""


def test_output_is_there_before_the_cell_is_done(k: Kernel) -> None:
    cell = k.run("ray.get([say.remote(str(i)) for i in range(5)])")
    assert sorted(line.split(") ")[1] for line in k.text(cell).splitlines()) == list("01234")


def test_nested_async_and_threaded_work_belongs_to_its_cell(k: Kernel) -> None:
    k.run(
        "@ray.remote\ndef outer(text):\n"
        "    ray.get(say.remote('nested ' + text))\n"
        "async def later(text, gate):\n"
        "    await gate.wait()\n"
        "    await say.remote(text)"
    )
    first = k.run(
        "gate = asyncio.Event()\ntask = asyncio.create_task(later('late', gate))\n"
        "await asyncio.sleep(0)"
    )
    second = k.run("ray.get(outer.remote('x'))\ngate.set()\nawait task")
    third = k.run(
        "thread = threading.Thread(target=lambda: ray.get(say.remote('threaded')))\n"
        "thread.start()\nthread.join()"
    )
    k.until(lambda: "late" in k.text(first))
    assert k.text(second).endswith(") nested x\n")
    assert "late" not in k.text(second)
    assert "threaded" in k.text(third)


def test_short_work_leaves_no_progress(k: Kernel) -> None:
    cell = k.run("ray.get([sleep.remote(0.05) for _ in range(4)])")
    assert k.displays(cell) == []


def test_progress_appears_while_a_cell_runs_and_settles_with_it(k: Kernel) -> None:
    cell = k.send("ray.get([sleep.remote(1.5) for _ in range(3)])")
    k.until(lambda: k.of(cell, "display_data"))
    (shown,) = k.displays(cell)
    assert shown[WIDGET]["model_id"]
    assert "0 of 3 tasks done" in shown["text/plain"]
    assert not any(m["content"]["execution_state"] == "idle" for m in k.of(cell, "status"))
    assert k.finish(cell) is None
    # All of it before the cell is reported idle: a headless front end listens no longer.
    (settled,) = k.displays(cell)
    assert set(settled) == {"text/plain", "text/html"}
    assert settled["text/plain"].startswith("3 tasks ended in 1.")
    assert settled["text/plain"].endswith("sleep 3 done")


def test_progress_of_cells_that_overlap_is_kept_apart(k: Kernel) -> None:
    first = k.run("slow = [sleep.remote(1.6) for _ in range(2)]")
    second = k.run("ray.get([sleep.remote(1.0) for _ in range(5)])")
    k.run("ray.get(slow)")
    k.until(lambda: "2 tasks ended" in "".join(progress_displays(k, first)))
    (text,) = progress_displays(k, second)
    assert text.startswith("5 tasks ended")
    for cell in (first, second):
        assert len(k.of(cell, "display_data")) == 1


def test_failures_are_counted(k: Kernel) -> None:
    cell = k.send("@ray.remote\ndef fail():\n    time.sleep(0.8); 1 / 0\nray.get(fail.remote())")
    error = k.finish(cell)
    assert error is not None
    assert "ZeroDivisionError" in error["ename"]
    assert progress_displays(k, cell)[0].endswith("fail 1 failed")


def test_interrupting_a_cell_cancels_its_work_and_leaves_the_session_well(k: Kernel) -> None:
    k.run(
        "import os, tempfile\nmark = tempfile.mktemp()\n"
        "@ray.remote\ndef long(mark):\n"
        "    open(mark, 'w').close()\n    time.sleep(60)"
    )
    cell = k.send("ray.get([long.remote(mark), long.remote(mark)])")
    k.until(lambda: k.displays(cell))
    k.manager.interrupt_kernel()
    k.until(lambda: any(m["content"]["execution_state"] == "idle" for m in k.of(cell, "status")), 2)
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    # What stands there at first, as no front end drew the widget, is how far it was at that moment.
    k.until(lambda: progress_displays(k, cell)[0].endswith("long 2 cancelled"), 5)
    again = k.run(
        "@ray.remote\ndef one():\n    return 1\nray.get([one.remote() for _ in range(9)])"
    )
    assert k.value(again) == str([1] * 9)


def test_interrupting_an_async_cell_cancels_its_work(k: Kernel) -> None:
    cell = k.send("ref = sleep.remote(60)\nawait asyncio.gather(ref, asyncio.sleep(60))")
    k.until(lambda: k.displays(cell))
    k.manager.interrupt_kernel()
    k.until(lambda: any(m["content"]["execution_state"] == "idle" for m in k.of(cell, "status")), 2)
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert "File" not in "".join(error["traceback"])  # the cell's line is all there is to see
    k.until(lambda: "cancelled" in "".join(progress_displays(k, cell)), 5)
    again = k.run(
        "try:\n    ray.get(ref)\nexcept ray.exceptions.TaskCancelledError:\n    print('yes')"
    )
    assert k.text(again) == "yes\n"


@pytest.mark.parametrize("wait", ["await ref", "ray.get(ref)"])
def test_a_cell_may_catch_its_interruption_and_its_work_is_cancelled(k: Kernel, wait: str) -> None:
    cell = k.send(
        f"ref = sleep.remote(60)\ntry:\n    {wait}\nexcept KeyboardInterrupt:\n    print('caught')"
    )
    k.until(lambda: k.displays(cell))  # which are there once it has waited for a while
    k.manager.interrupt_kernel()
    assert k.finish(cell) is None
    assert k.text(cell) == "caught\n"
    error = k.finish(k.send("ray.get(ref, timeout=20)"))
    assert error is not None
    assert "TaskCancelledError" in error["ename"]


def test_a_cancelled_asyncio_task_is_no_interruption(k: Kernel) -> None:
    cell = k.send(
        "ref = sleep.remote(0.5)\nother = asyncio.ensure_future(asyncio.sleep(60))\n"
        "other.cancel()\nawait other"
    )
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "CancelledError"
    k.run("ray.get(ref)")


@pytest.mark.parametrize(
    "code",
    [
        "sleep()",
        "sleep.remote()",
        "sleep.options(nope=1)",
        "ray.get(3)",
        "ray.get_actor('nobody')",
        "ray.put(sleep.remote(0))",
        "sleep.remote(threading.Lock())",
    ],
)
def test_a_mistakes_traceback_ends_with_the_users_line(k: Kernel, code: str) -> None:
    error = k.finish(k.send(code))
    assert error is not None
    text = "".join(error["traceback"])
    assert "raykernel/" not in text
    assert text.count("Traceback (most recent call last)") == 1


def test_interrupting_one_cell_leaves_anothers_work_alone(k: Kernel) -> None:
    k.run("mine = sleep.remote(2)")
    cell = k.send("ray.get(sleep.remote(60))")
    k.until(lambda: k.displays(cell))
    k.manager.interrupt_kernel()
    k.finish(cell)
    k.run("ray.get(mine)")


def test_interrupting_a_cell_that_waits_for_an_earlier_ones_work_cancels_that(k: Kernel) -> None:
    k.run("refs = [sleep.remote(60), sleep.remote(60)]\nother = sleep.remote(1)")
    cell = k.send(
        "print('go')\nray.get(refs)"
    )  # it is heard of when the cell has long been waiting
    k.until(lambda: k.text(cell))
    k.manager.interrupt_kernel()
    error = k.finish(cell)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert "raykernel" not in "".join(error["traceback"])
    again = k.run(
        "for ref in refs:\n    try:\n        ray.get(ref, timeout=20)\n"
        "    except ray.exceptions.TaskCancelledError:\n        print('cancelled')\n"
        "ray.get(other, timeout=20)"
    )
    assert k.text(again) == "cancelled\n" * 2


def test_what_is_in_the_background_goes_on_until_it_is_cancelled(k: Kernel) -> None:
    k.run("import os, tempfile\ngate = tempfile.mktemp()")
    k.run(
        "@ray.remote(num_cpus=0)\ndef opened(gate):\n"
        "    while not os.path.exists(gate):\n        time.sleep(0.01)\n    return 'opened'"
    )
    k.run("ref = opened.remote(gate)\nendless = sleep.remote(60)")
    said = k.text(k.run("%ray background"))
    assert said.startswith("2 unfinished tasks of In[")
    number = said.split("In[")[1].split("]")[0]
    cell = k.send("print('go')\nray.get(ref)")
    k.until(lambda: k.text(cell))
    k.manager.interrupt_kernel()
    assert k.finish(cell) is not None
    k.run("open(gate, 'w').close()")
    assert k.value(k.run("ray.get(ref)")) == "'opened'"
    assert k.text(k.run(f"%ray cancel --cell {number}")).startswith("Cancelled 1 unfinished task")
    error = k.finish(k.send("ray.get(endless, timeout=20)"))
    assert error is not None
    assert "TaskCancelledError" in error["ename"]
    assert k.text(k.run("%ray cancel")) == "No cell has unfinished work.\n"


def test_the_stop_button_cancels_its_cells_work(k: Kernel) -> None:
    cell = k.run("refs = [sleep.remote(60) for _ in range(3)]")
    k.until(lambda: k.displays(cell) and WIDGET in k.displays(cell)[0])
    k.press(k.displays(cell)[0][WIDGET]["model_id"], {"type": "stop"})
    k.until(lambda: WIDGET not in k.displays(cell)[0], 5)
    assert progress_displays(k, cell)[0].endswith("sleep 3 cancelled")


def test_buttons_and_a_page_that_comes_are_answered_while_a_cell_waits(k: Kernel) -> None:
    cell = k.send("ray.get([sleep.remote(60) for _ in range(3)])")
    k.until(lambda: k.displays(cell) and WIDGET in k.displays(cell)[0])
    model = k.displays(cell)[0][WIDGET]["model_id"]

    # As a page does that is loaded now: who is there, and which widgets?
    asked = str(k.client.kernel_info())
    k.client.get_shell_msg(timeout=20)
    k.until(lambda: len(k.of(asked, "status")) == 2)
    assert k.of(cell, "status")[-1]["content"]["execution_state"] == "busy"
    session = k.client.session
    target = {"comm_id": "page", "target_name": "jupyter.widget.control", "data": {}}
    opening = session.msg("comm_open", target, metadata={"version": "1.0.0"})
    k.client.shell_channel.send(opening)
    data = {"method": "request_states"}
    k.client.shell_channel.send(session.msg("comm_msg", {"comm_id": "page", "data": data}))

    def told() -> dict[str, Any]:
        for m in k.messages:
            if m["msg_type"] == "comm_msg" and m["content"]["comm_id"] == "page":
                return dict(m["content"]["data"]["states"])
        return {}

    assert k.until(told)[model]["state"]["snapshot"]["total"] == 3
    k.press(model, {"type": "stop"})
    error = k.finish(cell)
    assert error is not None
    assert "TaskCancelledError" in error["ename"]
    assert k.value(k.run("1 + 1")) == "2"  # and the kernel takes cells as before


def test_the_sessions_end_settles_what_is_shown() -> None:
    with kernel() as k:
        k.run("%load_ext raykernel\n%ray start -n 1\nimport raykernel as ray")
        k.run("@ray.remote\ndef sleep(seconds):\n    import time; time.sleep(seconds)")
        cell = k.run("refs = [sleep.remote(60) for _ in range(3)]")
        k.until(lambda: k.displays(cell))
        k.run("%ray stop")
        assert "0 of 3 tasks done when the session ended" in progress_displays(k, cell)[0]


def test_progress_can_be_turned_off() -> None:
    with kernel() as k:
        k.run("%load_ext raykernel\n%config RayKernelConfig.progress = False\n%ray start -n 1")
        k.run("import raykernel as ray\n@ray.remote\ndef f():\n    import time; time.sleep(1)")
        assert k.displays(k.run("ray.get(f.remote())")) == []
        k.run("ray.shutdown()")


def test_a_remote_cell_end_to_end(k: Kernel) -> None:
    k.run(
        """%%remote -n 0.5
import dataclasses
LIMIT = 10

@dataclasses.dataclass
class Point:
    x: int

class Trouble(ValueError):
    pass

def square(x):
    return x * x

def check(x):
    if x > LIMIT:
        raise Trouble(x)
    return Point(x)

def careless(x):
    return square(x)

class Counter:
    def __init__(self):
        self.total = 0
    def add(self, n):
        self.total += n
        return self.total

@ray.remote(num_cpus=1)
def decorated():
    return "decorated"
"""
    )
    assert k.value(k.run("ray.get([square.remote(i) for i in range(4)])")) == "[0, 1, 4, 9]"
    assert k.value(k.run("ray.get(decorated.remote())")) == "'decorated'"
    assert k.value(k.run("ray.get(check.remote(3)) == Point(3)")) == "True"
    counting = k.run("c = Counter.remote()\nray.get([c.add.remote(i) for i in (1, 2, 3)])")
    assert k.value(counting) == "[1, 3, 6]"
    caught = k.run("try:\n    ray.get(check.remote(99))\nexcept Trouble as e:\n    print(e.cause)")
    assert k.text(caught) == "99\n"
    error = k.finish(k.send("ray.get(careless.remote(2))"))
    assert error is not None
    assert "square.remote()" in error["evalue"]
    error = k.finish(k.send("square(2)"))
    assert error is not None
    assert "square.remote()" in error["evalue"]


def test_a_remote_cell_awaits_and_has_a_value(k: Kernel) -> None:
    cell = k.run("%%remote\ndef twice(x):\n    return 2 * x\nawait twice.remote(21)")
    assert k.value(cell) == "42"


def test_magics_complete_in_a_front_end(k: Kernel) -> None:
    reply = k.client.complete("%ray st", reply=True, timeout=30)
    assert {"start", "stop", "status"} <= set(reply["content"]["matches"])


def test_the_graph_of_one_cell(k: Kernel) -> None:
    number = k.run("ray.get([sleep.remote(0) for _ in range(3)])")
    (message,) = k.of(number, "execute_result")
    count = message["content"]["execution_count"]
    cell = k.run(f"%ray graph --cell {count}")
    text = json.dumps(k.displays(cell))
    assert "sleep" in text
    assert "image/svg+xml" in text
    # What goes on in a cell that captures its output is the view's all the same.
    view = k.run("%ray graph")
    k.run("%%capture said\nray.get([ray.remote(lambda: 1).options(name='captured').remote()])")
    assert k.until(lambda: "captured" in json.dumps(k.displays(view)))
