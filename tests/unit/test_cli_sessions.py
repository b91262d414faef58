"""`raykernel sessions` and `raykernel stop`, with the session folder played by a list."""

from __future__ import annotations

import pytest

from raykernel import cli
from raykernel.runtime import session
from raykernel.runtime.engines import launch
from raykernel.runtime.session import Home, SessionError, SessionInfo


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []

    def stop_session(name: str) -> bool:
        names.append(name)
        return name != "dead"

    monkeypatch.setattr(launch, "stop_session", stop_session)
    monkeypatch.setattr(session, "await_end", lambda folder, seconds: True)
    return names


def play(monkeypatch: pytest.MonkeyPatch, *infos: SessionInfo) -> None:
    monkeypatch.setattr(session, "list_sessions", lambda: list(infos))


def info(name: str, alive: bool = True) -> SessionInfo:
    return SessionInfo(name, 4242, 4241, 1_800_000_000.0, f"/s/{name}", "", alive)


def test_none_is_said(
    monkeypatch: pytest.MonkeyPatch, stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch)
    assert cli.main(["sessions"]) == 0
    assert cli.main(["stop"]) == 0
    assert capsys.readouterr().out == "no sessions\nno sessions\n"
    assert stopped == []


def test_each_is_listed_with_its_state(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, info("first"), info("second", alive=False))
    assert cli.main(["sessions"]) == 0
    _, first, second = capsys.readouterr().out.splitlines()
    assert first.split()[:2] == ["first", "4242"]
    assert first.endswith("alive")
    assert second.endswith("ended without cleaning up")


def test_who_uses_a_session_and_when_it_ends_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 1_800_000_300.0
    monkeypatch.setattr("time.time", lambda: now)
    used, idle = info("used"), info("idle")
    used.drivers = 2
    idle.drivers, idle.idle_since, idle.ttl = 0, now - 42, 600.0
    idle.home = Home("/run/kernel-1.json", "/home/me/lab.ipynb")
    play(monkeypatch, used, idle)
    assert cli.main(["sessions"]) == 0
    titles, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert titles[-5:] == ["drivers", "idle", "ttl", "notebook", "state"]
    assert rows[0][-5:] == ["2", "-", "-", "-", "alive"]
    assert rows[1][-7:] == ["0", "42", "s", "10", "min", "lab.ipynb", "alive"]


def test_the_only_one_needs_no_name(monkeypatch: pytest.MonkeyPatch, stopped: list[str]) -> None:
    play(monkeypatch, info("only"))
    assert cli.main(["stop"]) == 0
    assert stopped == ["only"]


def test_a_dead_one_is_cleared_away(
    monkeypatch: pytest.MonkeyPatch, stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, info("dead", alive=False))
    assert cli.main(["stop"]) == 0
    assert capsys.readouterr().out == "dead had ended; removed what it left behind\n"


def test_of_several_one_must_be_named(
    monkeypatch: pytest.MonkeyPatch, stopped: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    play(monkeypatch, info("a"), info("b"))
    assert cli.main(["stop"]) == 1
    assert "a, b" in capsys.readouterr().err
    assert stopped == []
    assert cli.main(["stop", "b"]) == 0
    assert stopped == ["b"]
    assert cli.main(["stop", "--all"]) == 0
    assert stopped == ["b", "a", "b"]


def test_name_and_all_contradict(monkeypatch: pytest.MonkeyPatch, stopped: list[str]) -> None:
    play(monkeypatch, info("a"))
    assert cli.main(["stop", "a", "--all"]) == 1
    assert stopped == []


def test_what_the_session_folder_says_is_passed_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unknown(name: str) -> bool:
        raise SessionError(f"no session named {name!r}")

    play(monkeypatch)
    monkeypatch.setattr(launch, "stop_session", unknown)
    assert cli.main(["stop", "ghost"]) == 1
    assert "no session named 'ghost'" in capsys.readouterr().err
