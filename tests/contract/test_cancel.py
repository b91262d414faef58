"""Semantics 7 and exact behaviours: cancel."""

from __future__ import annotations

import asyncio
import signal
import time
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import await_submission, make_counter, make_gate, wait_until


def test_a_pending_task_never_runs(ray: ModuleType) -> None:
    gate, counter = make_gate(ray), make_counter(ray)

    @ray.remote(num_cpus=0)
    def work(_: Any) -> None:
        ray.get(counter.add.remote())

    ref = work.remote(gate.wait.remote())
    await_submission(ray, gate)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    ray.get(gate.open.remote())
    assert ray.get(counter.value.remote()) == 0


def test_a_running_task_gets_keyboard_interrupt(ray: ModuleType) -> None:
    started, counter = make_gate(ray), make_counter(ray)

    @ray.remote(num_cpus=0)
    def spin() -> None:
        try:
            started.open.remote()
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            ray.get(counter.add.remote())
            raise

    ref = spin.remote()
    ray.get(started.wait.remote())
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    wait_until(lambda: ray.get(counter.value.remote()) == 1)


def test_a_task_may_make_something_of_its_interruption(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    def spin(started: Any, fail: bool) -> str:
        try:
            started.open.remote()
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            if fail:
                raise KeyError("rather this") from None
            return "rather that"

    gates = make_gate(ray), make_gate(ray)
    refs = spin.remote(gates[0], False), spin.remote(gates[1], True)
    for gate, ref in zip(gates, refs, strict=True):
        ray.get(gate.wait.remote())
        ray.cancel(ref)
    assert ray.get(refs[0]) == "rather that"
    with pytest.raises(KeyError):
        ray.get(refs[1])


@pytest.mark.parametrize("fail", [False, True])
def test_an_async_actors_call_may_not(ray: ModuleType, fail: bool) -> None:
    @ray.remote(num_cpus=0)
    class Loop:
        async def spin(self, started: Any) -> str:
            started.open.remote()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if fail:
                    raise KeyError("rather this") from None
            return "rather that"

    loop, started = Loop.remote(), make_gate(ray)
    ref = loop.spin.remote(started)
    ray.get(started.wait.remote())
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError) as caught:
        ray.get(ref)
    assert isinstance(caught.value, ray.exceptions.RayTaskError)


def test_a_task_blocked_in_get_can_be_cancelled(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0].wait.remote())

    ref = wait.remote([gate])
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)


def test_force_kills_the_worker(ray: ModuleType) -> None:
    started = make_gate(ray)

    @ray.remote(num_cpus=0)
    def stubborn() -> None:
        started.open.remote()
        while True:
            try:
                while True:
                    time.sleep(0.01)
            except KeyboardInterrupt:
                pass

    ref = stubborn.remote()
    ray.get(started.wait.remote())
    ray.cancel(ref, force=True)
    with pytest.raises((ray.exceptions.WorkerCrashedError, ray.exceptions.TaskCancelledError)):
        ray.get(ref)


def test_force_is_not_allowed_on_actor_tasks(ray: ModuleType) -> None:
    gate = make_gate(ray)
    ref = gate.wait.remote()
    with pytest.raises(ValueError, match="force=True is not supported"):
        ray.cancel(ref, force=True)
    ray.get(gate.open.remote())
    assert ray.get(ref) == "open"


def test_an_async_actors_call_gets_cancelled_error(ray: ModuleType) -> None:
    @ray.remote
    class Patient:
        def __init__(self) -> None:
            self.seen: list[str] = []
            self.running = 0

        async def wait(self) -> None:
            self.running += 1
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.seen.append("cancelled")
                raise

        async def state(self) -> Any:
            return self.running, self.seen

    patient = Patient.remote()
    ref = patient.wait.remote()
    wait_until(lambda: ray.get(patient.state.remote())[0] == 1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    assert ray.get(patient.state.remote()) == (1, ["cancelled"])


def test_an_actors_call_that_waits_for_its_arguments_never_runs(ray: ModuleType) -> None:
    gate, counter = make_gate(ray), make_counter(ray)

    @ray.remote
    class Worker:
        def work(self, _: Any) -> None:
            ray.get(counter.add.remote())

        def ping(self) -> str:
            return "pong"

    worker = Worker.remote()
    ref = worker.work.remote(gate.wait.remote())
    await_submission(ray, gate)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    ray.get(gate.open.remote())
    assert ray.get(worker.ping.remote()) == "pong"
    assert ray.get(counter.value.remote()) == 0


def test_recursive_reaches_children(ray: ModuleType) -> None:
    gate, counter = make_gate(ray), make_counter(ray)

    @ray.remote(num_cpus=0)
    def child(box: list[Any]) -> None:
        try:
            ray.get(box[0].wait.remote())
        finally:
            ray.get(counter.add.remote("child ended"))

    @ray.remote(num_cpus=0)
    def parent(box: list[Any]) -> None:
        ray.get(child.remote(box))

    ref = parent.remote([gate])
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(ref, recursive=True)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    wait_until(lambda: ray.get(counter.value.remote()) == 1)


def test_not_recursive_leaves_children_alone(ray: ModuleType) -> None:
    gate, counter = make_gate(ray), make_counter(ray)

    @ray.remote(num_cpus=0)
    def child(box: list[Any]) -> None:
        ray.get(box[0].wait.remote())
        ray.get(counter.add.remote("child done"))

    @ray.remote(num_cpus=0)
    def parent(box: list[Any]) -> None:
        ray.get(child.remote(box))

    ref = parent.remote([gate])
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(ref, recursive=False)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)
    ray.get(gate.open.remote())
    wait_until(lambda: ray.get(counter.value.remote()) == 1)


def test_cancelling_what_is_done_does_nothing(ray: ModuleType) -> None:
    @ray.remote
    def done() -> int:
        return 1

    ref = done.remote()
    assert ray.get(ref) == 1
    # Ray closes a task's books just after `get` has the result, and a cancellation in between takes
    # the driver down. One thread takes the answers in turn.
    assert ray.get(done.remote()) == 1
    ray.cancel(ref)
    assert ray.get(ref) == 1
    ray.cancel(ref, force=True)
    assert ray.get(ref) == 1


def test_dependents_of_a_cancelled_task_fail_and_what_it_needs_goes_on(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def take(value: Any) -> Any:
        return value

    first = gate.wait.remote()
    second = take.remote(first)
    third = take.remote(second)
    await_submission(ray, gate)
    ray.cancel(second)
    for ref in (second, third):
        with pytest.raises(ray.exceptions.TaskCancelledError):
            ray.get(ref)
    ray.get(gate.open.remote())
    assert ray.get(first) == "open"


def test_a_borrower_may_cancel(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def wait(box: list[Any]) -> Any:
        return ray.get(box[0])

    @ray.remote(num_cpus=0)
    def start(box: list[Any]) -> list[Any]:
        return [wait.remote(box)]

    (ref,) = ray.get(start.remote([gate.wait.remote()]))
    assert ray.wait([ref], timeout=0.1)[0] == []
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(ref)


def test_the_error_is_a_ray_error_and_names_the_task(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def take(value: Any) -> Any:
        return value

    ref = take.remote(gate.wait.remote())
    await_submission(ray, gate)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(ref)
    assert type(caught.value) is ray.exceptions.TaskCancelledError


@pytest.mark.parametrize("thing", [1, None, "ref"])
def test_something_else_is_a_type_error(ray: ModuleType, thing: Any) -> None:
    with pytest.raises(TypeError, match="object ref"):
        ray.cancel(thing)


def test_workers_have_pythons_own_sigint_handling(ray: ModuleType) -> None:
    @ray.remote
    def child_dies_of_sigint() -> Any:
        import subprocess
        import sys

        code = "import signal; print(signal.getsignal(signal.SIGINT) is not signal.SIG_IGN)"
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout

    assert ray.get(child_dies_of_sigint.remote()).strip() == "True"
    assert signal.getsignal(signal.SIGINT) is not signal.SIG_IGN


def test_a_streaming_generator_can_be_cancelled(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def produce(box: list[Any]) -> Any:
        yield 1
        ray.get(box[0].wait.remote())
        yield 2

    generator = produce.remote([gate])
    assert ray.get(next(generator)) == 1
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(generator)
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(list(generator))


def test_cancelled_tasks_give_their_resources_back(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=4)
    def hold() -> None:
        gate.open.remote()
        while True:
            time.sleep(0.01)

    @ray.remote(num_cpus=4)
    def next_one() -> str:
        return "ran"

    ref = hold.remote()
    ray.get(gate.wait.remote())
    later = next_one.remote()
    ray.cancel(ref)
    assert ray.get(later) == "ran"


def test_what_was_cancelled_while_it_ran_says_where(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    def stuck(gate: Any) -> None:
        ray.get(gate.wait.remote())

    ref = stuck.remote(gate)
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.cancel(ref)
    with pytest.raises(ray.exceptions.TaskCancelledError, match="in stuck") as error:
        ray.get(ref)
    assert isinstance(error.value, ray.exceptions.RayTaskError)
