"""Exact behaviours: options are checked when they are given."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest


def task() -> None:
    pass


class Actor:
    pass


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_cpus", "1"),
        ("num_gpus", [1]),
        ("memory", "1"),
        ("resources", 1),
        ("accelerator_type", 1),
        ("max_calls", "1"),
        ("max_calls", 1.5),
        ("max_retries", "1"),
        ("num_returns", 1.5),
        ("retry_exceptions", "yes"),
        ("name", 1),
        ("runtime_env", "x"),
        ("scheduling_strategy", 1),
        ("enable_task_events", 1),
    ],
)
def test_a_wrong_type_is_a_type_error_that_names_the_option(
    engine: ModuleType, name: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=f"The type of keyword '{name}' must be"):
        engine.remote(**{name: value})(task)


@pytest.mark.parametrize("name", ["max_restarts", "max_task_retries", "max_pending_calls"])
def test_a_bad_count_of_an_actor_is_a_value_error(engine: ModuleType, name: str) -> None:
    with pytest.raises(
        ValueError, match="only accepts None, 0, -1 or a positive integer, where -1 represents"
    ):
        engine.remote(**{name: -2})(Actor)
    with pytest.raises(TypeError, match=f"The type of keyword '{name}' must be"):
        engine.remote(**{name: "1"})(Actor)


def test_a_bad_count_of_a_task_is_a_value_error(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="only accepts None, 0, -1 or a positive integer"):
        engine.remote(max_retries=-2)(task)
    with pytest.raises(ValueError, match="only accepts None, 0 or a positive integer"):
        engine.remote(max_calls=-1)(task)
    with pytest.raises(ValueError, match="num_returns"):
        engine.remote(num_returns=-1)(task)


@pytest.mark.parametrize("name", ["num_cpus", "num_gpus", "memory"])
def test_a_negative_resource_is_a_value_error(engine: ModuleType, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be negative"):
        engine.remote(**{name: -1})(task)


def test_a_resource_finer_than_a_ten_thousandth_is_a_value_error(engine: ModuleType) -> None:
    message = "precision .* cannot go beyond 0.0001"
    with pytest.raises(ValueError, match=message):
        engine.remote(num_cpus=0.00001)(task)
    with pytest.raises(ValueError, match=message):
        engine.remote(resources={"x": 0.00001})(task)
    engine.remote(num_cpus=1 / 3)(task)


@pytest.mark.parametrize("name", ["CPU", "GPU"])
def test_default_resources_have_keywords_of_their_own(engine: ModuleType, name: str) -> None:
    with pytest.raises(ValueError, match="num_cpus"):
        engine.remote(resources={name: 1})(task)


def test_an_unknown_option_is_a_value_error_that_names_it(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="Invalid option keyword no_such_option"):
        engine.remote(no_such_option=1)(task)
    with pytest.raises(ValueError, match="Invalid option keyword max_restarts for remote"):
        engine.remote(max_restarts=1)(task)
    with pytest.raises(ValueError, match="Invalid option keyword max_calls for actors"):
        engine.remote(max_calls=1)(Actor)


def test_options_are_checked_in_options_too(engine: ModuleType) -> None:
    with pytest.raises(TypeError, match="num_cpus"):
        engine.remote(task).options(num_cpus="1")
    with pytest.raises(ValueError, match="Invalid option keyword"):
        engine.remote(Actor).options(no_such_option=1)


def test_some_options_belong_to_the_definition(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"'max_calls' is not supported in '.options"):
        engine.remote(task).options(max_calls=1)
    with pytest.raises(ValueError, match="'concurrency_groups' is not supported in"):
        engine.remote(Actor).options(concurrency_groups={"io": 1})


def test_retry_exceptions_takes_exceptions(engine: ModuleType) -> None:
    with pytest.raises(ValueError, match="boolean or a list of exceptions"):
        engine.remote(retry_exceptions=[1])(task)
    engine.remote(retry_exceptions=[ValueError, KeyError])(task)
    engine.remote(retry_exceptions=True)(task)


def test_remote_takes_a_function_or_a_class(engine: ModuleType) -> None:
    for wrong in ((), (1,), (task, 1)):
        with pytest.raises(AssertionError, match="must be applied"):
            engine.remote(*wrong)


def test_method_takes_known_keywords_only(engine: ModuleType) -> None:
    for wrong in ({"no_such_option": 1}, {"num_cpus": 1}):
        with pytest.raises(AssertionError, match=next(iter(wrong))):
            engine.method(**wrong)
    with pytest.raises(AssertionError, match="must be applied"):
        engine.method(1)
