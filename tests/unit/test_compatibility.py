"""The README's compatibility table says of each name of Ray's core API what becomes of it here.

The table is held against the package: what it offers is in the table, what the table offers is
there, and what the table refuses is refused with a hint.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import raykernel
import raykernel.util

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `ray\.([\w.]+)` \| (.+) \|$", re.MULTILINE)


def rows() -> dict[str, str]:
    text = README.read_text(encoding="utf-8")
    section = text.partition("## Compatibility with Ray's core API")[2].partition("\n## ")[0]
    return dict(ROW.findall(section))


def resolve(name: str) -> object:
    thing: object = raykernel
    for part in name.split("."):
        thing = getattr(thing, part)
    return thing


def test_every_row_says_same_differs_or_what_to_use_instead() -> None:
    assert len(rows()) > 50
    for name, word in rows().items():
        assert re.match(r"same\b|differs: \S|not offered: use \S", word), f"ray.{name}: {word}"


def test_every_public_name_is_in_the_table() -> None:
    public = {n for n in raykernel.__all__ if not n.startswith("_")}
    public |= {f"util.{n}" for n in (*raykernel.util.__all__, *raykernel.util._MODULES)}
    assert public - set(rows()) == set()


@pytest.mark.parametrize("name", sorted(n for n, w in rows().items() if "not offered" not in w))
def test_what_the_table_offers_is_there(name: str) -> None:
    assert resolve(name) is not None


@pytest.mark.parametrize("name", sorted(n for n, w in rows().items() if "not offered" in w))
def test_what_the_table_refuses_raises_with_a_hint(name: str) -> None:
    with pytest.raises(AttributeError, match=r"\(.+\)"):
        resolve(name)


def test_what_is_refused_by_name_is_in_the_table() -> None:
    refused = {n for n in raykernel._NOT_OFFERED if not n.startswith("_")}
    assert refused - set(rows()) - {"air", "llm", "worker", "state"} == set()


def test_placement_group_is_a_function_and_a_module() -> None:
    module = importlib.import_module("raykernel.util.placement_group")
    assert raykernel.util.placement_group is module.placement_group
