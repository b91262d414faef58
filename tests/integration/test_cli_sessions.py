"""`raykernel sessions` and `raykernel stop` see and end another process's session."""

from __future__ import annotations

import subprocess
import sys

import pytest

from raykernel import cli
from raykernel.runtime import session

DRIVER = """
import sys
import raykernel as ray
ray.init(num_cpus=1)
f = ray.remote(lambda: 1)
ray.get(f.remote())
print("ready", flush=True)
sys.stdin.read()
"""


def test_a_session_is_listed_and_stopped_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        try:
            assert driver.stdout.readline() == "ready\n"
            [mine] = [info for info in session.list_sessions() if info.driver == driver.pid]
            assert cli.main(["sessions"]) == 0
            assert f"{mine.name} " in capsys.readouterr().out

            assert cli.main(["stop", mine.name]) == 0
            assert capsys.readouterr().out == f"stopped {mine.name}\n"
            assert mine.name not in [info.name for info in session.list_sessions()]
            assert driver.poll() is None, "the program lives on, only its session is gone"
        finally:
            driver.stdin.close()
            driver.wait(timeout=30)


def test_a_session_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stop", "no-such-session"]) == 1
    assert "no session named 'no-such-session'" in capsys.readouterr().err
    assert cli.main(["stop", "../../etc"]) == 1
    assert "is no session name" in capsys.readouterr().err
