"""The common subset of the API on both engines: actors."""

from __future__ import annotations

from tests.ray.common import engine, ray, tests_of, util  # noqa: F401 - fixtures

globals().update(
    tests_of(
        "contract.test_actors",
        "contract.test_actor_lives",
        "contract.test_concurrency_groups",
        "contract.test_names",
        "contract.test_options",
        "contract.test_placement_groups",
        "contract.test_runtime_context",
        without={},
    )
)
