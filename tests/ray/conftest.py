"""A Ray cluster of two nodes on this machine, for as long as a module's tests need it.

Only where Ray is installed; everything here is marked `ray`. Ray leaves processes and files behind
for a while after its end: what it leaves is not ours to judge, as in the contract tests.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import pytest

import raykernel
from tests.contract.conftest import (  # noqa: F401 - hooks
    pytest_pyfunc_call,
    pytest_runtest_protocol,
)

if importlib.util.find_spec("ray") is None:
    collect_ignore_glob = ["test_*.py"]
elif importlib.util.find_spec("grpc") is None:  # which Ray's client needs, and `[ray]` brings
    collect_ignore_glob = ["test_by_the_client.py"]


SECOND: Mapping[str, Any] = {"resources": {"second": 2}}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/ray/" in str(item.path):
            item.add_marker(pytest.mark.ray)
            item.add_marker(pytest.mark.timeout(0))  # each ends as those of the contract do


@pytest.fixture(scope="module", autouse=True)
def _module_leaves_nothing() -> None:
    """Instead of the one for all tests."""


@pytest.fixture(autouse=True)
def _test_leaves_nothing() -> None:
    """Instead of the one for all tests."""


def two_nodes(first: Mapping[str, Any], second: Mapping[str, Any] = SECOND) -> Any:
    """A cluster of two nodes with 2 CPUs each, unless told otherwise. Ray gives a node 30 seconds
    to come up: where the machine stood still meanwhile, it is tried again."""
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 2, "object_store_memory": 200 * 2**20}
    for last in (False, False, True):
        made = Cluster()
        try:
            made.add_node(**{**small, **first})
            made.second = made.add_node(**{**small, **second})
        except Exception:
            made.shutdown()
            if last:
                raise
        else:
            break
    return made


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    made = two_nodes({"resources": {"head": 10}})
    yield made
    made.shutdown()


@pytest.fixture(scope="module")
def ray(cluster: Any) -> Iterator[ModuleType]:
    """raykernel, with the cluster to run its tasks."""
    raykernel.init(address=cluster.address)
    yield raykernel
    raykernel.shutdown()
