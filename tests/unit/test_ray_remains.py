"""Failed tasks' variables on their way over a Ray cluster: what is kept, sent and waited for."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest

from raykernel.runtime.engines import ray_remains
from raykernel.runtime.engines.ray_feed import Feed
from raykernel.runtime.engines.ray_remains import Kept, Parcel, Parcels, RayShelf
from raykernel.runtime.engines.ray_table import Table
from raykernel.runtime.serialize import serialize


def test_what_is_kept_is_bounded_and_the_oldest_go():
    kept = Kept(most=100, count=3)
    kept.add("a", b"head", bytes(60))
    kept.add("b", b"head", bytes(30))
    assert kept.headers(known={"a"}) == (["a", "b"], {"b": b"head"})
    kept.add("c", b"head", b"values")  # 108 bytes
    assert kept.header("a") == b""
    assert kept.part("a", 0, 60) == b""
    assert kept.part("c", 1, 3) == b"alu"
    assert (kept.came("a"), kept.came("z")) == (True, False)
    kept.add("b", b"head", b"")  # another try of it
    kept.add("d", b"", b"")
    kept.add("e", b"", b"")
    assert kept.headers(known=set())[0] == ["b", "d", "e"]
    kept.add("large", b"head", bytes(200))
    assert kept.headers(known=set())[0] == ["large"]  # the newest stays, whatever its size
    kept.add("after", b"head", b"")
    assert kept.headers(known=set())[0] == ["after"]


def test_the_feed_waits_for_what_is_on_its_way_but_for_nothing_else():
    async def play() -> None:
        feed = Feed()
        assert await feed.header_of("task", 0.0) == b""
        asked = [
            asyncio.ensure_future(one)
            for one in (feed.header_of("task", 60.0), feed.headers([], ["task", "other"], 60.0))
        ]
        await feed.keep([("other", b"its head", b"")])
        await asyncio.sleep(0)
        assert not any(one.done() for one in asked)
        await feed.keep([("task", b"head", b"values")])
        assert await asked[0] == b"head"
        assert await asked[1] == (["other", "task"], {"other": b"its head", "task": b"head"})
        assert await feed.part_of("task", 0, 3) == b"val"
        assert await feed.headers(["task", "other"], ["never"], 0.01) == (["other", "task"], {})

    asyncio.run(play())


class _SlowFeed:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.begun = threading.Event()
        self.answers = threading.Event()
        self.keep = self

    def remote(self, parcels: list[Parcel]) -> Any:
        self.begun.set()
        assert self.answers.wait(10)
        self.sent.append([task for task, _, _ in parcels])
        if "refused" in self.sent[-1]:
            raise RuntimeError("gone")
        answer: Future[None] = Future()
        answer.set_result(None)
        return SimpleNamespace(future=lambda: answer)


def test_a_slow_feed_holds_no_failing_task_up_and_the_oldest_that_wait_go():
    feed = _SlowFeed()
    parcels = Parcels(lambda: feed, most=150)
    value = serialize(bytes(60))
    parcels.add("first", b"", [value])
    assert feed.begun.wait(10)
    for task in ("dropped", "too", "third", "last"):  # none of these blocks
        parcels.add(task, b"", [value])
    parcels.flush(0.01)
    assert feed.sent == []
    feed.answers.set()
    parcels.flush(10)
    assert feed.sent == [["first"], ["third", "last"]]
    parcels.add("refused", b"", [])  # and one that fails ends nothing
    parcels.flush(10)
    parcels.add("after", b"", [])
    parcels.flush(10)
    assert feed.sent[2:] == [["refused"], ["after"]]


class _GetTimeoutError(Exception):
    pass


def _shelf(answer: Any, keeps: bool = True, closed: str = "") -> RayShelf:
    def get(made: Any, timeout: float) -> Any:
        if isinstance(answer, BaseException):
            raise answer
        return answer

    ray: Any = SimpleNamespace(
        get=get, exceptions=SimpleNamespace(GetTimeoutError=_GetTimeoutError)
    )
    method = SimpleNamespace(remote=lambda *args: None)
    feed = SimpleNamespace(header_of=method, part_of=method, headers=method)
    engine: Any = SimpleNamespace(
        client=SimpleNamespace(closed=closed), feed=feed, table=Table(), lock=threading.Lock()
    )
    return RayShelf(engine, ray, keeps)


def test_a_list_without_an_answer_is_empty() -> None:
    for shelf in (_shelf(RuntimeError("gone")), _shelf((["a"], {"a": b"head"}), keeps=False)):
        assert list(shelf.headers(settled=True)) == []


@pytest.mark.parametrize(
    ("shelf", "why"),
    [
        (_shelf(b""), "they were not kept, have made room"),
        (_shelf(b"head", keeps=False), "they were not kept .keep_locals is off"),
        (_shelf(b"head", closed="it was shut down"), "its session is over"),
        (_shelf(_GetTimeoutError()), "the cluster gave no answer within 5 s"),
        (_shelf(RuntimeError("the actor died\nlong story")), "RuntimeError: the actor died$"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(shelf: RayShelf, why: str) -> None:
    with pytest.raises(LookupError, match=why):
        shelf.header("task", awaited=True)


def test_a_header_is_asked_for_once_and_a_value_that_made_room_is_said() -> None:
    shelf = _shelf(b"head")
    assert shelf.header("task") == b"head"
    assert shelf.part("task", 0, 4) == b"head"
    shelf._ray.get = lambda made, timeout: b""
    assert shelf.header("task") == b"head"
    shelf._engine.client.closed = "it was shut down"
    with pytest.raises(LookupError, match="its session is over"):
        shelf.header("task")
    shelf._engine.client.closed = ""
    with pytest.raises(LookupError, match="no longer kept"):
        shelf.part("task", 0, 4)


def test_failures_of_a_moment_ago_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = _shelf((["a"], {"a": b"head"}))
    table = shelf._engine.table
    asked: list[Any] = []
    shelf._engine.feed.headers = SimpleNamespace(remote=lambda *args: asked.append(args))
    now = ray_remains.time.time()
    for task, state, returned in (
        ("old", "FAILED", now - 60),
        ("good", "FINISHED", now),
        ("killed", "FAILED", 0.0),
        ("a", "FAILED", now - 1),
    ):
        info: Any = SimpleNamespace(id=task, state=state, returned=returned)
        table.ended[task] = info
    assert list(shelf.headers(settled=True)) == [b"head"]
    assert list(shelf.headers(settled=False)) == [b"head"]
    assert [(known, awaited) for known, awaited, _ in asked] == [([], ["a"]), (["a"], [])]
