"""The common subset of the API on both engines: a session's beginning and end, and its resources.

The cluster has the resources that test_resources reckons with, all on its first node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import raykernel
from tests.contract.conftest import QUIET
from tests.ray.common import engine, taken_over  # noqa: F401 - a fixture
from tests.ray.conftest import two_nodes

_STARTS_ONE = "says what a session to be started has"
_AMOUNTS: dict[str, Any] = {"num_cpus": 2, "num_gpus": 2, "resources": {"special": 2}}
_OF_A_START = {*_AMOUNTS, *QUIET}

globals().update(
    taken_over(
        "contract.test_resources",
        "contract.test_init",
        without={
            "test_nodes_tells_about_the_one_node": "there are two",
            "test_a_default_resource_is_not_a_custom_one": _STARTS_ONE,
            "test_cards_keep_the_names_that_the_driver_sees": _STARTS_ONE,
            "test_ids_do_not_depend_on_the_users_seeds": "a cluster's node keeps its id",
            "test_the_first_use_starts_a_session_and_shutdown_can_be_repeated": "starts one here",
            "test_the_first_remote_call_starts_a_session": "starts one here",
            "test_the_first_question_starts_a_session": "starts one here",
        },
    )
)


@pytest.fixture(scope="module", params=["local engine", "Ray cluster"])
def place(request: pytest.FixtureRequest) -> Iterator[dict[str, Any]]:
    """What to give to `init`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if request.param == "local engine":
            yield _AMOUNTS | QUIET
            return
        made = two_nodes(_AMOUNTS, {"num_cpus": 0})
        yield {"address": made.address}
        made.shutdown()


@pytest.fixture(scope="module")
def ray(place: dict[str, Any]) -> Iterator[ModuleType]:
    raykernel.init(**place)
    yield raykernel
    raykernel.shutdown()


@pytest.fixture
def no_session(place: dict[str, Any]) -> Iterator[Any]:
    """raykernel without a session. Whatever amounts a test gives, `init` starts one with all that
    the place has."""
    raykernel.shutdown()

    def init(**options: Any) -> Any:
        return raykernel.init(**{k: v for k, v in options.items() if k not in _OF_A_START}, **place)

    yield SimpleNamespace(**{**vars(raykernel), "init": init})
    raykernel.shutdown()


def test_the_sessions_table_shows_what_it_has(no_session: Any) -> None:
    table = no_session.init()._repr_html_()
    for name, amount in (("CPUs", "2"), ("GPUs", "2")):
        assert re.search(rf">{name}</th><td[^>]*>{amount}</td>", table)
    assert ">0 B<" not in table
