"""What cells do with their names, in a real kernel: %%remote, %%task, capture, redefinition."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel with a session for this module, in a folder of its own."""
    folder = tmp_path_factory.mktemp("cells")
    with kernel() as made:
        made.run(f"import os, sys\nos.chdir({str(folder)!r})\nsys.path.insert(0, os.getcwd())")
        made.run("%load_ext raykernel")
        made.run(
            "import time\nimport numpy as np\nimport raykernel as ray\nfrom raykernel import api"
        )
        made.run("ray.init(num_cpus=2)")
        yield made
        made.run("ray.shutdown()")


@pytest.fixture
def k(shared: Kernel) -> Kernel:
    shared.messages.clear()
    return shared


def error_of(k: Kernel, code: str) -> str:
    """The traceback of a cell that fails."""
    error = k.finish(k.send(code))
    assert error is not None, f"the cell did not fail:\n{code}"
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))


def stderr_of(k: Kernel, code: str) -> str:
    return k.text(k.run(code), "stderr")


# -- %%remote --------------------------------------------------------------------------------------


def test_everything_a_remote_cell_may_define_runs(k: Kernel) -> None:
    k.run(
        """%%remote
import asyncio, dataclasses, functools
@dataclasses.dataclass
class Row:
    x: int
def doubled(f):
    @functools.wraps(f)
    def inner(*args): return 2 * f(*args)
    return inner
@doubled
def decorated(row): return row.x
async def later(x):
    await asyncio.sleep(0)
    return x
async def counting(n):
    for i in range(n):
        await asyncio.sleep(0)
        yield i
@functools.lru_cache
def cached(x): return x
def squares(n):
    for i in range(n): yield i * i
class Service:
    class Nested:
        value = 4
    def __init__(self): self._rows = [Row(5)]
    @staticmethod
    def static(): return 1
    @doubled
    def wrapped(self): return 1
    @functools.cached_property
    def once(self): return 7
    @functools.lru_cache(maxsize=2)
    def kept(self, x): return self.once + x
    @ray.method(num_returns=2)
    def pair(self): return self.Nested.value, self._rows[0]
    async def waits(self): return await asyncio.sleep(0, 3)
"""
    )
    k.run("service = Service.remote()\nfour, row = service.pair.remote()")
    cell = k.run(
        """ray.get([decorated.remote(Row(3)), later.remote(1), service.static.remote(),
    service.wrapped.remote(), four, service.waits.remote(), cached.remote(8),
    service.kept.remote(1)]), ray.get(row) == Row(5), \
[ray.get(r) for r in counting.remote(3)], [ray.get(r) for r in squares.remote(3)]"""
    )
    assert k.value(cell) == "([6, 1, 1, 2, 4, 3, 8, 8], True, [0, 1, 2], [0, 1, 4])"


def test_a_time_limit_ends_a_task_and_names_it(k: Kernel) -> None:
    k.run(
        "%%remote --timeout 0.3\nimport asyncio\nasync def endless():\n    await asyncio.sleep(60)"
    )
    cell = k.run(
        """try:
    ray.get(endless.remote(), timeout=30)
except ray.exceptions.GetTimeoutError as error:
    print(error)"""
    )
    assert "the task endless ran longer than its time limit of 0.3 s" in k.text(cell)


def test_a_time_limit_ends_a_call_and_the_actor_lives(k: Kernel) -> None:
    k.run(
        """%%remote --timeout 0.3
import asyncio, time
class Plain:
    def endless(self):
        while True: time.sleep(0.01)
    def fine(self): return 1
class Async:
    async def endless(self): await asyncio.sleep(60)
    async def fine(self): return 2
"""
    )
    cell = k.run(
        """for actor in (Plain.remote(), Async.remote(), Plain.options(max_concurrency=2).remote()):
    try:
        ray.get(actor.endless.remote(), timeout=30)
    except ray.exceptions.GetTimeoutError as error:
        print(str(error).splitlines()[-1])
    print(ray.get(actor.fine.remote(), timeout=30))
    del actor"""
    )
    said = k.text(cell).splitlines()
    late = "endless ran longer than its time limit of 0.3 s and was cancelled"
    assert all(late in line for line in said[::2])
    assert said[1::2] == ["1", "2", "1"]


# -- %%task ----------------------------------------------------------------------------------------

#: Leaves a mark and waits for the other's: both must run at the same time.
MEET = """%%task --timeout 50
import os, time
open("{own}", "w").close()
while not os.path.exists("{other}"):
    time.sleep(0.01)
{name} = {value}
print("{name} is there")
"""


def test_cells_form_a_graph_and_run_at_the_same_time(k: Kernel) -> None:
    k.run("base = 1")
    left = k.run(MEET.format(own="left", other="right", name="a", value="base + 1"))
    k.run(MEET.format(own="right", other="left", name="b", value="base + 2"))
    total = k.run("%%task\ntotal = a + b\ndef scaled(x): return x * total\ntotal * 100\n")
    k.run("import asyncio")
    k.run("%%task\nlate = await asyncio.sleep(0, total + 1)\n")
    cell = k.run("print(type(a).__name__); ray.get([total, late]), ray.get(scaled)(2)")
    assert k.text(cell) == "ObjectRef\n"
    assert k.value(cell) == "([5, 6], 10)"
    k.until(lambda: "a is there" in k.text(left))
    k.until(lambda: any(d.get("text/plain") == "500" for d in k.displays(total)))


def test_a_failing_cell_raises_where_its_output_is_used(k: Kernel) -> None:
    failing = k.run("%%task\nrows = [1]\n\nbroken = rows[5]\n")
    k.run("%%task\nafter = broken + 1\n")
    assert "broken = rows[5]" in error_of(k, "ray.get(broken)")
    assert "IndexError" in error_of(k, "ray.get(after)")
    said = k.until(lambda: k.text(failing, "stderr"))
    assert "failed with IndexError: list index out of range. It is raised where rows or" in said


def test_each_output_may_fail_alone(k: Kernel) -> None:
    k.run("%%task\nimport threading\nlock = threading.Lock()\nif not lock: never = 1\nfine = 1\n")
    assert k.value(k.run("ray.get(fine)")) == "1"
    assert "lock can't leave its task" in error_of(k, "ray.get(lock)")
    assert "name 'never' was not set" in error_of(k, "ray.get(never)")


def test_classes_of_a_task_cell_are_the_same_here_and_there(k: Kernel) -> None:
    k.run("%%task\nclass Point:\n    def __init__(self, x): self.x = x\np = Point(3)\n")
    k.run("%%task\nsame = isinstance(p, Point)\n")
    assert k.value(k.run("isinstance(ray.get(p), Point), ray.get(same)")) == "(True, True)"


def test_what_a_task_cell_takes_along_is_stored_once_and_named(k: Kernel) -> None:
    k.run("table = np.ones(400_000)")
    before = int(k.value(k.run("api.engine().query('store')['used']")))
    first = stderr_of(k, "%%task\none = table.sum()\n")
    assert "This %%task cell captures table (3.1 MiB, numpy.ndarray)" in first
    assert stderr_of(k, "%%task -i table\ntwo = table.max()\n") == ""
    assert k.value(k.run("ray.get([one, two])")) == "[np.float64(400000.0), np.float64(1.0)]"
    cell = k.run("api.engine().query('store')['used']")
    assert int(k.value(cell)) - before < 4_000_000
    k.run("del table")
    cell = k.run("import gc; gc.collect(); api.engine().query('store')['used']")
    assert int(k.value(cell)) <= before


# -- what functions drag along ---------------------------------------------------------------------


def test_a_large_capture_is_named_once_and_stored_once(k: Kernel) -> None:
    k.run(
        """weights = np.ones(400_000)
@ray.remote
def total(): return weights.sum()
@ray.remote
def largest(): return weights.max()
@ray.remote
class Model:
    def mean(self): return weights.mean()"""
    )
    said = stderr_of(k, "ray.get([total.remote() for _ in range(3)])")
    assert said.count("__main__.total captures weights (3.1 MiB, numpy.ndarray)") == 1
    assert stderr_of(k, "total.remote()") == ""
    before = int(k.value(k.run("api.engine().query('store')['used']")))
    cell = k.run(
        "m = Model.remote(); [float(x) for x in ray.get([largest.remote(), m.mean.remote()])]"
    )
    assert k.value(cell) == "[1.0, 1.0]"
    assert "The actor Model captures weights" in k.text(cell, "stderr")
    assert int(k.value(k.run("api.engine().query('store')['used']"))) == before


def test_too_large_a_capture_is_an_error_that_names_the_culprit(k: Kernel) -> None:
    k.run("%config RayKernelConfig.capture_limit = 2")
    k.run("huge = np.ones(400_000)\n@ray.remote\ndef f(): return huge.sum()")
    said = error_of(k, "f.remote()")
    assert "ValueError" in said
    assert "huge (3.1 MiB, numpy.ndarray)" in said
    said = error_of(k, "%%task\nx = huge.sum()\n")
    assert "huge (3.1 MiB, numpy.ndarray)" in said
    k.run("%%task -i huge\nx = huge.sum()\n")
    k.run("%config RayKernelConfig.capture_limit = 100")
    assert k.value(k.run("float(ray.get(f.remote()) + ray.get(x))")) == "800000.0"


# -- redefinition ----------------------------------------------------------------------------------


def test_what_a_function_uses_by_name_is_what_the_notebook_has(k: Kernel) -> None:
    k.run(
        """def helper(x): return x + 1
@ray.remote
def inner(x): return helper(x)
@ray.remote
def outer(x): return ray.get(inner.remote(x))
class Point:
    def __init__(self, x): self.x = x
    def moved(self): return helper(self.x)
@ray.remote
def made(x): return Point(x)
@ray.remote
def seen(p): return isinstance(p, Point), p.moved()"""
    )
    run = "p = ray.get(made.remote(1)); ray.get([inner.remote(1), outer.remote(1), seen.remote(p)])"
    assert k.value(k.run(run)) == "[2, 2, (True, 2)]"
    cell = k.run(  # also within a cell
        "scale = 2\n@ray.remote\ndef scaled(x): return x * scale\nfirst = scaled.remote(1)\n"
        "scale = 3\n[ray.get(first), *ray.get([scaled.remote(1) for _ in range(3)])]"
    )
    assert k.value(cell) == "[2, 3, 3, 3]"
    k.run("old = p\ndef helper(x): return x + 100")
    assert k.value(k.run(run)) == "[101, 101, (True, 101)]"
    assert k.value(k.run("isinstance(p, Point), p.moved(), old.moved()")) == "(True, 101, 101)"
    k.run("@ray.remote\ndef inner(x): return -x")
    assert k.value(k.run("ray.get(outer.remote(1))")) == "-1"
    k.run("class Point:\n    def moved(self): return 0")
    cell = k.run("isinstance(old, Point), ray.get(seen.remote(old)), ray.get(seen.remote(Point()))")
    assert k.value(cell) == "(False, (False, 101), (True, 0))"


def test_an_actor_of_an_older_class_is_told_of_once(k: Kernel) -> None:
    text = "@ray.remote\nclass Counter:\n    def up(self): return {}"
    k.run(text.format(1) + "\ncounter = Counter.remote()")
    k.run(text.format(1))  # the same text again
    assert stderr_of(k, "ray.get(counter.up.remote())") == ""
    k.run(text.format(2))
    cell = k.run("ray.get(counter.up.remote())")
    assert k.value(cell) == "1"
    said = k.text(cell, "stderr")
    assert "was made from an earlier definition of Counter" in said
    assert "counter = Counter.remote(...)" in said
    assert stderr_of(k, "ray.get(counter.up.remote())") == ""
    cell = k.run("counter = Counter.remote(); ray.get(counter.up.remote())")
    assert (k.value(cell), k.text(cell, "stderr")) == ("2", "")


def test_an_edited_module_reaches_the_tasks(k: Kernel) -> None:
    k.run("from pathlib import Path\nPath('edited.py').write_text('def f(): return 1')")
    k.run(
        """import edited
from edited import f
@ray.remote
def by_module(): return edited.f()
@ray.remote
def by_name(): return f()
@ray.remote
class Keeps:
    def ask(self): return edited.f()
keeps = Keeps.remote()"""
    )
    ask = "[f(), *ray.get([by_module.remote(), by_name.remote(), keeps.ask.remote()])]"
    assert k.value(k.run(ask)) == "[1, 1, 1, 1]"
    cell = k.run("Path('edited.py').write_text('def f(): return 2')\n%ray reload edited")
    k.until(lambda: "Reloaded edited" in k.text(cell))
    assert "actor" in k.text(cell)
    assert k.value(k.run(ask)) == "[2, 2, 2, 1]"
    k.run("keeps = Keeps.remote()")
    assert k.value(k.run(ask)) == "[2, 2, 2, 2]"
    k.run("Path('edited.py').write_text('def f(: return 2')")
    assert "SyntaxError" in error_of(k, "%ray reload edited")
