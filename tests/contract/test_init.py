"""Exact behaviours: init, shutdown, and what outlives a session."""

from __future__ import annotations

import os
import random
from types import ModuleType
from typing import Any

import pytest

from tests.contract.conftest import QUIET


def test_it_returns_a_mapping_of_addresses(no_session: ModuleType) -> None:
    context = no_session.init(num_cpus=1, **QUIET)
    assert os.path.isdir(context["session_dir"])
    assert context["node_id"] in {node["NodeID"] for node in no_session.nodes()}
    assert context.address_info["node_id"] == context["node_id"]
    assert context.get("nothing") is None
    with pytest.raises(KeyError):
        context["nothing"]


def test_it_is_a_context_manager_that_ends_the_session(no_session: ModuleType) -> None:
    with no_session.init(num_cpus=1, **QUIET):
        assert no_session.is_initialized()
        assert no_session.get(no_session.put(1)) == 1
    assert not no_session.is_initialized()


def test_twice_is_a_runtime_error_unless_told_otherwise(no_session: ModuleType) -> None:
    first = no_session.init(num_cpus=1, **QUIET)
    with pytest.raises(RuntimeError, match=r"Maybe you called ray\.init twice by accident"):
        no_session.init(num_cpus=1, **QUIET)
    again = no_session.init(num_cpus=1, ignore_reinit_error=True, **QUIET)
    assert again["node_id"] == first["node_id"]
    first.disconnect()
    assert not no_session.is_initialized()


def test_an_unknown_keyword_is_a_runtime_error_that_names_it(no_session: ModuleType) -> None:
    with pytest.raises(RuntimeError, match="no_such_keyword"):
        no_session.init(no_such_keyword=1)
    assert not no_session.is_initialized()


@pytest.mark.parametrize("name", ["CPU", "GPU"])
def test_a_default_resource_is_not_a_custom_one(no_session: ModuleType, name: str) -> None:
    with pytest.raises(AssertionError, match="cannot be a custom resource"):
        no_session.init(num_cpus=1, resources={name: 1})


def test_namespaces_are_checked(no_session: ModuleType) -> None:
    with pytest.raises(TypeError):
        no_session.init(num_cpus=1, namespace=1)
    with pytest.raises(ValueError, match="namespace"):
        no_session.init(num_cpus=1, namespace="")


def test_the_first_use_starts_a_session_and_shutdown_can_be_repeated(
    no_session: ModuleType,
) -> None:
    assert not no_session.is_initialized()
    assert no_session.get(no_session.put(5)) == 5
    assert no_session.is_initialized()
    no_session.shutdown()
    no_session.shutdown()
    assert not no_session.is_initialized()


def test_the_first_remote_call_starts_a_session(no_session: ModuleType) -> None:
    @no_session.remote
    def one() -> int:
        return 1

    assert no_session.get(one.remote()) == 1


def test_the_first_question_starts_a_session(no_session: ModuleType) -> None:
    assert no_session.get_runtime_context().get_job_id()
    assert no_session.is_initialized()


def test_the_namespace_is_kept(no_session: ModuleType) -> None:
    no_session.init(num_cpus=1, namespace="contract", **QUIET)
    assert no_session.get_runtime_context().namespace == "contract"


def test_functions_and_classes_survive_sessions_and_refs_do_not(no_session: ModuleType) -> None:
    @no_session.remote
    def one() -> int:
        return 1

    @no_session.remote
    class Actor:
        def two(self) -> int:
            return 2

    no_session.init(num_cpus=1, **QUIET)
    old = one.remote()
    actor = Actor.remote()
    assert no_session.get([old, actor.two.remote()]) == [1, 2]
    no_session.shutdown()
    no_session.init(num_cpus=1, **QUIET)
    assert no_session.get(one.remote()) == 1
    assert no_session.get(Actor.remote().two.remote()) == 2
    with pytest.raises(Exception, match="different cluster"):
        actor.two.remote()


def test_ids_do_not_depend_on_the_users_seeds(no_session: ModuleType) -> None:
    ids: list[Any] = []
    for _ in range(2):
        random.seed(7)
        no_session.init(num_cpus=1, **QUIET)
        ids.append(no_session.get_runtime_context().get_node_id())
        no_session.shutdown()
    assert len(set(ids)) == 2


def test_cards_keep_the_names_that_the_driver_sees(
    no_session: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6")
    no_session.init(num_cpus=1, num_gpus=3, **QUIET)

    @no_session.remote(num_gpus=2, num_cpus=0)
    def cards() -> Any:
        return [int(i) for i in no_session.get_gpu_ids()], os.environ["CUDA_VISIBLE_DEVICES"]

    ids, seen = no_session.get(cards.remote())
    assert len(ids) == 2
    assert set(ids) < {4, 5, 6}
    assert seen == ",".join(map(str, ids))
