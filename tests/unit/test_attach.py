"""Which session a notebook comes back to."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from raykernel.home import home_of
from raykernel.runtime.attach import Build, find, mismatch
from raykernel.runtime.session import Home, SessionInfo

MINE = Build("3.11", "0.1.0", "/venv")


def info(
    name: str, kernel: str = "", notebook: str = "", started: float = 0.0, **fields: Any
) -> SessionInfo:
    return SessionInfo(
        name, 1, 2, started, f"/s/{name}", "", home=Home(kernel, notebook),
        **{"python": "3.11", "raykernel": "0.1.0", "prefix": "/venv", **fields},
    )  # fmt: skip


def test_the_kernels_own_session_is_found_also_while_its_last_driver_seems_there() -> None:
    mine, other = info("mine", "k1", drivers=1), info("other", "k2", drivers=0)
    assert find([other, mine], Home("k1")) is mine
    assert find([other, mine], Home("k3")) is None


def test_the_notebooks_session_is_found_by_another_kernel_if_nobody_uses_it() -> None:
    used = info("used", "k1", "/a.ipynb", drivers=1)
    free = info("free", "k2", "/a.ipynb", drivers=0)
    assert find([used], Home("k9", "/a.ipynb")) is None
    assert find([used, free], Home("k9", "/a.ipynb")) is free
    assert find([used, free], Home("k9", "/b.ipynb")) is None


def test_the_newest_living_one_counts_and_the_kernels_before_the_paths() -> None:
    old, new = info("old", "k", "/a", 1.0), info("new", "k", "/a", 2.0)
    dead = info("dead", "k", "/a", 3.0, alive=False)
    by_path = info("by path", "k2", "/a", 4.0, drivers=0)
    assert find([new, old, dead, by_path], Home("k", "/a")) is new


def test_who_has_no_home_finds_nothing() -> None:
    assert find([info("one", drivers=0)], Home()) is None


def test_another_python_or_raykernel_is_told() -> None:
    assert mismatch(info("s"), MINE, True) == ""
    assert "Python 3.12" in mismatch(info("s", python="3.12"), MINE, False)
    assert "raykernel 0.0.9" in mismatch(info("s", raykernel="0.0.9"), MINE, False)
    assert mismatch(info("s", prefix="/other"), MINE, False) == ""
    assert "/other" in mismatch(info("s", prefix="/other"), MINE, True)


# -- where a shell is at home ---------------------------------------------------------------------


def shell(allow_stdin: bool = True, **names: object) -> Any:
    kernel = SimpleNamespace(
        _allow_stdin=allow_stdin, parent=SimpleNamespace(abs_connection_file="/run/kernel-1.json")
    )
    return SimpleNamespace(kernel=kernel, user_ns=names)


@pytest.fixture
def parent_environment(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    environment: dict[str, str] = {}
    parent = SimpleNamespace(environ=lambda: environment)
    monkeypatch.setattr(psutil, "Process", lambda: SimpleNamespace(parent=lambda: parent))
    monkeypatch.delenv("JPY_SESSION_NAME", raising=False)
    return environment


def test_a_kernel_is_known_by_its_file_and_its_notebook(
    monkeypatch: pytest.MonkeyPatch, parent_environment: dict[str, str]
) -> None:
    assert home_of(shell()) == Home("/run/kernel-1.json", "")
    assert home_of(shell(__vsc_ipynb_file__="/v.ipynb")) == Home("/run/kernel-1.json", "/v.ipynb")
    monkeypatch.setenv("JPY_SESSION_NAME", "/a.ipynb")
    assert home_of(shell()) == Home("/run/kernel-1.json", "/a.ipynb")


def test_a_kernel_started_from_a_notebook_is_not_that_notebook(
    monkeypatch: pytest.MonkeyPatch, parent_environment: dict[str, str]
) -> None:
    monkeypatch.setenv("JPY_SESSION_NAME", "/a.ipynb")
    parent_environment.update(os.environ)
    assert home_of(shell()) == Home("/run/kernel-1.json", "")


def test_nobody_comes_back_to_a_terminal_or_a_headless_run(
    monkeypatch: pytest.MonkeyPatch, parent_environment: dict[str, str]
) -> None:
    assert home_of(SimpleNamespace(user_ns={})) is None
    assert home_of(shell(allow_stdin=False)) is None
    monkeypatch.setenv("JPY_SESSION_NAME", "/a.ipynb")
    assert home_of(shell(allow_stdin=False)) is not None
