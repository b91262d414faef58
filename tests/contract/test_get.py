"""Semantics 2 and exact behaviours: get."""

from __future__ import annotations

import builtins
import pickle
import sys
from types import ModuleType
from typing import Any

import cloudpickle
import pytest

from tests.contract.signals import make_counter, make_gate, plain


def test_a_list_keeps_its_order(ray: ModuleType) -> None:
    @ray.remote
    def echo(n: int) -> int:
        return n

    assert ray.get([echo.remote(n) for n in range(20)]) == list(range(20))
    assert ray.get([]) == []


def test_repeated_refs_are_fine(ray: ModuleType) -> None:
    ref = ray.put(1)
    assert ray.get([ref, ref, ref]) == [1, 1, 1]


@pytest.mark.parametrize("thing", [1, None, "ref", {"a": 1}])
def test_a_non_ref_is_a_value_error(ray: ModuleType, thing: Any) -> None:
    with pytest.raises(ValueError, match="object_refs"):
        ray.get(thing)


def test_a_list_with_a_non_ref_is_an_error(ray: ModuleType) -> None:
    with pytest.raises((ValueError, TypeError)):
        ray.get([ray.put(1), 2])


def test_timeout_zero_polls(ray: ModuleType) -> None:
    gate = make_gate(ray)
    ref = gate.wait.remote()
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(ref, timeout=0)
    ray.get(gate.open.remote())
    assert ray.get(ref) == "open"
    assert ray.get(ref, timeout=0) == "open"


def test_the_timeout_error_is_a_timeout_error(ray: ModuleType) -> None:
    gate = make_gate(ray)
    with pytest.raises(TimeoutError):
        ray.get(gate.wait.remote(), timeout=0.05)


def test_a_failure_is_both_a_ray_task_error_and_the_users_class(ray: ModuleType) -> None:
    class Mine(ValueError):
        def __init__(self, code: int) -> None:
            super().__init__(code)
            self.code = code

    @ray.remote
    def fail() -> None:
        raise Mine(7)

    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the class is the point
        ray.get(fail.remote())
    error = caught.value
    assert isinstance(error, ray.exceptions.RayTaskError)
    assert isinstance(error, Mine)
    assert type(error).__name__ == "RayTaskError(Mine)"
    assert isinstance(error.cause, Mine)
    assert error.cause.code == 7
    assert error.code == 7
    assert error.args == (error.cause,)


def test_a_failure_can_be_pickled(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise KeyError("lost")

    with pytest.raises(KeyError) as caught:
        ray.get(fail.remote())
    again = pickle.loads(cloudpickle.dumps(caught.value))
    assert isinstance(again, KeyError)
    assert isinstance(again, ray.exceptions.RayTaskError)
    assert again.cause.args == ("lost",)


def test_the_text_shows_where_it_happened_and_user_frames(ray: ModuleType) -> None:
    def deep() -> None:
        raise RuntimeError("here it is")

    @ray.remote
    def outer_function() -> None:
        deep()

    with pytest.raises(RuntimeError) as caught:
        ray.get(outer_function.remote())
    text = plain(str(caught.value))
    assert text.startswith("ray::outer_function() (pid=")
    assert "ip=" in text.splitlines()[0]
    assert "in deep" in text
    assert text.rstrip().endswith("RuntimeError: here it is")


def test_an_actors_failure_says_which_actor(ray: ModuleType) -> None:
    @ray.remote
    class Grumpy:
        def grumble(self) -> None:
            raise ValueError("no")

        def __repr__(self) -> str:
            return "Grumpy(the first)"

    actor = Grumpy.remote()
    with pytest.raises(ValueError, match="no") as caught:
        ray.get(actor.grumble.remote())
    first = plain(str(caught.value)).splitlines()[0]
    assert first.startswith("ray::Grumpy.grumble() (pid=")
    assert f"actor_id={actor._actor_id.hex()}" in first
    assert "repr=Grumpy(the first)" in first


def test_a_failed_dependency_fails_its_dependents_without_running_them(ray: ModuleType) -> None:
    counter = make_counter(ray)

    @ray.remote
    def fail() -> None:
        raise ZeroDivisionError("first cause")

    @ray.remote
    def after(_: Any) -> None:
        ray.get(counter.add.remote())

    with pytest.raises(ZeroDivisionError) as caught:
        ray.get(after.remote(after.remote(fail.remote())))
    text = str(caught.value)
    assert "At least one of the input arguments for this task could not be computed:" in text
    assert "first cause" in text
    assert ray.get(counter.value.remote()) == 0


def test_get_raises_at_the_first_error_even_if_others_never_end(ray: ModuleType) -> None:
    gate = make_gate(ray)

    @ray.remote(num_cpus=0)
    def fail() -> None:
        raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        ray.get([gate.wait.remote(), fail.remote()])


def test_an_exception_that_cannot_be_subclassed_is_a_plain_ray_task_error(
    ray: ModuleType,
) -> None:
    @ray.remote
    def fail() -> None:
        class Final(Exception):
            def __init_subclass__(cls, /, *args: Any, **kwargs: Any) -> None:
                raise TypeError("can't be subclassed")

        raise Final("x")

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(fail.remote())
    assert type(caught.value) is ray.exceptions.RayTaskError
    assert type(caught.value.cause).__name__ == "Final"


def test_an_exception_that_cannot_be_pickled_has_a_cause_that_says_so(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        import threading

        class Holder(Exception):
            def __init__(self) -> None:
                super().__init__("holds a lock")
                self.lock = threading.Lock()

        raise Holder

    with pytest.raises(ray.exceptions.RayTaskError) as caught:
        ray.get(fail.remote())
    assert isinstance(caught.value.cause, ray.exceptions.RayError)
    assert "isn't serializable" in str(caught.value.cause)


def test_an_exception_that_cannot_be_made_again_does_not_lose_the_error(ray: ModuleType) -> None:
    class TwoArguments(Exception):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} and {b}")

    @ray.remote
    def fail() -> None:
        raise TwoArguments(1, 2)

    with pytest.raises(ray.exceptions.RayError) as caught:
        ray.get(fail.remote())
    assert "1 and 2" in str(caught.value) or "TwoArguments" in str(caught.value)


def test_a_base_exception_in_a_task_is_a_ray_task_error(ray: ModuleType) -> None:
    class Odd(BaseException):
        pass

    @ray.remote
    def fail() -> None:
        raise Odd("odd")

    with pytest.raises(ray.exceptions.RayTaskError):
        ray.get(fail.remote())


#: Syntax that Python 3.10 doesn't have.
_EXCEPT_STAR = """
try:
    raise error
except* ValueError as group:
    caught.extend(type(e).__name__ for e in group.exceptions)
except* TypeError as group:
    caught.extend(type(e).__name__ for e in group.exceptions)
"""

if sys.version_info >= (3, 11):

    def test_exception_groups_keep_their_type(ray: ModuleType) -> None:
        group = builtins.ExceptionGroup

        @ray.remote
        def fail() -> None:
            raise group("many", [ValueError(1), TypeError(2)])

        with pytest.raises(group) as whole:
            ray.get(fail.remote())
        assert isinstance(whole.value, ray.exceptions.RayTaskError)
        assert len(whole.value.exceptions) == 2

        caught: list[str] = []
        exec(_EXCEPT_STAR, {"error": whole.value, "caught": caught})
        assert caught == ["ValueError", "TypeError"]


def test_an_error_got_in_a_task_passes_on_with_its_own_class(ray: ModuleType) -> None:
    @ray.remote
    def inner() -> None:
        raise IndexError("deep down")

    @ray.remote
    def outer() -> Any:
        return ray.get(inner.remote())

    with pytest.raises(IndexError, match="deep down"):
        ray.get(outer.remote())


def test_the_same_error_can_be_got_twice(ray: ModuleType) -> None:
    @ray.remote
    def fail() -> None:
        raise ValueError("again")

    ref = fail.remote()
    for _ in range(2):
        with pytest.raises(ValueError, match="again"):
            ray.get(ref)


def test_returned_exceptions_are_values(ray: ModuleType) -> None:
    @ray.remote
    def give() -> Any:
        return ValueError("just a value")

    assert isinstance(ray.get(give.remote()), ValueError)
