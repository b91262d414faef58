"""The common subset of the API on both engines: environments, threads, and patterns to avoid."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType

import pytest

import raykernel
from tests.ray.common import engine, taken_over, util  # noqa: F401 - fixtures

globals().update(
    taken_over(
        "contract.test_runtime_env",
        "contract.test_threads_and_forks",
        "contract.test_anti_patterns",
        without={},
    )
)


@pytest.fixture(scope="module", params=["local engine", "Ray cluster"])
def ray(request: pytest.FixtureRequest) -> Iterator[ModuleType]:
    """As in common.py, with the job's variables that test_runtime_env looks for."""
    job = {"env_vars": {"CONTRACT_JOB": "job", "CONTRACT_BOTH": "job"}}
    if request.param == "local engine":
        raykernel.init(num_cpus=4, object_store_memory=256 * 2**20, runtime_env=job)
    else:
        address = request.getfixturevalue("cluster").address
        raykernel.init(address=address, runtime_env=job)
    yield raykernel
    raykernel.shutdown()
