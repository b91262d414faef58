"""Metrics: what is recorded can be read, and what makes no sense is refused."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest

from raykernel.util import metrics
from raykernel.util.metrics import Counter, Gauge, Histogram

_numbers = itertools.count()


@pytest.fixture
def name() -> str:
    return f"metric_{next(_numbers)}"


def test_a_counter_adds_up_by_tags(name: str) -> None:
    counter = Counter(name, "what", tag_keys=("who", "how")).set_default_tags({"how": "quick"})
    counter.inc(tags={"who": "a"})
    counter.inc(2, tags={"who": "a"})
    counter.inc(5, tags={"who": "a", "how": "slow"})
    assert counter.snapshot() == {("a", "quick"): 3.0, ("a", "slow"): 5.0}
    assert metrics.snapshot()[name] == counter.snapshot()


def test_a_gauge_keeps_the_last_value(name: str) -> None:
    gauge = Gauge(name)
    gauge.set(3)
    gauge.set(-1.5)
    gauge.set(None)
    assert gauge.snapshot() == {(): -1.5}


def test_a_histogram_counts_by_bucket(name: str) -> None:
    histogram = Histogram(name, boundaries=[1.0, 10])
    for value in (0.5, 1, 5, 11, 12):
        histogram.observe(value)
    assert histogram.snapshot() == {(): {"count": 5, "sum": 29.5, "buckets": [2, 1, 2]}}


def test_a_snapshot_stays_as_it_was(name: str) -> None:
    histogram = Histogram(name, boundaries=[1.0])
    histogram.observe(0.5)
    before = histogram.snapshot()
    histogram.observe(0.5)
    assert before[()]["buckets"] == [1, 0]


def test_metrics_of_one_name_are_one(name: str) -> None:
    Counter(name).inc()
    Counter(name).inc()
    assert Counter(name).snapshot() == {(): 2.0}
    with pytest.raises(ValueError, match="there is a Counter called"):
        Gauge(name)


def test_info_tells_what_it_was_made_with(name: str) -> None:
    histogram = Histogram(name, "what", boundaries=[1.0, 2], tag_keys=("who",))
    assert histogram.set_default_tags({"who": "me"}) is histogram
    assert histogram.info == {
        "name": name,
        "description": "what",
        "tag_keys": ("who",),
        "default_tags": {"who": "me"},
        "boundaries": [1.0, 2],
    }


def test_a_metric_can_be_sent_to_a_task(name: str) -> None:
    histogram = Histogram(name, boundaries=[1.0], tag_keys=("who",)).set_default_tags({"who": "a"})
    assert pickle.loads(pickle.dumps(histogram)).info == histogram.info


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: Counter(""), ValueError),
        (lambda: Counter(3), TypeError),
        (lambda: Counter("m", tag_keys=["who"]), TypeError),
        (lambda: Counter("m", tag_keys=(1,)), TypeError),
        (lambda: Counter("m", tag_keys=("who",)).set_default_tags({"how": "x"}), ValueError),
        (lambda: Counter("m", tag_keys=("who",)).set_default_tags({"who": 1}), TypeError),
        (lambda: Counter("m", tag_keys=("who",)).inc(), ValueError),
        (lambda: Counter("m", tag_keys=("who",)).inc(tags={"who": 1}), TypeError),
        (lambda: Counter("m").inc(0), ValueError),
        (lambda: Counter("m").inc("1"), TypeError),
        (lambda: Gauge("g").set("1"), TypeError),
        (lambda: Histogram("h"), ValueError),
        (lambda: Histogram("h", boundaries=[0, 1]), ValueError),
        (lambda: Histogram("h", boundaries=[1]).observe(None), TypeError),
    ],
)
def test_what_makes_no_sense_is_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()
