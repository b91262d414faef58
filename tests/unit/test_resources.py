"""Resources: exact amounts, canonical texts, pools and cards."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raykernel.runtime import resources
from raykernel.runtime.resources import UNIT, Pool

names = st.text(st.characters(codec="utf-8", exclude_characters=";"), min_size=1, max_size=8)
amounts = st.dictionaries(names, st.integers(0, 50 * UNIT), max_size=5)


def test_a_thousandth_a_thousand_times_is_one():
    assert sum(resources.to_units(0.001) for _ in range(1000)) == resources.to_units(1)


@settings(deadline=None)  # the machine may be busy
@given(amounts)
def test_a_text_says_all_that_is_not_zero(units: dict[str, int]):
    text = resources.encode({k: resources.to_float(n) for k, n in units.items()})
    assert resources.decode(text) == {k: n for k, n in units.items() if n}
    assert text == resources.encode_units(dict(sorted(units.items(), reverse=True)))


def test_texts_for_people():
    assert resources.describe("") == "no resources"
    assert resources.describe("CPU=20000;GPU=5000") == "2 CPU, 0.5 GPU"


@settings(deadline=None)  # the machine may be busy
@given(amounts, st.lists(amounts, max_size=8))
def test_what_fits_never_overdraws_and_what_is_given_back_is_all_there(
    total: dict[str, int], requests: list[dict[str, int]]
):
    total.pop("GPU", None)
    pool = Pool(total)
    taken = []
    for request in requests:
        if pool.fits(request):
            assert pool.count(request, 9) >= 1 or not any(request.values())
            pool.take(request)
            taken.append(request)
        assert all(n >= 0 for n in pool.free.values())
    for request in taken:
        pool.give(request)
    assert {k: n for k, n in pool.free.items() if n} == {k: n for k, n in total.items() if n}


@settings(deadline=None)  # the machine may be busy
@given(
    st.integers(0, 4 * UNIT + 5000),
    st.lists(
        st.one_of(st.integers(1, UNIT - 1), st.sampled_from([UNIT, 2 * UNIT, 3 * UNIT])),
        max_size=12,
    ),
)
def test_cards_are_never_shared_beyond_one(total: int, requests: list[int]):
    pool = Pool({"GPU": total})
    before = dict(pool.cards)
    assert sum(before.values()) == total
    taken = []
    for units in requests:
        request = {"GPU": units}
        if not pool.fits(request):
            continue
        pool.take(request)
        cards = pool.take_cards(units)
        assert cards is not None
        assert len(cards) == max(1, units // UNIT)
        assert all(n >= 0 for n in pool.cards.values())
        taken.append((units, cards))
    assert sum(pool.cards.values()) == pool.free["GPU"]
    for units, cards in taken:
        pool.give({"GPU": units})
        pool.give_cards(cards, units)
    assert pool.cards == before


def test_the_fullest_card_with_room_is_chosen():
    pool = Pool({"GPU": 2 * UNIT})
    assert pool.take_cards(4000) == (0,)
    assert pool.take_cards(4000) == (0,)
    assert pool.take_cards(4000) == (1,)
    assert pool.take_cards(0) is None


@pytest.mark.parametrize(("units", "fits"), [(4 * UNIT, True), (4 * UNIT + 1, False)])
def test_what_could_ever_fit(units: int, fits: bool):
    pool = Pool({"CPU": 4 * UNIT})
    pool.take({"CPU": 4 * UNIT})
    assert pool.could_ever_fit({"CPU": units}) is fits
    assert not pool.could_ever_fit({"unheard of": 1})
