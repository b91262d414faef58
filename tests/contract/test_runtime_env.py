"""Semantics 9 and exact behaviours: isolation and runtime environments."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.contract.conftest import QUIET


@pytest.fixture(scope="module")
def ray(engine: ModuleType) -> Iterator[ModuleType]:
    """A session whose job sets environment variables."""
    variables = {"CONTRACT_JOB": "job", "CONTRACT_BOTH": "job"}
    engine.init(num_cpus=2, runtime_env={"env_vars": variables}, **QUIET)
    yield engine
    engine.shutdown()


def make_read(ray: ModuleType) -> Any:
    @ray.remote
    def read(*names: str) -> list[str | None]:
        return [os.environ.get(name) for name in names]

    return read


def test_the_jobs_variables_reach_tasks_and_actors(ray: ModuleType) -> None:
    assert ray.get(make_read(ray).remote("CONTRACT_JOB")) == ["job"]

    @ray.remote
    class Reader:
        def read(self) -> Any:
            return os.environ.get("CONTRACT_JOB")

    assert ray.get(Reader.remote().read.remote()) == "job"
    assert "CONTRACT_JOB" not in os.environ


def test_a_tasks_variables_are_its_own(ray: ModuleType) -> None:
    read = make_read(ray)
    env = {"env_vars": {"CONTRACT_OWN": "mine"}}
    assert ray.get(read.options(runtime_env=env).remote("CONTRACT_OWN")) == ["mine"]
    assert ray.get([read.remote("CONTRACT_OWN") for _ in range(4)]) == [[None]] * 4


def test_an_actors_variables_are_its_own(ray: ModuleType) -> None:
    @ray.remote(runtime_env={"env_vars": {"CONTRACT_ACTOR": "a"}})
    class Reader:
        def read(self) -> Any:
            return os.environ.get("CONTRACT_ACTOR")

    reader = Reader.remote()
    assert ray.get(reader.read.remote()) == "a"
    assert ray.get(make_read(ray).remote("CONTRACT_ACTOR")) == [None]


def test_the_calls_word_goes_before_the_jobs(ray: ModuleType) -> None:
    env = {"env_vars": {"CONTRACT_BOTH": "call"}}
    read = make_read(ray).options(runtime_env=env)
    assert ray.get(read.remote("CONTRACT_BOTH", "CONTRACT_JOB")) == ["call", "job"]


def test_children_inherit_their_parents_variables(ray: ModuleType) -> None:
    read = make_read(ray)

    @ray.remote
    def parent() -> Any:
        names = ("CONTRACT_JOB", "CONTRACT_PARENT", "CONTRACT_BOTH", "CONTRACT_CHILD")
        inherited = read.remote(*names)
        env = {"env_vars": {"CONTRACT_BOTH": "child", "CONTRACT_CHILD": "child"}}
        own = read.options(runtime_env=env).remote(*names)
        return ray.get([inherited, own])

    env = {"env_vars": {"CONTRACT_PARENT": "parent", "CONTRACT_BOTH": "parent"}}
    inherited, own = ray.get(parent.options(runtime_env=env).remote())
    assert inherited == ["job", "parent", "parent", None]
    assert own == ["job", "parent", "child", "child"]


def test_variables_expand(ray: ModuleType) -> None:
    env = {"env_vars": {"PATH": "/contract/bin:${PATH}"}}
    (path,) = ray.get(make_read(ray).options(runtime_env=env).remote("PATH"))
    assert path.startswith("/contract/bin:/")
    assert "${PATH}" not in path


def test_what_a_task_sets_by_itself_does_not_reach_other_environments(ray: ModuleType) -> None:
    @ray.remote(runtime_env={"env_vars": {"CONTRACT_A": "1"}})
    def leave_a_trace() -> None:
        os.environ["CONTRACT_TRACE"] = "left"

    ray.get(leave_a_trace.remote())
    env = {"env_vars": {"CONTRACT_A": "2"}}
    assert ray.get(make_read(ray).options(runtime_env=env).remote("CONTRACT_TRACE")) == [None]


def test_the_same_environment_reuses_its_worker(ray: ModuleType) -> None:
    @ray.remote(runtime_env={"env_vars": {"CONTRACT_REUSE": "1"}})
    def pid() -> int:
        return os.getpid()

    pids = {ray.get(pid.remote()) for _ in range(5)}
    assert len(pids) <= 2


def test_env_vars_are_checked(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match="env_vars"):
        make_read(ray).options(runtime_env={"env_vars": {"A": 1}}).remote("A")


@pytest.mark.parametrize("pip", [1, ["numpy", 1], {"packages": ["numpy"], "pip_check": "yes"}])
def test_pip_is_checked(ray: ModuleType, pip: Any) -> None:
    with pytest.raises(TypeError, match="pip"):
        make_read(ray).options(runtime_env={"pip": pip}).remote("A")


@pytest.mark.parametrize("pip", [{"pip_check": True}, {"packages": ["numpy"], "check": True}])
def test_fields_of_pip_are_checked(ray: ModuleType, pip: Any) -> None:
    with pytest.raises(ValueError, match="pip"):
        make_read(ray).options(runtime_env={"pip": pip}).remote("A")


def test_a_file_of_requirements_must_be_there(ray: ModuleType) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        make_read(ray).options(runtime_env={"pip": "/nowhere/requirements.txt"}).remote("A")


def test_a_runtime_env_is_a_dict(ray: ModuleType) -> None:
    with pytest.raises(TypeError, match="runtime_env"):
        make_read(ray).options(runtime_env="nothing").remote("A")


def test_a_working_dir_for_one_task_is_a_value_error(ray: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="working_dir"):
        make_read(ray).options(runtime_env={"working_dir": str(tmp_path)}).remote("A")


def test_runtime_env_objects_do_as_well(ray: ModuleType) -> None:
    env = ray.runtime_env.RuntimeEnv(env_vars={"CONTRACT_OBJECT": "yes"})
    assert env["env_vars"] == {"CONTRACT_OBJECT": "yes"}
    assert ray.get(make_read(ray).options(runtime_env=env).remote("CONTRACT_OBJECT")) == ["yes"]


def test_the_context_tells_the_environment(ray: ModuleType) -> None:
    @ray.remote(runtime_env={"env_vars": {"CONTRACT_SEEN": "1"}})
    def mine() -> Any:
        return dict(ray.get_runtime_context().runtime_env["env_vars"])

    seen = ray.get(mine.remote())
    assert seen["CONTRACT_SEEN"] == "1"
    assert seen["CONTRACT_JOB"] == "job"


def test_tasks_start_in_the_drivers_directory(ray: ModuleType) -> None:
    @ray.remote
    def where() -> str:
        return os.getcwd()

    assert ray.get(where.remote()) == os.getcwd()
