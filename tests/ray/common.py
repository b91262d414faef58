"""The common subset of the API: the contract's own tests, on raykernel's two engines.

Each test module here takes tests of tests/contract and tests/util over by `taken_over`, and the
fixtures below: every test gets `ray`, which is raykernel on the local engine and then raykernel on
a Ray cluster of two nodes; those that take raykernel for granted are marked to use it. What
a single machine alone can promise is left out by name, with why.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from _pytest.fixtures import FixtureFunctionDefinition

import raykernel

Util = Callable[[str], ModuleType]
_OURS = ("engine", "ray", "_session")


@pytest.fixture(scope="module", params=["local engine", "Ray cluster"])
def ray(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """raykernel, with 4 CPUs: of this machine, or of two nodes with 2 each."""
    if request.param == "local engine":
        raykernel.init(num_cpus=4, object_store_memory=256 * 2**20)
    else:
        raykernel.init(address=request.getfixturevalue("cluster").address)
    yield raykernel
    raykernel.shutdown()


@pytest.fixture(scope="module")
def engine(ray: ModuleType) -> ModuleType:
    return ray


@pytest.fixture(scope="module")
def util(ray: ModuleType) -> Util:
    return lambda name: importlib.import_module(f"raykernel.util.{name}")


def taken_over(*modules: str, without: dict[str, str]) -> dict[str, Any]:
    """The tests of these modules under `tests`, and the fixtures of theirs; all but the tests that
    `without` gives a reason for."""
    left_out = dict(without)
    found: dict[str, Any] = {}
    for name in modules:
        module = importlib.import_module(f"tests.{name}")
        for key, value in vars(module).items():
            if key.startswith("test_") and left_out.pop(key, None) is None:
                found[f"{name.rpartition('.')[2]}_{key[5:]}"] = value
            elif isinstance(value, FixtureFunctionDefinition) and key not in _OURS:
                assert key not in found, f"two of the modules have a fixture {key}"
                found[key] = value
    assert not left_out, f"no such tests: {sorted(left_out)}"
    return found
