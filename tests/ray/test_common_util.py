"""The common subset of the API on both engines: util."""

from __future__ import annotations

import pytest

from tests.ray.common import engine, ray, taken_over, util  # noqa: F401 - fixtures

pytestmark = pytest.mark.usefixtures("ray")

_LATER = "a cluster's workers tell of a task a moment after its result is there"

globals().update(
    taken_over(
        "util.test_actor_pool",
        "util.test_queue",
        "util.test_helpers",
        "util.test_iter",
        "util.own.test_dask",
        "util.own.test_iter",
        "util.own.test_metrics",
        "util.own.test_serialization",
        "util.own.test_state",
        "util.own.test_tqdm",
        without={
            "test_a_bars_last_state_comes_before_its_tasks_result": _LATER,
            "test_a_bar_that_a_task_prints_is_heard_of_too": _LATER,
            "test_actor_options_are_the_actors": "counts a session's 2 CPUs",
            "test_tasks_go_through_rays_states": _LATER,
            "test_a_tasks_row_tells_its_story": _LATER,
            "test_filters_and_limits_narrow_the_list": _LATER,
            "test_tasks_are_summed_up_by_function": _LATER,
            "test_objects_are_listed_with_their_size": "where they lie, Ray doesn't tell",
            "test_the_one_node_is_listed": "there are two",
            "test_single_rows_can_be_asked_for": "there are two nodes",
        },
    )
)
