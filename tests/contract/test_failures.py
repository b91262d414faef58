"""What a failure looks like to who gets it: its class, its text, and through whom it came."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from types import ModuleType
from typing import Any

import pytest


def shown(error: BaseException) -> str:
    """An error's text without colours, carets and what differs from run to run."""
    text = re.sub(r"\x1b\[\d+m", "", str(error))
    text = re.sub(r"pid=\d+, ip=[\d.]+", "pid=P, ip=I", text)
    text = re.sub(r'File ".*?", line \d+', "File F, line N", text)
    return "\n".join(line for line in text.splitlines() if not re.fullmatch(r"\s*[\^~]+", line))


@pytest.fixture
def failing(ray: ModuleType) -> Any:
    @ray.remote
    def divide() -> float:
        return 1 / 0

    return divide


def test_the_text_shows_the_chain_of_tasks_without_the_engine(
    ray: ModuleType, failing: Any
) -> None:
    @ray.remote
    def outer() -> Any:
        return ray.get(failing.remote())

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(outer.remote())
    assert shown(caught.value) == (
        "ray::outer() (pid=P, ip=I)\n"
        "  File F, line N, in outer\n"
        "    return ray.get(failing.remote())\n"
        "ray.exceptions.RayTaskError(ZeroDivisionError): ray::divide() (pid=P, ip=I)\n"
        "  File F, line N, in divide\n"
        "    return 1 / 0\n"
        "ZeroDivisionError: division by zero"
    )


def test_the_text_shows_through_which_arguments_it_came(ray: ModuleType, failing: Any) -> None:
    @ray.remote
    def first(x: Any) -> None: ...

    @ray.remote
    def second(x: Any) -> None: ...

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(second.remote(first.remote(failing.remote())))
    because = "  At least one of the input arguments for this task could not be computed:\n"
    assert shown(caught.value).startswith(
        f"ray::second() (pid=P, ip=I)\n{because}"
        f"ray.exceptions.RayTaskError: ray::first() (pid=P, ip=I)\n{because}"
        "ray.exceptions.RayTaskError: ray::divide() (pid=P, ip=I)\n"
    )


def test_a_constructors_failure_is_told_by_the_calls(ray: ModuleType) -> None:
    @ray.remote
    class Broken:
        def __init__(self) -> None:
            raise ValueError("no way")

        def ping(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError) as caught:
        ray.get(Broken.remote().ping.remote())
    text = shown(caught.value)
    assert text.startswith(
        "The actor died because of an error raised in its creation task, "
        "ray::Broken.__init__() (pid=P, ip=I, actor_id="
    )
    assert "Broken object at 0x" in text
    assert text.endswith("ValueError: no way")


@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_a_constructor_that_interrupts_itself_ends_its_actor(
    ray: ModuleType, error: type[BaseException]
) -> None:
    @ray.remote(num_cpus=0)
    class Broken:
        def __init__(self) -> None:
            raise error

        def ping(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(Broken.remote().ping.remote(), timeout=60)


def test_an_async_actors_constructor_that_cancels_itself_ends_it(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    class Broken:
        def __init__(self) -> None:
            raise asyncio.CancelledError

        async def ping(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError):
        ray.get(Broken.remote().ping.remote(), timeout=60)


def test_a_constructors_failed_argument_ends_its_actor_and_is_told(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("no way")

    @ray.remote(num_cpus=0)
    class Needy:
        def __init__(self, x: Any) -> None: ...

        def ping(self) -> None: ...

    with pytest.raises(ray.exceptions.ActorDiedError) as caught:
        ray.get(Needy.remote(fail.remote()).ping.remote(), timeout=60)
    assert not isinstance(caught.value, ray.exceptions.RayTaskError)
    text = shown(caught.value)
    assert "error raised in its creation task, ray::Needy.__init__()" in text
    assert "At least one of the input arguments" in text
    assert "ValueError: no way" in text


def test_an_async_call_that_cancels_itself_is_a_cancelled_task(ray: ModuleType) -> None:
    @ray.remote(num_cpus=0)
    class Quitter:
        async def quit(self) -> None:
            raise asyncio.CancelledError

        async def ping(self) -> str:
            return "here"

    quitter = Quitter.remote()
    with pytest.raises(ray.exceptions.TaskCancelledError):
        ray.get(quitter.quit.remote())
    assert ray.get(quitter.ping.remote()) == "here"


def test_an_actors_death_fails_those_who_take_its_results(ray: ModuleType) -> None:
    @ray.remote
    class Mortal:
        def die(self) -> None:
            os._exit(1)

    @ray.remote
    def take(x: Any) -> None: ...

    mortal = Mortal.remote()
    result = mortal.die.remote()
    with pytest.raises(ray.exceptions.ActorDiedError, match="The actor died unexpectedly"):
        ray.get(result)
    with pytest.raises(ray.exceptions.RayTaskError, match="At least one of the input") as caught:
        ray.get(take.remote(result))
    assert isinstance(caught.value, ray.exceptions.ActorDiedError)
    assert isinstance(caught.value.cause, ray.exceptions.ActorDiedError)


@pytest.mark.parametrize("kind", [FileNotFoundError, StopIteration, UnicodeError, AssertionError])
def test_builtin_errors_keep_their_class(ray: ModuleType, kind: type[Exception]) -> None:
    @ray.remote
    def fail() -> None:
        raise kind("as it is")

    with pytest.raises(kind) as caught:
        ray.get(fail.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)
    assert "as it is" in repr(caught.value.cause)


def test_errors_of_the_runtime_keep_their_class_when_a_task_raises_them(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ray.exceptions.GetTimeoutError("too slow")

    with pytest.raises(ray.exceptions.GetTimeoutError, match="too slow") as caught:
        ray.get(fail.remote())
    assert isinstance(caught.value, ray.exceptions.RayTaskError)


def test_an_error_that_cannot_be_made_again_is_told_in_words(ray: ModuleType) -> None:
    class Stubborn(OSError):
        def __init__(self, first: str, second: str) -> None:
            super().__init__(first)

    @ray.remote
    def fail() -> None:
        raise Stubborn("original words", "more")

    with pytest.raises(ray.exceptions.UnserializableException, match="original words") as caught:
        ray.get(fail.remote())
    assert "Failed to deserialize exception" in str(caught.value)


@pytest.mark.parametrize("code", [0, 3, "words", None])
def test_sys_exit_ends_the_worker(ray: ModuleType, code: Any) -> None:
    @ray.remote(max_retries=0)
    def leave() -> None:
        sys.exit(code)

    with pytest.raises(ray.exceptions.WorkerCrashedError):
        ray.get(leave.remote())


@pytest.mark.parametrize("code", [0, -1])
def test_sys_exit_ends_an_actor(ray: ModuleType, code: int) -> None:
    @ray.remote
    class Leaver:
        def leave(self) -> None:
            sys.exit(code)

    leaver = Leaver.remote()
    for _ in range(2):
        with pytest.raises(ray.exceptions.ActorDiedError):
            ray.get(leaver.leave.remote())


def test_code_that_cannot_be_loaded_fails_its_tasks_and_actors(
    ray: ModuleType, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tmp_path / "gone_when_needed.py"
    module.write_text("def one(): return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    needed = __import__("gone_when_needed")

    @ray.remote
    def task() -> int:
        return int(needed.one())

    @ray.remote
    class Actor:
        def __init__(self) -> None:
            self.one = needed.one()

        def ping(self) -> None: ...

    module.unlink()
    with pytest.raises(RuntimeError, match="failed to import on the worker") as caught:
        ray.get(task.remote())
    assert "No module named 'gone_when_needed'" in str(caught.value)
    with pytest.raises(ray.exceptions.ActorDiedError, match="failed to import on the worker"):
        ray.get(Actor.remote().ping.remote())


def test_what_cannot_be_sent_is_named(ray: ModuleType) -> None:
    lock = threading.Lock()

    @ray.remote
    def take(x: Any) -> None: ...

    @ray.remote
    def capture() -> Any:
        return lock

    @ray.remote
    class Taker:
        def __init__(self, x: Any) -> None: ...

    @ray.remote
    class Capturer:
        def __init__(self) -> None:
            self.lock = lock

    name = r"\S+test_what_cannot_be_sent_is_named\.<locals>\."
    report = r":\n=+\nChecking Serializability of "
    argument = (
        r"Could not serialize the argument <unlocked _thread.lock object at \S+ for a task or"
    )
    for refused, why in [
        (lambda: take.remote(lock), rf"{argument} actor {name}take{report}"),
        (lambda: Taker.remote(lock), rf"{argument} actor {name}Taker.__init__{report}"),
        (capture.remote, rf"Could not serialize the function {name}capture{report}"),
        (Capturer.remote, rf"Could not serialize the actor class {name}Capturer.__init__{report}"),
        (lambda: ray.put(lock), rf"Could not serialize the put value <unlocked .*>{report}"),
    ]:
        with pytest.raises(TypeError, match=why):
            refused()


def test_a_wrong_number_of_results_is_told(ray: ModuleType) -> None:
    @ray.remote(num_returns=2)
    def three() -> tuple[int, ...]:
        return 1, 2, 3

    for ref in three.remote():
        with pytest.raises(ValueError, match="Task returned 3 objects, but num_returns=2"):
            ray.get(ref)
