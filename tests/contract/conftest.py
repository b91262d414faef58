"""The API contract, held against two engines: raykernel, and Ray itself where it is installed.

Each test gets the module under test as `ray` (with a session of 4 CPUs, shared by its test module)
or as `no_session` (the test starts its own). That every test also runs on Ray is what makes it a
contract: Ray says what is right.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.util
import os
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import expect_nothing_left
from tests.footprint import Footprint

ENGINES: list[Any] = ["raykernel"]
if importlib.util.find_spec("ray") is not None:
    ENGINES.append(pytest.param("ray", marks=[pytest.mark.ray, pytest.mark.timeout(0)]))

#: What a test may take on Ray, in seconds of this process: where the whole machine stands still, so
#: do they. Ray's calls wait outside Python, where pytest-timeout's alarm is lost, but an interrupt
#: is heard.
PATIENCE = 100
#: What a test and its fixtures may take on Ray before the process is ended from outside Python: a
#: driver whose Ray has died while it joins waits for it with the GIL in hand.
LAST_RESORT = 200

#: What keeps Ray quiet and small. raykernel takes the same keywords.
QUIET: dict[str, Any] = {
    "include_dashboard": False,
    "log_to_driver": False,
    "logging_level": "ERROR",
    "object_store_memory": 256 * 2**20,
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    if item.get_closest_marker("ray") is None:
        return (yield)
    faulthandler.dump_traceback_later(LAST_RESORT, exit=True, file=sys.__stderr__)
    try:
        return (yield)
    finally:
        faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    marker = pyfuncitem.get_closest_marker("ray")
    if marker is None:
        return (yield)
    patience = marker.kwargs.get("patience", PATIENCE)
    late, done = threading.Event(), threading.Event()

    def interrupt() -> None:
        if not any(done.wait(1) for _ in range(patience)):
            late.set()
            os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        return (yield)
    except KeyboardInterrupt:
        if not late.is_set():
            raise
        pytest.fail(f"still waiting after {patience} seconds")
    finally:
        done.set()


@pytest.fixture(scope="module", params=ENGINES)
def engine_name(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture(scope="module", autouse=True)
def _module_leaves_nothing(engine_name: str) -> Iterator[list[str]]:
    """As for all tests, except that what Ray leaves behind is not ours to judge."""
    reported: list[str] = []
    before = Footprint.take()
    yield reported
    if engine_name != "ray":
        expect_nothing_left(before, "this module's fixtures", reported)


@pytest.fixture(autouse=True)
def _test_leaves_nothing(engine_name: str, _module_leaves_nothing: list[str]) -> Iterator[None]:
    before = Footprint.take()
    yield
    if engine_name != "ray":
        expect_nothing_left(before, "this test", _module_leaves_nothing)


@pytest.fixture(scope="module")
def engine(engine_name: str, _module_leaves_nothing: list[str]) -> Iterator[ModuleType]:
    """The module under test. What a test starts ends with its module at the latest."""
    module = importlib.import_module(engine_name)
    with pytest.MonkeyPatch.context() as patch:
        if engine_name == "ray":  # else it joins whatever cluster this machine happens to run
            patch.setenv("RAY_ADDRESS", "local")
        yield module
        module.shutdown()


def start(engine: ModuleType, num_cpus: int) -> None:
    """A session for a module's tests. Ray gives its own processes 30 seconds to come up, whatever
    the machine has to do besides: it is asked once more."""
    try:
        engine.init(num_cpus=num_cpus, **QUIET)
    except Exception as error:
        if "timed out during startup" not in str(error):
            raise
        engine.shutdown()
        engine.init(num_cpus=num_cpus, **QUIET)


@pytest.fixture(scope="module")
def ray(engine: ModuleType) -> Iterator[ModuleType]:
    """The module under test, with a session for all tests of the module."""
    start(engine, num_cpus=4)
    yield engine
    engine.shutdown()


@pytest.fixture
def no_session(engine: ModuleType) -> Iterator[ModuleType]:
    """The module under test, without a session before and after the test."""
    engine.shutdown()
    yield engine
    engine.shutdown()
