"""The laws of growth: exponents, goals, and a run of all of them for a moment."""

from __future__ import annotations

import json

import pytest

from raykernel.bench.laws import Law, lines
from tests.bench.test_command import bench


def law(totals: list[float], **fields: float) -> Law:
    return Law("it", "things", "s", [10, 100, 1000][: len(totals)], totals, **fields)


@pytest.mark.parametrize(
    ("totals", "exponent"), [([1, 10, 100], 1), ([1, 100, 10_000], 2), ([5, 5, 5], 0)]
)
def test_the_exponent_is_the_slope_in_logarithms(totals: list[float], exponent: float) -> None:
    assert law(totals).exponent() == pytest.approx(exponent)


def test_one_size_tells_no_law() -> None:
    assert law([1]).exponent() is None


def test_a_bound_holds_for_each_item_of_the_largest_size() -> None:
    assert law([900, 100, 900], bound=1).met() is True
    assert law([1, 10, 1100], bound=1).met() is False


def test_flat_compares_the_best_with_the_worst() -> None:
    assert law([1, 10, 85], flat=0.2).met() is True
    assert law([1, 10, 130], flat=0.2).met() is False
    assert law([1.3, 10, 100], flat=0.2).met() is False
    assert law([1, 10, 100]).met() is None


def test_lines_say_what_was_measured() -> None:
    first, *rest = lines([law([0.01, 0.1], bound=1e-4)])
    assert first == "it   total ~ n^1.00   goal <= 0.0001 s each   NOT met"
    assert [line.split() for line in rest] == [
        ["10", "things", "1.00", "ms", "each"],
        ["100", "things", "1.00", "ms", "each"],
    ]


def test_all_laws_can_be_measured() -> None:
    done = bench("scale", "--most", "50", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    laws = json.loads(done.stdout)["laws"]
    assert len(laws) == 5
    for one in laws:
        assert one["sizes"]
        assert max(one["sizes"]) <= 50
        assert all(total > 0 for total in one["totals"])


def test_scale_measures_raykernel_alone() -> None:
    done = bench("scale", "--against", "ray")
    assert done.returncode != 0
    assert "leave --against and --only out" in done.stderr
