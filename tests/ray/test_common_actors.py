"""The common subset of the API on both engines: actors and where they run."""

from __future__ import annotations

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

globals().update(
    taken_over(
        "contract.test_actors",
        "contract.test_actor_lives",
        "contract.test_concurrency_groups",
        "contract.test_names",
        "contract.test_options",
        "contract.test_placement_groups",
        "contract.test_runtime_context",
        without={
            "test_what_is_to_be_said_once_is_said_once": "once in a process, whatever its engines",
            "test_the_table_says_what_is_reserved_and_how_far_it_is": "there is one node only",
        },
    )
)
