"""`raykernel.util` and, where it is installed, `ray.util`: the same tests on both.

As in tests/contract, each test gets the module under test as `ray`, here with a session of 2 CPUs;
`util` gives the parts of its `util`. What only raykernel has is tested in tests/util/own.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest

from tests.contract.conftest import (  # noqa: F401 - fixtures and a hook
    _module_leaves_nothing,
    _test_leaves_nothing,
    engine,
    engine_name,
    pytest_pyfunc_call,
    pytest_runtest_protocol,
    start,
)

Util = Callable[[str], ModuleType]


@pytest.fixture(scope="module")
def ray(engine: ModuleType) -> Iterator[ModuleType]:  # noqa: F811 - the fixture above
    start(engine, num_cpus=2)
    yield engine
    engine.shutdown()


@pytest.fixture(scope="module")
def util(ray: ModuleType) -> Util:
    """`util("queue")` is the module `ray.util.queue` of the session's engine."""
    return lambda name: importlib.import_module(f"{ray.__name__}.util.{name}")
