"""What a notebook's output history keeps alive (nothing), what `%ray memory` tells, and how refs,
functions, actors and sessions show themselves. In one real kernel."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def shared() -> Iterator[Kernel]:
    with kernel() as made:
        made.run("%load_ext raykernel")
        made.run(
            "import asyncio, time, numpy as np\nimport raykernel as ray\n"
            "from raykernel.runtime import context\nsession = ray.init(num_cpus=2)"
        )
        made.run(
            "@ray.remote\ndef big(n):\n    'An array of n MiB.'\n    return np.ones(n * 2**17)\n"
            "@ray.remote\ndef fail():\n    raise ValueError('<b>no</b>')\n"
            "@ray.remote\nclass Counter:\n    def add(self, n: int) -> int:\n        return n"
        )
        yield made
        made.run("ray.shutdown()")


@pytest.fixture
def k(shared: Kernel) -> Kernel:
    shared.messages.clear()
    return shared


def used(k: Kernel) -> int:
    return int(k.text(k.run("print(context.engine.query('store')['used'])")))


def comes_back(k: Kernel, baseline: int) -> bool:
    """The bytes are given back by messages that need no cell: some moments may pass."""
    code = (
        "for moment in range(300):\n"
        f"    if context.engine.query('store')['used'] <= {baseline}: break\n"
        "    await asyncio.sleep(0.02)\n"
        "print(context.engine.query('store')['used'])"
    )
    return int(k.text(k.run(code))) <= baseline


@pytest.mark.parametrize(
    ("make", "show", "drop"),
    [
        ("x = big.remote(8); ray.wait([x])", "x", "del x"),
        ("x = [ray.put(np.ones(2**20)), 3]", "x", "del x"),
        ("x = {'a': (ray.put(np.ones(2**20)),)}", "x", "del x"),
        ("x = ray.get(ray.put(np.ones(2**20)))", "x", "del x"),
        ("x = ray.get(ray.put(np.ones(2**20)))", "x[5:].reshape(-1, 1)", "del x"),
        ("x = {'a': ray.get(ray.put(np.ones(2**20)))}", "x", "del x"),
        (
            "import pyarrow as pa; x = ray.get(ray.put(pa.table({'a': np.ones(2**20)})))",
            "x",
            "del x",
        ),
        (
            "import pandas as pd; x = ray.get(ray.put(pd.DataFrame({'a': np.ones(2**20)})))",
            "x",
            "del x",
        ),
        ("r = ray.put(np.ones(2**20))", "ray.get(r)", "del r"),
        ("r = ray.put({'a': np.ones(2**20)})", "ray.get(r)", "del r"),
    ],
)
def test_what_was_displayed_is_freed_with_its_last_name(
    k: Kernel, make: str, show: str, drop: str
) -> None:
    baseline = used(k)
    k.run(make)
    assert used(k) > baseline
    shown = k.run(show)
    assert k.of(shown, "execute_result")
    k.run(drop)
    assert comes_back(k, baseline)


def test_the_traceback_of_a_failed_get_keeps_no_object_alive(k: Kernel) -> None:
    baseline = used(k)
    k.run("x = [ray.put(np.ones(2**20)), fail.remote()]")
    assert k.finish(k.send("ray.get(x)")) is not None
    k.run("del x")
    assert comes_back(k, baseline)


def test_what_is_displayed_works_while_somebody_holds_it_and_says_when_it_is_freed(
    k: Kernel,
) -> None:
    baseline = used(k)
    k.run("x = ray.put(np.arange(2**18))")
    k.run("x")
    same = "isinstance(_, ray.ObjectRef) and _ == x and int(ray.get(_)[3]), ray.get([_])[0].size"
    assert k.value(k.run(same)) == "(3, 262144)"
    k.run("x")
    assert k.value(k.run("ray.wait([_])[0] == [x], await _ is not None")) == "(True, True)"
    k.run("x")
    assert k.value(k.run("ray.get(ray.remote(lambda a: a.size).remote(_))")) == "262144"
    shown = k.run("ray.get(x)")
    number = k.of(shown, "execute_result")[0]["content"]["execution_count"]
    assert "array([" in k.value(shown)
    k.run("y = x")
    array = f"int(Out[{number}][3] + (Out[{number}] + 1)[3]), isinstance(_{number}, np.ndarray)"
    assert k.value(k.run(array)) == "(7, True)"
    k.run("x")
    k.run("del x, y")
    assert comes_back(k, baseline)
    error = k.finish(k.send("ray.get(_)"))
    assert error is not None
    assert error["ename"] == "ObjectLostError"
    assert "was freed" in error["evalue"]
    assert "assign what you want to keep" in k.value(k.run(f"Out[{number}]"))
    error = k.finish(k.send(f"Out[{number}].mean()"))
    assert error is not None
    assert "the object was freed" in error["evalue"]


def test_other_results_stay_in_the_history_as_they_are(k: Kernel) -> None:
    k.run("mine = [1, {'a': np.ones(3)}]")
    k.run("mine")
    assert k.value(k.run("_ is mine")) == "True"


def test_an_actor_ends_with_its_last_name_though_it_was_displayed(k: Kernel) -> None:
    k.run("c = Counter.options(name='shown').remote()")
    assert "alive" in k.value(k.run("c"))
    assert k.value(k.run("ray.get(_.add.remote(2))")) == "2"
    k.run("c")
    k.run("del c")
    gone = (
        "for moment in range(300):\n"
        "    if not ray.util.list_named_actors(): break\n"
        "    await asyncio.sleep(0.02)\n"
        "print(ray.util.list_named_actors())"
    )
    assert k.text(k.run(gone)) == "[]\n"


def test_memory_tells_who_keeps_what_the_largest_first(k: Kernel) -> None:
    k.run("weights = big.remote(8); ray.wait([weights])")
    k.run("view = ray.get(ray.put(np.ones(2**19)))\nboth = {'a': [weights]}")
    k.run(
        "import pyarrow as pa\n"
        "table = ray.get(ray.put(pa.table({'a': np.ones(2**17), 'b': np.ones(2**17)})))"
    )
    k.run("view")
    k.run(
        "@ray.remote\nclass Keeper:\n    def keep(self, box):\n        self.box = box\n"
        "keeper = Keeper.remote()\nray.get(keeper.keep.remote([ray.put(np.ones(2**17))]))"
    )
    cell = k.run("%ray memory")
    (shown,) = k.of(cell, "display_data")
    text = shown["content"]["data"]["text/plain"]
    rows = [line for line in text.splitlines() if "MiB" in line]
    assert re.search(r"^4 objects; .* of the store used", rows[0])
    assert re.search(r"8\.0 MiB +memory .* big in In\[\d+\] +weights, both", rows[1])
    assert re.search(r"4\.0 MiB +memory +\(a view alone\) +view$", rows[2])
    assert re.search(r"2\.0 MiB +memory +\(a view alone\) +table$", rows[3])
    assert re.search(r"1\.0 MiB .*actor Keeper", rows[4])
    html = shown["content"]["data"]["text/html"]
    assert '<th scope="col"' in html
    assert "weights, both" in html
    k.run("del weights, both, view, table, keeper")
    few = k.of(k.run("%ray memory -n 1"), "display_data")[0]["content"]["data"]["text/plain"]
    assert len(few.splitlines()) <= 4


def html(k: Kernel, code: str) -> str:
    (message,) = k.of(k.run(code), "execute_result")
    return str(message["content"]["data"]["text/html"])


def test_refs_show_their_state_and_fetch_nothing(k: Kernel) -> None:
    k.run("done = big.remote(2); ray.wait([done], fetch_local=False)")
    shown = html(k, "done")
    assert "ready" in shown
    assert "2.0 MiB in shared memory" in shown
    assert "from big" in shown
    k.run("gate = asyncio.Event()\nslow = ray.remote(lambda: time.sleep(60)).remote()")
    assert "pending" in html(k, "slow")
    k.run("ray.cancel(slow)\nbroken = fail.remote(); ray.wait([broken])")
    shown = html(k, "broken")
    assert "failed" in shown
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in shown
    assert re.fullmatch(
        r"ObjectRef\([0-9a-f]{56}, ready, 2.0 MiB in shared memory, from big\)",
        k.value(k.run("done")),
    )
    assert re.fullmatch(r"\[ObjectRef\([0-9a-f]{56}\)\]", k.value(k.run("[done]")))
    assert "freed" in html(k, "ray.ObjectRef.from_random()")


def test_functions_actors_and_sessions_show_what_they_are(k: Kernel) -> None:
    shown = html(k, "big.options(num_cpus=2) and big")
    assert "big(n)" in shown
    assert "An array of n MiB." in shown
    assert "<code>add</code>" in html(k, "Counter")
    k.run("c = Counter.remote(); ray.get(c.add.remote(1))")
    assert "alive" in html(k, "c")
    k.run("ray.kill(c)")
    shown = html(k, "session")
    assert "CPUs" in shown
    assert context_name(k) in shown


def context_name(k: Kernel) -> str:
    return k.value(k.run("session['session_name']")).strip("'")


def test_a_cell_that_awaits_lets_other_tasks_of_the_kernel_go_on(k: Kernel) -> None:
    k.run(
        "ticks = 0\nasync def tick():\n    global ticks\n    while True:\n"
        "        ticks += 1\n        await asyncio.sleep(0.01)\n"
        "ticking = asyncio.create_task(tick())"
    )
    k.run(
        "nap = ray.remote(lambda s: time.sleep(s) or s)\nbefore = ticks\n"
        "values = await asyncio.gather(nap.remote(0.3), nap.remote(0.2))"
    )
    assert k.value(k.run("values, ticks - before > 5")) == "([0.3, 0.2], True)"
    k.run(
        "@ray.remote\ndef items():\n    for n in range(3):\n"
        "        time.sleep(0.05)\n        yield n"
    )
    k.run("before = ticks\nseen = [await ref async for ref in items.remote()]")
    assert k.value(k.run("seen, ticks > before")) == "([0, 1, 2], True)"
    k.run("refs = [nap.remote(0.2), nap.remote(0.0)]")
    k.run("seen = [v async for v in ray.as_completed(refs)]")
    assert k.value(k.run("seen")) == "[0.0, 0.2]"
    k.run("ticking.cancel()")
