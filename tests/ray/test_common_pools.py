"""The common subset of the API on both engines: pools of processes."""

from __future__ import annotations

import pytest

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("ray")

globals().update(
    taken_over(
        "util.test_actor_group",
        "util.test_multiprocessing",
        "util.test_joblib",
        "util.own.test_actor_pool",
        "util.own.test_executor",
        "util.own.test_joblib",
        "util.own.test_multiprocessing",
        without={
            "test_actors_hold_the_cpus_they_ask_for": "counts a session's 2 CPUs",
            "test_more_processes_than_cpus_are_refused": "counts a session's 2 CPUs",
            "test_processes_can_have_resources_of_their_own": "counts a session's 2 CPUs",
            "test_all_jobs_are_the_sessions_cpus": "counts a session's 2 CPUs",
        },
    )
)
