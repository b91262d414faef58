"""Sessions for the tests. Use one of the two in a module, since a process has one session."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

import raykernel


@pytest.fixture
def ray_session() -> Iterator[ModuleType]:
    """`raykernel` with a session of 2 CPUs of its own, for tests that break things."""
    raykernel.init(num_cpus=2)
    yield raykernel
    raykernel.shutdown()


@pytest.fixture(scope="module")
def shared_session() -> Iterator[ModuleType]:
    """`raykernel` with a session of 2 CPUs, the same for every test of the module."""
    raykernel.init(num_cpus=2)
    yield raykernel
    raykernel.shutdown()
