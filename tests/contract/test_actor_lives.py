"""Semantics 6 and exact behaviours: names, ends and restarts of actors."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_counter, make_gate, the_death, wait_until


def make_pid(ray: ModuleType) -> Any:
    @ray.remote
    class Pid:
        def pid(self) -> int:
            return os.getpid()

        def exit(self) -> None:
            os._exit(1)

        def leave(self) -> None:
            ray.actor.exit_actor()

    return Pid


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_last_handles_end_ends_the_actor_after_its_queued_calls(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote
    class Busy:
        def pid(self) -> int:
            return os.getpid()

        def work(self) -> None:
            ray.get(counter.add.remote())

    busy = Busy.remote()
    pid = ray.get(busy.pid.remote())
    for _ in range(5):
        busy.work.remote()
    del busy
    gc.collect()
    wait_until(lambda: not alive(pid))
    assert ray.get(counter.value.remote()) == 5


def test_a_stored_handle_keeps_the_actor_alive(ray: ModuleType) -> None:
    @ray.remote
    class Holder:
        def hold(self, box: list[Any]) -> None:
            self.box = box

        def ask(self) -> Any:
            return ray.get(self.box[0].pid.remote())

    holder = Holder.remote()
    held = make_pid(ray).remote()
    pid = ray.get(held.pid.remote())
    ray.get(holder.hold.remote([held]))
    del held
    gc.collect()
    assert ray.get(holder.ask.remote()) == pid


def test_kill_ends_an_actor_and_its_calls(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    class Stuck:
        def wait(self, box: list[Any]) -> None:
            ray.get(box[0].wait.remote())

    stuck = Stuck.remote()
    refs = [stuck.wait.remote([gate]) for _ in range(2)]
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.kill(stuck)
    for ref in refs:
        with pytest.raises(ray.exceptions.RayActorError):
            ray.get(ref)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(stuck.wait.remote([gate]))


def test_kill_works_in_mid_constructor(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote
    class Slow:
        def __init__(self, box: list[Any]) -> None:
            ray.get(box[0].wait.remote())

        def ping(self) -> None:
            pass

    slow = Slow.remote([gate])
    ref = slow.ping.remote()
    wait_until(lambda: ray.get(gate.waiting.remote()) == 1)
    ray.kill(slow)
    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(ref)


def test_kill_of_something_else_is_a_value_error(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="only supported for actors"):
        ray.kill(ray.put(1))


def test_exit_actor_ends_it_for_good(ray: ModuleType) -> None:
    actor = make_pid(ray).options(max_restarts=-1).remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.leave.remote())
    wait_until(lambda: not alive(pid))
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote())


def test_exit_actor_ends_an_async_actor_too(ray: ModuleType) -> None:
    @ray.remote
    class Async:
        async def pid(self) -> int:
            return os.getpid()

        async def leave(self) -> None:
            ray.actor.exit_actor()

    actor = Async.remote()
    pid = ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.leave.remote())
    wait_until(lambda: not alive(pid))


def test_exit_actor_exits_even_if_caught(ray: ModuleType) -> None:
    @ray.remote
    class Stubborn:
        def pid(self) -> int:
            return os.getpid()

        def leave(self) -> str:
            with contextlib.suppress(BaseException):
                ray.actor.exit_actor()
            return "still here"

    actor = Stubborn.remote()
    pid = ray.get(actor.pid.remote())
    actor.leave.remote()
    wait_until(lambda: not alive(pid))


def test_exit_actor_in_a_constructor_ends_it(ray: ModuleType) -> None:
    @ray.remote
    class Shy:
        def __init__(self) -> None:
            ray.actor.exit_actor()

        def ping(self) -> None:
            pass

    with pytest.raises(ray.exceptions.RayActorError):
        ray.get(Shy.remote().ping.remote())


def test_exit_actor_outside_an_actor_is_a_type_error(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match="non-actor"):
        ray.actor.exit_actor()

    @ray.remote
    def task() -> None:
        ray.actor.exit_actor()

    with pytest.raises(TypeError, match="non-actor"):
        ray.get(task.remote())


def test_exit_actor_runs_atexit_and_kill_does_not(ray: ModuleType, tmp_path: Any) -> None:
    @ray.remote
    class Tidy:
        def __init__(self, path: str) -> None:
            import atexit

            atexit.register(lambda: open(path, "w").close())

        def pid(self) -> int:
            return os.getpid()

        def leave(self) -> None:
            ray.actor.exit_actor()

    left, killed = tmp_path / "left", tmp_path / "killed"
    one, other = Tidy.remote(str(left)), Tidy.remote(str(killed))
    pids = ray.get([one.pid.remote(), other.pid.remote()])
    one.leave.remote()
    ray.kill(other)
    wait_until(lambda: not any(map(alive, pids)))
    assert left.exists()
    assert not killed.exists()


def test_max_restarts_runs_the_constructor_again(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_restarts=1, max_task_retries=-1)
    class Phoenix:
        def __init__(self) -> None:
            self.life = ray.get(counter.add.remote())

        def pid(self) -> int:
            return os.getpid()

        def which(self) -> Any:
            return self.life

    phoenix = Phoenix.remote()
    assert ray.get(phoenix.which.remote()) == 1
    os.kill(ray.get(phoenix.pid.remote()), signal.SIGKILL)
    assert ray.get(phoenix.which.remote()) == 2
    os.kill(ray.get(phoenix.pid.remote()), signal.SIGKILL)
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(phoenix.which.remote())


def test_kill_with_restart_restarts(ray: ModuleType) -> None:
    actor = make_pid(ray).options(max_restarts=1, max_task_retries=-1).remote()
    before = ray.get(actor.pid.remote())
    ray.kill(actor, no_restart=False)
    wait_until(lambda: not alive(before))
    assert ray.get(actor.pid.remote()) != before


def test_a_crash_without_restarts_is_an_actor_died_error(ray: ModuleType) -> None:
    actor = make_pid(ray).remote()
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.exit.remote())
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(actor.pid.remote())


def test_a_crash_with_restarts_is_an_actor_unavailable_error(ray: ModuleType) -> None:
    actor = make_pid(ray).options(max_restarts=-1).remote()
    ray.get(actor.pid.remote())
    with pytest.raises(ray.exceptions.ActorUnavailableError):
        ray.get(actor.exit.remote())


def test_a_named_actor_can_be_found(ray: ModuleType) -> None:
    actor = make_pid(ray).options(name="found").remote()
    pid = ray.get(actor.pid.remote())
    assert ray.get(ray.get_actor("found").pid.remote()) == pid

    @ray.remote
    def find() -> Any:
        return ray.get(ray.get_actor("found").pid.remote())

    assert ray.get(find.remote()) == pid


def test_a_missing_name_is_a_value_error(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="Failed to look up actor with name"):
        ray.get_actor("nobody")


def test_an_empty_name_is_a_value_error(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="non-empty"):
        ray.get_actor("")
    with pytest.raises(ValueError, match="empty string"):
        make_pid(ray).options(name="").remote()
    with pytest.raises(TypeError):
        make_pid(ray).options(name=1).remote()


def test_a_duplicate_name_is_a_value_error(ray: ModuleType) -> None:
    keep = make_pid(ray).options(name="taken").remote()
    with pytest.raises(ValueError, match="already taken"):
        make_pid(ray).options(name="taken").remote()
    assert issubclass(ray.exceptions.ActorAlreadyExistsError, ValueError)
    del keep


def test_namespaces_keep_names_apart(ray: ModuleType) -> None:
    one = make_pid(ray).options(name="same", namespace="one").remote()
    two = make_pid(ray).options(name="same", namespace="two").remote()
    pids = ray.get([one.pid.remote(), two.pid.remote()])
    assert pids[0] != pids[1]
    assert ray.get(ray.get_actor("same", namespace="two").pid.remote()) == pids[1]
    with pytest.raises(ValueError, match="Failed to look up"):
        ray.get_actor("same")


def test_kill_frees_the_name_at_once(ray: ModuleType) -> None:
    actor = make_pid(ray).options(name="reused").remote()
    ray.get(actor.pid.remote())
    ray.kill(actor)
    wait_until(lambda: not _exists(ray, "reused"))
    again = make_pid(ray).options(name="reused").remote()
    assert ray.get(ray.get_actor("reused").pid.remote()) == ray.get(again.pid.remote())


def _exists(ray: ModuleType, name: str) -> bool:
    try:
        ray.get_actor(name)
    except ValueError:
        return False
    return True


def test_get_if_exists_makes_one_actor(ray: ModuleType) -> None:
    cls = make_pid(ray).options(name="only-one", get_if_exists=True)
    actors = [cls.remote() for _ in range(3)]
    assert len(set(ray.get([a.pid.remote() for a in actors]))) == 1
    assert len(set(actors)) == 1


def test_get_if_exists_is_free_of_races(ray: ModuleType) -> None:
    pid_class = make_pid(ray)

    @ray.remote(num_cpus=0)
    def get_or_create() -> Any:
        actor = pid_class.options(
            name="raced", get_if_exists=True, lifetime="detached", num_cpus=0
        ).remote()
        return ray.get(actor.pid.remote())

    assert len(set(ray.get([get_or_create.remote() for _ in range(4)]))) == 1
    ray.kill(ray.get_actor("raced"))


def test_get_if_exists_needs_a_name(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="name must be specified"):
        make_pid(ray).options(get_if_exists=True).remote()


def test_handles_from_get_actor_are_weak(ray: ModuleType) -> None:
    strong = make_pid(ray).options(name="weakly-held").remote()
    pid = ray.get(strong.pid.remote())
    weak = ray.get_actor("weakly-held")
    assert ray.get(weak.pid.remote()) == pid
    del strong
    gc.collect()
    wait_until(lambda: not alive(pid))
    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(weak.pid.remote())


def test_what_is_made_of_a_weak_handle_is_weak_too(ray: ModuleType) -> None:
    @ray.remote
    class Holder:
        def hold(self, box: list[Any]) -> Any:
            self.handle = box[0]
            return ray.get(self.handle.pid.remote())

    strong = make_pid(ray).options(name="weakly-passed").remote()
    weak, holder = ray.get_actor("weakly-passed"), Holder.remote()
    pid = ray.get(holder.hold.remote([weak]))
    assert alive(pid)
    del strong
    gc.collect()
    wait_until(lambda: not alive(pid))


def test_a_detached_actor_needs_no_handle(ray: ModuleType) -> None:
    cls = make_pid(ray)

    @ray.remote
    def make() -> Any:
        actor = cls.options(name="detached", lifetime="detached").remote()
        return ray.get(actor.pid.remote())

    pid = ray.get(make.remote())
    gc.collect()
    assert ray.get(ray.get_actor("detached").pid.remote()) == pid
    ray.kill(ray.get_actor("detached"))
    wait_until(lambda: not alive(pid))


def test_lifetimes_are_checked(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="lifetime"):
        make_pid(ray).options(lifetime="eternal").remote()


def test_children_die_with_their_owner(ray: ModuleType) -> None:
    child_class = make_pid(ray)

    @ray.remote
    class Parent:
        def __init__(self) -> None:
            self.child = child_class.remote()

        def child_pid(self) -> Any:
            return ray.get(self.child.pid.remote())

    parent = Parent.remote()
    pid = ray.get(parent.child_pid.remote())
    ray.kill(parent)
    wait_until(lambda: not alive(pid))


def test_finished_calls_are_not_replayed_after_a_restart(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote(max_restarts=1, max_task_retries=2)
    class Worker:
        def work(self, n: int) -> Any:
            return ray.get(counter.add.remote(n))

        def pid(self) -> int:
            return os.getpid()

    worker = Worker.remote()
    ray.get([worker.work.remote(n) for n in range(3)])
    os.kill(ray.get(worker.pid.remote()), signal.SIGKILL)
    ray.get(worker.work.remote(3))
    assert ray.get(counter.list.remote()) == [0, 1, 2, 3]


def test_ray_shutdown_runs_before_atexit_when_an_actor_leaves(
    ray: ModuleType, tmp_path: Any
) -> None:
    @ray.remote
    class Leaver:
        def __init__(self, path: str) -> None:
            import atexit

            self.path = path
            atexit.register(self.note, "atexit")

        def note(self, word: str) -> None:
            with open(self.path, "a") as file:
                file.write(word + "\n")

        def __ray_shutdown__(self) -> None:
            self.note("shutdown")

        def ready(self) -> None:
            pass

    def words(name: str) -> list[str]:
        path = tmp_path / name
        return path.read_text().split() if path.exists() else []

    dropped = Leaver.remote(str(tmp_path / "dropped"))
    ray.get(dropped.ready.remote())
    del dropped
    wait_until(lambda: words("dropped") == ["shutdown", "atexit"])

    told = Leaver.remote(str(tmp_path / "told"))
    told.__ray_terminate__.remote()
    wait_until(lambda: words("told") == ["shutdown", "atexit"])


def test_an_actors_instance_is_deleted_when_it_leaves(ray: ModuleType, tmp_path: Path) -> None:
    @ray.remote
    class Mortal:
        def __init__(self) -> None:
            self.me = self

        def ping(self) -> None:
            pass

        def __del__(self) -> None:
            (tmp_path / "deleted").touch()

    mortal = Mortal.remote()
    ray.get(mortal.ping.remote())
    del mortal
    gc.collect()
    wait_until((tmp_path / "deleted").exists)


def test_an_async_actors_background_task_may_end_it(ray: ModuleType) -> None:
    @ray.remote
    class Leaver:
        def __init__(self) -> None:
            import asyncio

            self.task = asyncio.create_task(self.leave())

        async def leave(self) -> None:
            ray.actor.exit_actor()

    actor = Leaver.remote()
    the_death(ray, actor.__ray_ready__)


def test_the_error_says_how_an_actor_died(ray: ModuleType) -> None:
    killed = lasting(ray)
    ray.kill(killed)
    error = the_death(ray, killed.__ray_ready__)
    assert "was killed by `ray.kill`" in str(error)
    assert error.actor_id == killed._actor_id.hex()

    left = lasting(ray)
    with pytest.raises(ray.exceptions.ActorDiedError, match="INTENDED_USER_EXIT"):
        ray.get(left.leave.remote())

    quits = lasting(ray)
    with pytest.raises(ray.exceptions.ActorDiedError, match="its worker process has died"):
        ray.get(quits.quit.remote(1))


def lasting(ray: ModuleType) -> Any:
    """An actor that leaves when it is told to."""

    @ray.remote
    class Leaver:
        def leave(self) -> None:
            ray.actor.exit_actor()

        def quit(self, code: int) -> None:
            sys.exit(code)

    return Leaver.remote()


def test_an_actor_class_that_refers_to_itself_can_travel(ray: ModuleType) -> None:
    @ray.remote
    class Node:
        def child(self) -> Any:
            return Node.remote()

        def name(self) -> str:
            return "node"

    child = ray.get(Node.remote().child.remote())
    assert "name" in dir(child)


def test_a_methods_invocation_can_be_decorated(ray: ModuleType) -> None:
    def twice(invoke: Any) -> Any:
        return lambda args, kwargs: (invoke([args[0], args[0]], {}), kwargs)

    def sum_first(method: Any) -> Any:
        def run(self: Any, a: int, b: int) -> Any:
            return method(self, a + b)

        run.__ray_invocation_decorator__ = twice  # type: ignore[attr-defined]
        return run

    @ray.remote
    class Adder:
        @sum_first
        def add(self, x: int) -> int:
            return x + 1

    adder = Adder.remote()
    ref, extra = adder.add.remote(3, word="more")
    assert extra == {"word": "more"}
    assert ray.get(ref) == 7


def test_the_call_behind_the_last_handle_is_retried_after_a_crash(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    class Tries:
        def __init__(self) -> None:
            self.n = 0

        def add(self) -> int:
            self.n += 1
            return self.n

    @ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=2)
    class Crashing:
        def work(self, tries: list[Any]) -> int:
            n: int = ray.get(tries[0].add.remote())
            if n == 1:
                os._exit(1)
            return n

    tries = Tries.remote()
    assert ray.get(Crashing.remote().work.remote([tries])) == 2
