"""`pip` of a runtime environment: what it becomes on its way to the worker, and what the head does
with the word of a worker that could not get it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from raykernel.runtime import environments
from raykernel.runtime import messages as m
from raykernel.runtime.instructions import Send
from raykernel.runtime.invariants import validate
from raykernel.runtime_env import RuntimeEnv, canonical, merged

from .kit import Process, Session, errors, ref, started


def pip_of(value: Any) -> Any:
    return json.loads(canonical({"pip": value}) or "{}").get("pip")


@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (["b==1", "a", "b==1"], ["a", "b==1"]),
        (["a  # why"], ["a"]),
        (["./tiny.whl"], ["{cwd}/tiny.whl"]),
        (["wheels/tiny.whl"], ["{cwd}/wheels/tiny.whl"]),
        (["../tiny[extra]"], ["{above}/tiny[extra]"]),
        (["-e ./tiny", "--no-index"], ["--no-index", "-e {cwd}/tiny"]),
        (["--find-links=./wheels"], ["--find-links {cwd}/wheels"]),
        (["tiny @ file:///x/tiny.whl"], ["tiny @ file:///x/tiny.whl"]),
        (["https://example.org/tiny.whl"], ["https://example.org/tiny.whl"]),
        (["/x/tiny.whl"], ["/x/tiny.whl"]),
    ],
)
def test_requirements_are_sorted_and_found_from_anywhere(
    given: list[str], lines: list[str]
) -> None:
    cwd = os.getcwd()
    there = [line.format(cwd=cwd, above=os.path.dirname(cwd)) for line in lines]
    assert pip_of(given) == {"packages": there}


def test_a_file_of_requirements_is_read_at_once(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# what we need\n\ntiny \\\n  >= 1.0\n-r more.txt\n")
    env = canonical({"pip": str(file)})
    file.unlink()
    assert json.loads(env)["pip"] == {"packages": [f"-r {tmp_path}/more.txt", "tiny   >= 1.0"]}


def test_the_order_makes_no_other_environment() -> None:
    assert canonical({"pip": ["a", "b"]}) == canonical({"pip": {"packages": ["b", "a"]}})


def test_no_packages_are_no_environment() -> None:
    assert canonical({"pip": []}) == ""
    assert canonical({"pip": {"packages": [], "pip_check": True}}) == ""


@pytest.mark.parametrize(
    ("pip", "error", "about"),
    [
        (1, TypeError, "pip"),
        (["a", 1], TypeError, "pip"),
        ({"pip_check": True}, ValueError, "packages"),
        ({"packages": ["a"], "check": True}, ValueError, "check"),
        ({"packages": ["a"], "pip_check": "yes"}, TypeError, "pip_check"),
        ({"packages": ["a"], "pip_version": 22}, TypeError, "pip_version"),
        ({"packages": ["a"], "pip_install_options": [1]}, TypeError, "pip_install_options"),
        ("/nowhere/requirements.txt", ValueError, "/nowhere/requirements.txt"),
    ],
)
def test_pip_is_checked(pip: Any, error: type[Exception], about: str) -> None:
    with pytest.raises(error, match=about):
        canonical({"pip": pip})


def test_an_inner_list_of_packages_takes_the_place_of_an_outer() -> None:
    outer = canonical({"pip": ["a"], "env_vars": {"A": "1"}})
    both = json.loads(merged(outer, canonical({"pip": ["b"]})))
    assert both == {"env_vars": {"A": "1"}, "pip": {"packages": ["b"]}}


def test_a_runtime_env_tells_its_packages() -> None:
    env = RuntimeEnv(pip=["b", "a"])
    assert env.has_pip()
    assert env.pip_config() == {"packages": ["a", "b"]}
    assert not RuntimeEnv().has_pip()
    assert RuntimeEnv().pip_config() == {}


# -- made once --------------------------------------------------------------------------------


def test_what_a_killed_installation_left_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "_run", lambda command, env, deadline: None)
    wanted = {"pip": {"packages": ["a"]}}
    folder = environments.virtual_environment(wanted, [])
    (folder / "complete").unlink()
    (folder / "half").touch()
    assert environments.virtual_environment(wanted, []) == folder
    assert not (folder / "half").exists()
    (folder / "kept").touch()
    assert environments.virtual_environment(wanted, []) == folder
    assert (folder / "kept").exists()


def test_a_failed_installation_leaves_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(command: list[str], env: dict[str, str], deadline: float | None) -> None:
        raise environments.SetupFailed("no such package")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "_run", fail)
    wanted = {"pip": {"packages": ["a"]}}
    with pytest.raises(environments.SetupFailed, match="no such package"):
        environments.virtual_environment(wanted, [])
    assert [p.suffix for p in environments.cache().iterdir()] == [".lock"]
    monkeypatch.setattr(environments, "_run", lambda command, env, deadline: None)
    assert (environments.virtual_environment(wanted, []) / "bin" / "python").exists()


def test_a_wheel_built_anew_is_another_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(environments, "_run", lambda command, env, deadline: None)
    source = tmp_path / "source"
    (source / "build").mkdir(parents=True)
    code = source / "tiny.py"
    code.write_text("1")
    wanted = {"pip": {"packages": [f"-e {source}"]}}
    first = environments.virtual_environment(wanted, [])
    (source / "build" / "left").touch()
    assert environments.virtual_environment(wanted, []) == first
    code.write_text("22")
    assert environments.virtual_environment(wanted, []) != first


# -- the head ---------------------------------------------------------------------------------


def test_a_worker_without_its_environment_fails_what_waits_for_it_and_nothing_else() -> None:
    session = Session(cpus=1)
    env = '{"pip": {"packages": ["nothing"]}}'
    broken = session.spec(extra=m.TaskExtra(env=env))
    fine = session.spec()
    (worker,) = started(session.driver(broken, m.Want([ref(broken)])))
    session.driver(fine)
    out = session.scheduler.hello(m.Hello("worker", worker, 1, trouble="pip said no"))
    validate(session.scheduler)
    (error,) = errors(out, session.driver)
    assert error.kind == "setup"
    assert error.message.endswith("its runtime environment failed: pip said no")
    assert any(isinstance(i, Send) and i.to == worker for i in out)  # it waits for that word
    assert list(session.scheduler.tasks) == [fine.id]
    assert started(session.die(Process(session, worker), 0)) == []


def test_an_actor_without_its_environment_is_dead_for_that_reason() -> None:
    session = Session(cpus=1)
    creation = session.actor()
    assert creation.extra is not None
    extra = msgspec.structs.replace(creation.extra, env='{"pip": {"packages": ["nothing"]}}')
    creation = msgspec.structs.replace(creation, extra=extra)
    call = session.call(creation)
    (worker,) = started(session.driver(creation, call, m.Want([ref(call)])))
    out = session.scheduler.hello(m.Hello("worker", worker, 1, trouble="pip said no"))
    validate(session.scheduler)
    assert [e.kind for e in errors(out, session.driver)] == ["setup"]
    later = session.call(creation)
    assert [e.kind for e in errors(session.driver(later), session.driver)] == ["setup"]


@pytest.mark.parametrize("start", ["", "file://", "file://localhost"])
def test_a_folder_may_be_named_by_a_path_or_a_local_uri(tmp_path, start):
    folder = tmp_path / "a b"
    (folder / "tools").mkdir(parents=True)
    place = start + str(folder).replace(" ", "%20" if start else " ")
    made = json.loads(canonical({"py_modules": [f"{place}/tools"], "working_dir": place}))
    assert made == {"py_modules": [str(folder)], "working_dir": str(folder)}


def test_a_uri_of_another_place_is_refused():
    with pytest.raises(ValueError, match="there is no"):
        canonical({"py_modules": ["s3://bucket/tools.zip"]})
