"""`raykernel.util` is light until it is used, and says what it offers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import raykernel as ray
from raykernel import util

LAZY = ("actor_group", "actor_pool", "executor", "iter", "metrics", "multiprocessing", "queue")


def test_importing_util_imports_none_of_its_parts() -> None:
    program = (
        "import sys, raykernel\n"
        "assert raykernel.util.placement_group\n"
        f"print(*(name for name in {LAZY} if 'raykernel.util.' + name in sys.modules))\n"
        "print(*(name for name in ('dask', 'joblib', 'numpy') if name in sys.modules))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split() == []


@pytest.mark.parametrize("name", util.__all__)
def test_every_name_offered_is_there(name: str) -> None:
    assert getattr(ray.util, name)
    assert name in dir(util)


def test_modules_are_attributes() -> None:
    assert ray.util.queue.Queue
    assert ray.util.multiprocessing.Pool


def test_placement_group_is_a_function_and_a_module() -> None:
    import raykernel.util.placement_group

    assert callable(raykernel.util.placement_group)
    from raykernel.util.placement_group import placement_group

    assert placement_group is raykernel.util.placement_group


def test_an_unknown_name_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(AttributeError, match="ActorPool"):
        _ = util.no_such_name
