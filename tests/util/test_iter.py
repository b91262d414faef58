"""Parallel iterators: operators in the shards, gathered in one place."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from tests.contract.signals import make_gate
from tests.util.conftest import Util

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # Ray says that it is deprecated


@pytest.fixture
def it(util: Util) -> Any:
    return util("iter")


def even(x: int) -> bool:
    return x % 2 == 0


def test_items_are_dealt_out_in_turn(it: Any) -> None:
    items = it.from_items([1, 2, 3, 4, 5], num_shards=2)
    assert repr(items) == "ParallelIterator[from_items[int, 5, shards=2]]"
    assert [list(shard) for shard in items.shards()] == [[1, 3, 5], [2, 4]]
    assert list(items.gather_sync()) == [1, 2, 3, 4, 5]
    assert list(it.from_items([]).gather_sync()) == []


def test_a_range_is_cut_into_parts(it: Any) -> None:
    numbers = it.from_range(7, num_shards=2)
    assert repr(numbers) == "ParallelIterator[from_range[7, shards=2]]"
    assert [list(shard) for shard in numbers.shards()] == [[0, 1, 2], [3, 4, 5, 6]]
    assert list(numbers.gather_sync()) == [0, 3, 1, 4, 2, 5, 6]


def test_what_repeats_never_ends(it: Any) -> None:
    assert it.from_range(3, num_shards=1, repeat=True).take(7) == [0, 1, 2, 0, 1, 2, 0]


def test_iterables_and_functions_that_make_them_are_shards(it: Any) -> None:
    made = it.from_iterators([range(2), lambda: (x * 10 for x in range(3))])
    assert list(made.gather_sync()) == [0, 0, 1, 10, 20]
    with pytest.raises(TypeError):
        it.from_iterators([(x for x in range(3))])


def test_actors_of_ones_own_are_shards(ray: ModuleType, it: Any) -> None:
    @ray.remote
    class Letters(it.ParallelIteratorWorker):
        def __init__(self, letters: str) -> None:
            super().__init__(letters, False)

    actors = [Letters.remote("ab"), Letters.remote("cd")]
    made = it.from_actors(actors)
    assert repr(made) == "ParallelIterator[from_actors[shards=2]]"
    assert sorted(made.gather_async()) == ["a", "b", "c", "d"]


def test_operators_run_in_the_shards(it: Any) -> None:
    made = it.from_range(8, num_shards=2).for_each(lambda x: x + 1).filter(even)
    assert list(made.gather_sync()) == [2, 6, 4, 8]
    assert [list(s) for s in made.batch(3).shards()] == [[[2, 4]], [[6, 8]]]
    assert list(made.batch(1).flatten().gather_sync()) == [2, 6, 4, 8]
    assert list(made.combine(lambda x: [x, -x]).get_shard(0)) == [2, -2, 4, -4]


def test_operators_run_in_the_reader_too(it: Any) -> None:
    made = it.from_range(8, num_shards=1).gather_sync()
    made = made.for_each(lambda x: x + 1).filter(even).batch(3).flatten().combine(lambda x: [x, x])
    assert list(made) == [2, 2, 4, 4, 6, 6, 8, 8]


def test_a_transform_sees_the_whole_stream(it: Any) -> None:
    def pairs(stream: Any) -> Any:
        before = None
        for item in stream:
            if before is not None:
                yield before, item
            before = item

    made = it.from_range(4, num_shards=1)
    assert list(made.transform(pairs).gather_sync()) == [(0, 1), (1, 2), (2, 3)]
    assert list(made.gather_sync().transform(pairs)) == [(0, 1), (1, 2), (2, 3)]


@pytest.mark.parametrize("most", [0, 2, 3])
def test_calls_can_be_concurrent(it: Any, most: int) -> None:
    made = it.from_range(6, num_shards=2).for_each(
        lambda x: x * 2, max_concurrency=most, resources={"num_cpus": 0.1}
    )
    assert sorted(made.gather_sync()) == [0, 2, 4, 6, 8, 10]
    with pytest.raises(AssertionError, match="non-negative"):
        made.for_each(even, max_concurrency=-1)


def test_concurrent_calls_run_at_the_same_time(ray: ModuleType, it: Any) -> None:
    gate = make_gate(ray)

    def meet(x: int) -> int:
        if x == 1:
            ray.get(gate.open.remote())
        ray.get(gate.wait.remote())
        return x

    made = it.from_range(2, num_shards=1).for_each(meet, max_concurrency=2)
    assert sorted(made.gather_sync()) == [0, 1]


def test_a_round_has_an_item_of_each_shard_that_has_one(it: Any) -> None:
    rounds = it.from_range(7, num_shards=3).batch_across_shards()
    assert list(rounds) == [[0, 2, 4], [1, 3, 5], [6]]


def test_gather_async_gives_every_item_once(it: Any) -> None:
    numbers = it.from_range(10, num_shards=2)
    assert sorted(numbers.gather_async()) == list(range(10))
    assert sorted(numbers.gather_async(batch_ms=5, num_async=3)) == list(range(10))
    with pytest.raises(ValueError, match="queue depth"):
        numbers.gather_async(num_async=0)
    with pytest.raises(ValueError, match="batch time"):
        numbers.gather_async(batch_ms=-1)


def test_gather_async_waits_for_no_shard(ray: ModuleType, it: Any) -> None:
    gate = make_gate(ray)

    def block_odd(x: int) -> int:
        if x % 2:
            ray.get(gate.wait.remote())
        return x

    items = iter(it.from_items([0, 1, 2, 3], num_shards=2).for_each(block_odd).gather_async())
    assert [next(items), next(items)] == [0, 2]
    ray.get(gate.open.remote())
    assert list(items) == [1, 3]


def test_gather_async_knows_the_source(ray: ModuleType, it: Any) -> None:
    numbers = it.from_range(4, num_shards=2)
    pairs = list(numbers.gather_async().zip_with_source_actor())
    assert sorted(item for _, item in pairs) == [0, 1, 2, 3]
    assert len({actor for actor, _ in pairs}) == 2
    with pytest.raises(ValueError, match="source actor"):
        list(numbers.gather_sync().zip_with_source_actor())


def test_take_and_show_read_the_first_items(it: Any, capsys: Any) -> None:
    numbers = it.from_range(100, num_shards=1)
    assert numbers.take(3) == [0, 1, 2]
    numbers.show(2)
    assert capsys.readouterr().out == "0\n1\n"
    local = numbers.gather_sync()
    assert (local.take(2), local.take(2)) == ([0, 1], [2, 3])


def test_a_parallel_iterator_is_not_read_directly(it: Any) -> None:
    with pytest.raises(TypeError, match="gather_sync"):
        list(it.from_range(3))


def test_shuffles_are_local_and_repeatable(it: Any) -> None:
    numbers = it.from_range(20, num_shards=1)
    mixed = list(numbers.local_shuffle(5, seed=1).gather_sync())
    assert sorted(mixed) == list(range(20))
    assert mixed != list(range(20))
    assert mixed == list(numbers.gather_sync().shuffle(5, seed=1))
    assert list(numbers.local_shuffle(1).gather_sync()) == list(range(20))


@pytest.mark.parametrize("partitions", [1, 3])
def test_repartitioning_deals_out_each_shards_items(it: Any, partitions: int) -> None:
    numbers = it.from_range(9, num_shards=2).repartition(partitions)
    assert numbers.num_shards() == partitions
    shards = [sorted(shard) for shard in numbers.shards()]
    expected: list[list[int]] = [[] for _ in range(partitions)]
    for part in (range(4), range(4, 9)):
        for index, item in enumerate(part):
            expected[index % partitions].append(item)
    assert shards == [sorted(items) for items in expected]


def test_repartitioning_by_batches_loses_nothing(it: Any) -> None:
    numbers = it.from_range(50, num_shards=2).repartition(3, batch_ms=2)
    assert sorted(numbers.gather_async(batch_ms=2)) == list(range(50))


def test_unions_of_shards_keep_their_operators(it: Any) -> None:
    made = it.from_range(2, 1).for_each(lambda x: x * 10).union(it.from_range(2, 1)).filter(even)
    assert made.num_shards() == 2
    assert list(made.gather_sync()) == [0, 0, 10]


def test_some_shards_can_be_selected(it: Any) -> None:
    numbers = it.from_range(6, num_shards=3).for_each(lambda x: -x)
    chosen = numbers.select_shards([2, 0])
    assert chosen.num_shards() == 2
    assert sorted(chosen.gather_sync()) == [-5, -4, -1, 0]
    with pytest.raises(AssertionError, match="Invalid actor index"):
        numbers.select_shards([3])
    with pytest.raises(ValueError, match="out of range"):
        numbers.get_shard(3)


def test_shards_can_be_read_in_tasks(ray: ModuleType, it: Any) -> None:
    @ray.remote
    def total(shard: Any) -> int:
        return sum(shard)

    numbers = it.from_range(6, num_shards=2).for_each(lambda x: x * 2)
    assert ray.get([total.remote(shard) for shard in numbers.shards()]) == [6, 24]
    assert ray.get(total.remote(numbers.gather_sync())) == 30


def test_a_union_of_streams_takes_turns(it: Any) -> None:
    def both(**how: Any) -> list[int]:
        first, second = it.from_range(6, 2).gather_sync(), it.from_range(3, 1).gather_sync()
        return list(first.union(second, **how))

    assert both(deterministic=True) == [0, 0, 3, 1, 1, 2, 4, 2, 5]
    assert both(round_robin_weights=[2, 1]) == [0, 3, 0, 1, 4, 1, 2, 5, 2]
    assert sorted(both()) == [0, 0, 1, 1, 2, 2, 3, 4, 5]
    assert sorted(both(round_robin_weights=[1, "*"])) == [0, 0, 1, 1, 2, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="must be of type LocalIterator"):
        it.from_range(3).gather_sync().union(it.from_range(3))


def test_a_union_waits_for_no_stream(ray: ModuleType, it: Any) -> None:
    gate = make_gate(ray)

    def block(x: int) -> int:
        ray.get(gate.wait.remote())
        return x

    slow = it.from_range(2, 1).for_each(block).gather_async()
    union = slow.union(it.from_items([7, 8], 1).gather_async())
    assert [next(union), next(union)] == [7, 8]
    ray.get(gate.open.remote())
    assert list(union) == [0, 1]


def test_duplicates_get_every_item_each(it: Any) -> None:
    one, two = it.from_range(4, num_shards=1).gather_sync().duplicate(2)
    union = one.for_each(lambda x: ("one", x)).union(two.for_each(lambda x: ("two", x)))
    found = list(union)
    assert [x for who, x in found if who == "one"] == [0, 1, 2, 3]
    assert [x for who, x in found if who == "two"] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match=">= 2"):
        it.from_range(3).gather_sync().duplicate(1)


def test_operators_share_counters(it: Any) -> None:
    def count(x: int) -> int:
        metrics = it.LocalIterator.get_metrics()
        metrics.counters["sum"] += x
        return metrics.counters["sum"]

    assert list(it.from_range(4, num_shards=1).gather_sync().for_each(count)) == [0, 1, 3, 6]


def test_an_operators_error_reaches_the_reader(it: Any) -> None:
    def fail(x: int) -> None:
        raise ValueError(f"item {x}")

    with pytest.raises(ValueError, match="item 0"):
        list(it.from_range(2, num_shards=1).for_each(fail).gather_sync())


def test_names_tell_the_operators(it: Any) -> None:
    made = it.from_range(4).for_each(even).filter(even).batch(2).flatten().combine(str)
    assert repr(made) == (
        "ParallelIterator[from_range[4, shards=2].for_each().filter().batch(2).flatten().combine()]"
    )
    assert repr(made.gather_sync().shuffle(2)) == (
        f"LocalIterator[{made!r}.gather_sync().shuffle(shuffle_buffer_size=2, seed=None)]"
    )
    assert repr(made.get_shard(1)) == f"LocalIterator[{made.name}.shard[1]]"
