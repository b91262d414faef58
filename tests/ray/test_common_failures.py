"""The common subset of the API on both engines: failures."""

from __future__ import annotations

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

globals().update(
    taken_over(
        "contract.test_failures",
        "contract.test_error_classes",
        "contract.test_cancel",
        "contract.test_retries",
        "contract.test_fault_tolerance",
        without={
            "test_cancelled_tasks_give_their_resources_back": "asks for 4 CPUs of one node",
        },
    )
)
