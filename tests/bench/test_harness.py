"""The benchmark is honest: right rows, right ratios, in turn. Nothing here is timed."""

from __future__ import annotations

import math

import pytest

from raykernel.bench import harness, operations, table
from raykernel.bench.child import measure
from raykernel.bench.harness import BenchError, Measured
from raykernel.bench.rows import FRESH, MEMORY, OFFERS, POOL, RAY, RAYKERNEL, ROWS, START, Row

RATE = Row("rate", "ops/s", {RAY: 10})
NAMES = [
    "start to first result",
    "memory of an idle session, 2 workers (USS)",
    "get small object",
    "put small object",
    "put 100 MiB array",
    "get 100 MiB array (zero-copy)",
    "task reads 100 MiB array",
    "task returns 10 MiB array",
    "tasks, one at a time",
    "tasks, 1,000 at once",
    "tasks submitted by 4 tasks",
    "tree reduction of 256",
    "dependent chain of 100",
    "wait for 1,000 refs one by one",
    "actor calls, one at a time",
    "actor calls, 1,000 at once",
    "async actor calls, 1,000 at once",
    "actor: create, call, kill",
    "object holding 1,000 refs",
]


class FakeEngine:
    """Answers from a list, and writes down in a shared log what it was asked."""

    def __init__(self, name: str, values: list[float | str], log: list[tuple[str, str]]) -> None:
        self.name, self.values, self.log = name, values, log

    def ask(self, row: str, seconds: float) -> float:
        self.log.append((self.name, row))
        value = self.values.pop(0)
        if isinstance(value, str):
            raise BenchError(value)
        return value

    def close(self) -> None:
        self.log.append((self.name, "close"))


class Bench:
    def __init__(self, **values: list[float | str]) -> None:
        self.values = values
        self.log: list[tuple[str, str]] = []

    def run(self, *rows: Row, rounds: int = 2) -> list[Measured]:
        def start(engine: str) -> FakeEngine:
            self.log.append((engine, "start"))
            return FakeEngine(engine, self.values[engine], self.log)

        return harness.run(rows, list(self.values), start=start, seconds=1, rounds=rounds)


def test_the_rows_are_the_agreed_ones() -> None:
    assert [row.name for row in ROWS] == NAMES


def test_every_row_has_a_goal_and_an_operation() -> None:
    class Nothing:
        """A stand-in for Ray: building the table of operations runs none of them."""

        def remote(self, *args: object, **options: object) -> object:
            return args[0] if args else lambda decorated: decorated

    built = operations.on_ray(Nothing())
    assert set(built) | FRESH == set(NAMES)
    assert all(row.goal() for row in ROWS)
    for offer in OFFERS.values():
        assert offer is None or offer <= set(NAMES)


def test_the_engines_take_turns_round_by_round() -> None:
    bench = Bench(raykernel=[100.0, 300.0], ray=[10.0, 30.0])
    bench.run(RATE)
    assert bench.log == [
        (RAYKERNEL, "start"),
        (RAYKERNEL, "rate"),
        (RAY, "start"),
        (RAY, "rate"),
        (RAYKERNEL, "rate"),
        (RAY, "rate"),
        (RAYKERNEL, "close"),
        (RAY, "close"),
    ]


def test_a_start_is_measured_on_a_session_of_its_own_each_round() -> None:
    bench = Bench(raykernel=[0.1, 0.3, 0.2])
    [measured] = bench.run(ROWS[0], rounds=3)
    assert bench.log == [(RAYKERNEL, "start"), (RAYKERNEL, START), (RAYKERNEL, "close")] * 3
    assert measured.median(RAYKERNEL) == 0.2


def test_ratios_are_of_medians_and_say_how_many_times_better() -> None:
    bench = Bench(raykernel=[100, 900, 120], ray=[10, 11, 12])
    [rate] = bench.run(RATE, rounds=3)
    assert rate.ratios() == {RAY: pytest.approx(120 / 11)}
    assert rate.met() is True
    assert ROWS[0].less_is_better
    assert ROWS[0].ratio(ours=0.5, theirs=10) == 20
    assert RATE.ratio(ours=0.5, theirs=10) == 0.05


@pytest.mark.parametrize(
    ("row", "ours", "ratios", "met"),
    [
        (RATE, 1.0, {RAY: 10.0}, True),
        (RATE, 1.0, {RAY: 9.99}, False),
        (RATE, 1.0, {}, None),
        (Row("r", "ops/s", {RAY: 8, POOL: 1}), 1.0, {RAY: 9, POOL: 0.9}, False),
        (Row("r", "ops/s", {RAY: 8, POOL: 1}), 1.0, {POOL: 1.1}, True),
        (Row("r", "s", {RAY: 20}, limit=0.4), 0.4, {RAY: 21.0}, True),
        (Row("r", "s", {RAY: 20}, limit=0.4), 0.41, {RAY: 21.0}, False),
        (Row("r", "MB", limit=70), 71.0, {}, False),
    ],
)
def test_a_goal_is_met_when_all_that_was_measured_says_so(
    row: Row, ours: float, ratios: dict[str, float], met: bool | None
) -> None:
    assert row.met(ours, ratios) is met


def test_a_failed_round_leaves_no_figure_and_is_reported() -> None:
    bench = Bench(raykernel=[1.0, 2.0], ray=[5.0, "ValueError: no"])
    [measured] = bench.run(RATE)
    assert measured.errors == {RAY: "ValueError: no"}
    assert RAY not in measured.values
    assert measured.met() is None
    text = "\n".join(table.lines([measured], [RAYKERNEL, RAY]))
    assert "rate failed on ray: ValueError: no" in text


def test_our_own_failure_is_a_goal_not_met() -> None:
    [measured] = Bench(raykernel=["broken"], ray=[5.0, 6.0]).run(RATE)
    assert measured.met() is False
    assert measured.ratios() == {}


def test_an_engine_is_only_asked_for_what_it_offers() -> None:
    bench = Bench(raykernel=[1.0], processpool=[])
    [measured] = bench.run(ROWS[2], rounds=1)
    assert (POOL, "start") not in bench.log
    assert set(measured.values) == {RAYKERNEL}


def test_the_table_shows_median_spread_ratio_and_goal() -> None:
    [measured] = Bench(raykernel=[100.0, 200.0, 1500.0], ray=[10.0, 10.0, 16.0]).run(RATE, rounds=3)
    header, _, line = table.lines([measured], [RAYKERNEL, RAY])
    assert header.split() == ["operation", "unit", "raykernel", "ray", "x", "ray", "goal", "met"]
    assert "200 [100-1,500]" in line
    assert "10 [10-16]" in line
    assert line.split()[-5:] == ["20.0", ">=", "10x", "ray", "yes"]
    [row] = table.as_dicts([measured])
    assert row["measured"][RAY] == {"median": 10.0, "rounds": [10.0, 10.0, 16.0]}
    assert row["ratios"] == {RAY: 20.0}
    assert row["met"] is True


def test_a_rate_counts_what_a_call_is_worth_and_not_its_warm_up() -> None:
    calls: list[int] = []
    rate = measure(operations.Operation(lambda: calls.append(1), worth=1000), seconds=0)
    assert len(calls) == 2, "one call to warm up, one measured"
    assert rate > 0
    assert math.isfinite(rate)


def test_a_wrong_result_is_no_speed() -> None:
    with pytest.raises(RuntimeError, match="wrong result 3, 4 expected"):
        operations._expect(3, 4)


def test_memory_is_an_absolute_goal() -> None:
    [row] = [row for row in ROWS if row.name == MEMORY]
    assert row.goal() == "<= 70 MB"
