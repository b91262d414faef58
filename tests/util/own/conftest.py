"""What `raykernel.util` has and Ray has not, or has otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import raykernel


@pytest.fixture(scope="module")
def engine_name() -> str:
    return "raykernel"


@pytest.fixture(scope="module")
def session(_module_leaves_nothing: list[str]) -> Iterator[None]:
    """A session of 2 CPUs for the module's tests."""
    raykernel.init(num_cpus=2)
    yield
    raykernel.shutdown()
