"""Where raykernel promises more than Ray does: on raykernel only."""

from __future__ import annotations

import gc
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import raykernel as ray
from tests.contract.signals import make_counter, make_gate, wait_until

pytestmark = pytest.mark.parametrize("engine_name", ["raykernel"], scope="module", indirect=False)


@pytest.fixture(scope="module", autouse=True)
def _session(_module_leaves_nothing: list[str]) -> Iterator[None]:
    ray.init(num_cpus=2)
    yield
    ray.shutdown()


def test_the_same_ref_twice_arrives_as_the_same_object() -> None:
    @ray.remote
    def same(a: Any, b: Any) -> bool:
        return a is b

    ref = ray.put([1, 2])
    assert ray.get(same.remote(ref, ref))


def test_a_function_written_in_c_can_be_a_task() -> None:
    assert ray.get(ray.remote(len).remote([1, 2, 3])) == 3


def test_ready_are_the_first_in_the_inputs_order() -> None:
    refs = [ray.put(i) for i in range(5)]
    assert ray.wait(refs, num_returns=2) == (refs[:2], refs[2:])


def test_a_failure_can_be_pickled_plainly() -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError) as caught:
        ray.get(fail.remote())
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, KeyError)
    assert isinstance(again, ray.exceptions.RayTaskError)


def test_a_ref_pickled_by_hand_keeps_its_object() -> None:
    @ray.remote
    def nothing() -> None:
        pass

    pickled = pickle.dumps(ray.put("hello"))
    gc.collect()
    ray.get(nothing.remote())  # by now it is known that nobody has the first ref any more
    assert ray.get(pickle.loads(pickled)) == "hello"


def test_a_remote_function_keeps_its_docstring() -> None:
    @ray.remote
    def documented() -> None:
        """What it does."""

    assert documented.__doc__ == "What it does."


def test_dropping_a_generator_stops_its_producer() -> None:
    counter = make_counter(ray)

    @ray.remote(num_cpus=0, _generator_backpressure_num_objects=1)
    def endless() -> Any:
        try:
            while True:
                yield 1
        finally:
            ray.get(counter.add.remote())

    generator = endless.remote()
    next(generator)
    del generator
    gc.collect()
    wait_until(lambda: ray.get(counter.value.remote()) == 1)


def test_a_generator_may_delegate_to_any_iterable() -> None:
    @ray.remote
    def count() -> Any:
        yield from range(3)

    assert [ray.get(ref) for ref in count.remote()] == [0, 1, 2]


def test_an_unknown_concurrency_group_is_a_value_error() -> None:
    @ray.remote(concurrency_groups={"io": 1})
    class Grouped:
        def ping(self) -> None:
            pass

    actor = Grouped.remote()
    with pytest.raises(ValueError, match="no concurrency group 'nowhere'"):
        ray.get(actor.ping.options(concurrency_group="nowhere").remote())


def test_names_that_are_not_offered_say_what_to_use() -> None:
    with pytest.raises(AttributeError, match="install Ray"):
        ray.data  # noqa: B018 - the access is the point
    assert not hasattr(ray, "java_function")


def test_a_forked_child_of_the_driver_gets_an_error_and_does_not_hang() -> None:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            ray.put(1)
            os.write(writer, b"no error")
        except RuntimeError as error:
            os.write(writer, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        assert b"forked" in pipe.read()
    assert ray.get(ray.put(2)) == 2


def test_an_unserializable_argument_names_itself() -> None:
    @ray.remote
    def take(*values: Any) -> None:
        pass

    with pytest.raises(TypeError, match=r"the argument <unlocked _thread\.lock"):
        take.remote(1, threading.Lock())


def test_shared_structure_stays_shared() -> None:
    inner = [1]
    one, two = ray.get(ray.put([inner, inner]))
    assert one is two


def test_a_queued_actor_call_never_runs() -> None:
    gate, counter = make_gate(ray), make_counter(ray)

    @ray.remote
    class Worker:
        def wait(self, box: list[Any]) -> Any:
            return ray.get(box[0].wait.remote())

        def work(self) -> None:
            ray.get(counter.add.remote())

    worker = Worker.remote()
    first = worker.wait.remote([gate])
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    second = worker.work.remote()
    ray.cancel(second)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(second, timeout=20)
    ray.get(gate.open.remote())
    assert ray.get(first) == "open"
    assert ray.get(counter.value.remote()) == 0


def test_a_task_finds_no_thread_but_its_own() -> None:
    """Who forks counts the threads first: only a process with one can be forked safely. Ray's
    workers have another, which collects garbage."""

    @ray.remote
    def count() -> int:
        print("something to send to the driver")
        return threading.active_count()

    assert ray.get([count.remote() for _ in range(8)]) == [1] * 8


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_an_async_actors_constructor_that_interrupts_itself_ends_it(
    error: type[BaseException],
) -> None:
    """On Ray the loop's thread ends with it, and whoever calls the actor waits for ever."""

    @ray.remote(num_cpus=0)
    class Broken:
        def __init__(self) -> None:
            raise error

        async def ping(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(Broken.remote().ping.remote(), timeout=60)
