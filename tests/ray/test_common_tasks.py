"""The common subset of the API on both engines: tasks."""

from __future__ import annotations

import pytest

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("ray")

globals().update(
    taken_over(
        "contract.test_tasks",
        "contract.test_arguments",
        "contract.test_get",
        "contract.test_wait",
        "contract.test_put",
        "contract.test_serialization",
        "contract.test_patterns",
        "contract.test_patterns_of_objects",
        "contract.test_borrowed",
        "contract.test_on_purpose",
        without={
            "test_a_queued_actor_call_never_runs": "Ray lets go of it when its turn comes",
            "test_a_task_finds_no_thread_but_its_own": "Ray's workers have others",
            "test_a_task_waits_for_its_arguments_without_a_cpu": "asks for 4 CPUs of one node",
            "test_resources_limit_how_many_run_at_once": "reckons with one node's memory",
        },
    )
)
