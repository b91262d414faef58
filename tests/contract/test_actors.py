"""Semantics 6 and exact behaviours: actors, their calls and handles."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter, make_gate, wait_until


def make_number(ray: ModuleType) -> Any:
    @ray.remote
    class Number:
        def __init__(self, n: int = 0) -> None:
            self.n = n

        def add(self, n: int = 1) -> int:
            self.n += n
            return self.n

        def get(self) -> int:
            return self.n

    return Number


def test_state_lasts_between_calls(ray: ModuleType) -> None:
    number = make_number(ray).remote(5)
    assert ray.get([number.add.remote(), number.add.remote(2)]) == [6, 8]
    assert ray.get(number.get.remote()) == 8


def test_making_an_instance_directly_is_a_type_error(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match=r"\.remote\(\)"):
        make_number(ray)()


def test_calling_a_method_directly_is_a_type_error(ray: ModuleType) -> None:
    number = make_number(ray).remote()
    with pytest.raises(TypeError, match=r"add\.remote\(\)"):
        number.add(1)


def test_calls_of_one_caller_run_in_their_order(ray: ModuleType) -> None:
    @ray.remote
    class Log:
        def __init__(self) -> None:
            self.lines: list[int] = []

        def write(self, n: int) -> None:
            self.lines.append(n)

        def read(self) -> list[int]:
            return self.lines

    log = Log.remote()
    for n in range(200):
        log.write.remote(n)
    assert ray.get(log.read.remote()) == list(range(200))


def test_a_call_waits_for_its_arguments_without_reordering(ray: ModuleType) -> None:
    gate = make_gate(ray)
    number = make_number(ray).remote(1)

    @ray.remote(num_cpus=0)
    def ten(_: Any) -> int:
        return 10

    first = number.add.remote(ten.remote(gate.wait.remote()))
    second = number.add.remote(1)
    assert ray.wait([second], timeout=0.2)[0] == []
    ray.get(gate.open.remote())
    assert ray.get([first, second]) == [11, 12]


def test_a_constructors_error_comes_with_the_first_call(ray: ModuleType) -> None:
    @ray.remote
    class Broken:
        def __init__(self) -> None:
            raise ValueError("broken by design")

        def ping(self) -> None:
            pass

    broken = Broken.remote()
    with pytest.raises(ray.exceptions.ActorDiedError, match="broken by design"):
        ray.get(broken.ping.remote())
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(broken.ping.remote())


def test_handles_can_be_passed_to_tasks_and_actors(ray: ModuleType) -> None:
    number = make_number(ray).remote()

    @ray.remote
    def add_to(handle: Any, boxed: list[Any]) -> Any:
        ray.get(handle.add.remote())
        return ray.get(boxed[0].add.remote())

    assert ray.get(add_to.remote(number, [number])) == 2


def test_handles_are_equal_and_hashable_by_actor(ray: ModuleType) -> None:
    number = make_number(ray)
    one, other = number.remote(), number.remote()

    @ray.remote
    def echo(boxed: list[Any]) -> list[Any]:
        return boxed

    (back,) = ray.get(echo.remote([one]))
    assert back == one
    assert hash(back) == hash(one)
    assert one != other
    assert len({one, back, other}) == 2


def test_dir_of_a_handle_shows_the_methods(ray: ModuleType) -> None:
    number = make_number(ray).remote()
    assert {"add", "get"} <= set(dir(number))
    assert callable(number.add.remote)


def test_an_unknown_method_is_an_attribute_error(ray: ModuleType) -> None:
    number = make_number(ray).remote()
    with pytest.raises(AttributeError, match="subtract"):
        number.subtract.remote()
    with pytest.raises(AttributeError):
        number.n  # noqa: B018 - attributes can't be read from outside


def test_inherited_static_and_class_methods_work(ray: ModuleType) -> None:
    class Base:
        def hello(self) -> str:
            return "hello from " + type(self).__name__

    @ray.remote
    class Child(Base):
        factor = 3

        @staticmethod
        def double(n: int) -> int:
            return 2 * n

        @classmethod
        def times(cls, n: int) -> int:
            return cls.factor * n

    child = Child.remote()
    assert ray.get(child.hello.remote()) == "hello from Child"
    assert ray.get(child.double.remote(4)) == 8
    assert ray.get(child.times.remote(4)) == 12


def test_subclassing_an_actor_class_is_an_error(ray: ModuleType) -> None:
    number = make_number(ray)
    with pytest.raises(TypeError, match=r"[Ii]nherit"):

        class More(number):  # type: ignore[valid-type,misc]
            pass


def test_method_num_returns_and_options(ray: ModuleType) -> None:
    @ray.remote
    class Pair:
        @ray.method(num_returns=2)
        def both(self) -> Any:
            return 1, 2

        def single(self) -> Any:
            return 3, 4

    pair = Pair.remote()
    a, b = pair.both.remote()
    assert ray.get([a, b]) == [1, 2]
    c, d = pair.single.options(num_returns=2).remote()
    assert ray.get([c, d]) == [3, 4]
    assert ray.get(pair.both.options(num_returns=1).remote()) == (1, 2)


def test_every_actor_has_ray_ready_and_ray_call(ray: ModuleType) -> None:
    number = make_number(ray).remote(7)
    assert ray.get(number.__ray_ready__.remote()) is True
    assert ray.get(number.__ray_call__.remote(lambda self, k: self.n * k, 2)) == 14


def test_ray_terminate_ends_after_the_queued_calls(ray: ModuleType) -> None:
    number = make_number(ray).remote()
    before = number.add.remote()
    number.__ray_terminate__.remote()
    assert ray.get(before) == 1
    wait_until(lambda: _is_dead(ray, number))


def _is_dead(ray: ModuleType, actor: Any) -> bool:
    try:
        ray.get(actor.__ray_ready__.remote(), timeout=5)
    except ray.exceptions.ActorDiedError:
        return True
    except ray.exceptions.RayError:
        return False
    return False


def test_an_actor_can_make_actors_and_tasks(ray: ModuleType) -> None:
    number = make_number(ray)

    @ray.remote
    class Parent:
        def __init__(self) -> None:
            self.child = number.remote(1)

        def ask(self) -> Any:
            return ray.get(self.child.add.remote(1))

    assert ray.get(Parent.remote().ask.remote()) == 2


def test_an_error_does_not_end_the_actor(ray: ModuleType) -> None:
    @ray.remote
    class Shaky:
        def fail(self) -> None:
            raise ValueError("only this call")

        def ping(self) -> str:
            return "alive"

    shaky = Shaky.remote()
    with pytest.raises(ValueError, match="only this call"):
        ray.get(shaky.fail.remote())
    assert ray.get(shaky.ping.remote()) == "alive"


def test_max_concurrency_runs_calls_at_once(ray: ModuleType) -> None:
    @ray.remote(max_concurrency=3)
    class Meeting:
        def __init__(self) -> None:
            self.barrier = threading.Barrier(3)

        def meet(self) -> int:
            return self.barrier.wait(timeout=30)

    meeting = Meeting.remote()
    assert sorted(ray.get([meeting.meet.remote() for _ in range(3)])) == [0, 1, 2]


def test_an_async_actor_runs_many_calls_on_one_loop(ray: ModuleType) -> None:
    @ray.remote
    class Waiting:
        def __init__(self) -> None:
            import asyncio

            self.event = asyncio.Event()
            self.count = 0

        async def wait(self) -> int:
            self.count += 1
            if self.count == 100:
                self.event.set()
            await self.event.wait()
            return threading.get_ident()

    waiting = Waiting.remote()
    threads = ray.get([waiting.wait.remote() for _ in range(100)])
    assert len(set(threads)) == 1


def test_max_concurrency_bounds_an_async_actor(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(max_concurrency=2)
    class Bounded:
        def __init__(self) -> None:
            self.now = self.most = 0

        async def work(self, gate: Any) -> int:
            self.now += 1
            self.most = max(self.most, self.now)
            await gate.wait.remote()
            self.now -= 1
            return self.most

    bounded = Bounded.remote()
    calls = [bounded.work.remote(gate) for _ in range(10)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 2)
    ray.get(gate.open.remote())
    assert max(ray.get(calls)) == 2


def test_sync_methods_of_an_async_actor_share_its_loop_thread(ray: ModuleType) -> None:
    @ray.remote
    class Mixed:
        async def a(self) -> int:
            return threading.get_ident()

        def b(self) -> int:
            return threading.get_ident()

    mixed = Mixed.remote()
    a, b = ray.get([mixed.a.remote(), mixed.b.remote()])
    assert a == b


def test_max_pending_calls_limits_what_is_open(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(max_pending_calls=3)
    class Limited:
        def wait(self, box: list[Any]) -> str:
            return str(ray.get(box[0].wait.remote()))

        def ping(self) -> str:
            return "pong"

    limited = Limited.remote()
    refs = [limited.wait.remote([gate]) for _ in range(3)]
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded):
        limited.ping.remote()
    ray.get(gate.open.remote())
    assert ray.get(refs) == ["open"] * 3
    assert ray.get(limited.ping.remote()) == "pong"


def test_max_pending_calls_counts_calls_without_a_result(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(max_pending_calls=2)
    class Busy:
        @ray.method(num_returns=0)
        def work(self, gate: Any) -> None:
            ray.get(gate.wait.remote())

    busy = Busy.remote()
    assert [busy.work.remote(gate) for _ in range(2)] == [None, None]
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded):
        busy.work.remote(gate)
    ray.get(gate.open.remote())

    def has_room() -> bool:
        try:
            busy.work.remote(gate)
        except ray.exceptions.PendingCallsLimitExceeded:
            return False
        return True

    wait_until(has_room)


def test_max_pending_calls_counts_each_caller_by_itself(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(max_pending_calls=2, max_concurrency=10)
    class Limited:
        def wait(self, box: list[Any]) -> str:
            return str(ray.get(box[0].wait.remote()))

        def ping(self) -> str:
            return "pong"

    limited = Limited.remote()

    @ray.remote
    def ping(handle: Any) -> Any:
        return ray.get(handle.ping.remote())

    refs = [limited.wait.remote([gate]) for _ in range(2)]
    assert ray.get(ping.remote(limited)) == "pong"
    with pytest.raises(ray.exceptions.PendingCallsLimitExceeded):
        limited.ping.remote()
    ray.get(gate.open.remote())
    assert ray.get(refs) == ["open"] * 2


def test_the_signature_of_a_method_can_be_seen(ray: ModuleType) -> None:
    number = make_number(ray).remote()
    with pytest.raises(TypeError, match=r"unexpected|too many|got"):
        number.add.remote(1, 2)


def test_an_actor_with_a_bad_call_goes_on(ray: ModuleType) -> None:
    counter = make_counter(ray)
    with pytest.raises(TypeError):
        counter.add.remote(1, 2, 3)
    assert ray.get(counter.add.remote()) == 1


def test_an_actor_class_keeps_its_name(ray: ModuleType) -> None:
    assert "Number" in str(make_number(ray))
    assert not inspect.isclass(make_number(ray).remote())


def test_options_make_actors_with_other_options(ray: ModuleType) -> None:
    number = make_number(ray)
    named = number.options(name="options-name").remote(3)
    assert ray.get(ray.get_actor("options-name").get.remote()) == 3
    del named


def test_underscore_remote_takes_args_kwargs_and_options(ray: ModuleType) -> None:
    number = make_number(ray)._remote(args=[4], num_cpus=0)
    assert ray.get(number.add._remote(args=[1])) == 5
    other = make_number(ray)._remote(kwargs={"n": 2})
    assert ray.get(other.get._remote()) == 2


def test_generator_methods_stream(ray: ModuleType) -> None:
    @ray.remote
    class Source:
        def count(self, n: int) -> Any:
            yield from (i for i in range(n))

        async def slow(self, n: int) -> int:
            return n

    source = Source.remote()
    assert [ray.get(ref) for ref in source.count.remote(3)] == [0, 1, 2]


def test_a_running_call_of_a_plain_actor_is_asked_and_not_interrupted(ray: ModuleType) -> None:
    gate, ran_on = make_gate(ray), make_counter(ray)

    @ray.remote
    class Patient:
        def work(self, gate: Any, ran_on: Any) -> str:
            ray.get(gate.wait.remote())
            ray.get(ran_on.add.remote())
            return "nobody gets this"

    patient = Patient.remote()
    ref = patient.work.remote(gate, ran_on)
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(ref, recursive=False)
    ray.get(gate.open.remote())
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(ran_on.value.remote()) == 1


def test_a_call_that_sees_it_is_cancelled_may_fail_in_its_own_way(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    class Patient:
        def work(self, gate: Any) -> None:
            gate.open.remote()
            while not ray.get_runtime_context().is_canceled():
                time.sleep(0.01)
            raise KeyError("asked to end")

    patient = Patient.remote()
    ref = patient.work.remote(gate)
    ray.get(gate.wait.remote())
    ray.cancel(ref)
    with pytest.raises(KeyError):
        ray.get(ref)


def test_a_blocked_actor_keeps_its_cpu(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=1)
    class Holder:
        def work(self, gate: Any) -> None:
            ray.get(gate.wait.remote())

    before = ray.available_resources()["CPU"]
    holder = Holder.remote()
    ref = holder.work.remote(gate)
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    assert ray.available_resources()["CPU"] == before - 1
    ray.get(gate.open.remote())
    ray.get(ref)


def test_a_constructor_may_be_a_coroutine(ray: ModuleType) -> None:
    @ray.remote
    class Late:
        async def __init__(self, x: int) -> None:  # type: ignore[misc]  # Ray allows it
            await asyncio.sleep(0)
            if x < 0:
                raise ValueError("below zero")
            self.x = x

        def value(self) -> int:
            return self.x

    assert ray.get(Late.remote(3).value.remote()) == 3
    with pytest.raises(ray.exceptions.ActorDiedError, match="below zero"):
        ray.get(Late.remote(-1).value.remote())


def test_a_task_id_knows_its_actor(ray: ModuleType) -> None:
    @ray.remote
    class Me:
        def ids(self) -> tuple[str, str]:
            here = ray.get_runtime_context()
            return here.get_task_id(), here.get_actor_id()

    task, actor = ray.get(Me.remote().ids.remote())
    assert ray.TaskID.from_hex(task).actor_id().hex() == actor
    with pytest.raises(ValueError, match="length 16"):
        ray.ActorID(b"short")


def test_special_methods_can_be_called(ray: ModuleType) -> None:
    @ray.remote
    class Bag:
        def __len__(self) -> int:
            return 3

        def __call__(self, x: int) -> int:
            return x + 1

    bag = Bag.remote()
    assert ray.get([bag.__len__.remote(), bag.__call__.remote(1)]) == [3, 2]
    with pytest.raises(TypeError):
        len(bag)
