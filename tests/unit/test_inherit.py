"""Whom threads, pools and callbacks work for."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ApplyResult, ThreadPool
from typing import Any

import pytest

from raykernel.futures import RefFuture
from raykernel.runtime import context, inherit


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(context, "cell_source", lambda: context.cell.get() or inherit.cell())
    remove = inherit.install()
    yield
    remove()


def in_cell(name: str, function: Callable[[], Any]) -> Any:
    token = context.cell.set(name)
    try:
        return function()
    finally:
        context.cell.reset(token)


def test_a_thread_belongs_to_who_started_it_and_so_does_a_thread_it_starts() -> None:
    seen: list[str] = []
    go = threading.Event()

    def inner() -> None:
        seen.append(context.current_cell())

    def outer() -> None:
        go.wait(10)
        seen.append(context.current_cell())
        thread = threading.Thread(target=inner)
        thread.start()
        thread.join()

    thread = threading.Thread(target=outer)
    in_cell("first", thread.start)
    in_cell("second", go.set)
    thread.join()
    assert seen == ["first", "first"]


def test_a_pools_work_belongs_to_who_handed_it_in() -> None:
    with ThreadPoolExecutor(1) as pool:
        first = in_cell("first", lambda: pool.submit(context.current_cell))
        second = in_cell("second", lambda: pool.submit(context.current_cell))
        assert (first.result(), second.result()) == ("first", "second")


def test_a_thread_pools_work_and_its_callbacks_belong_to_who_handed_them_in() -> None:
    seen: list[str] = []
    with ThreadPool(1) as pool:
        for name in ("first", "second"):
            assert in_cell(name, lambda: pool.map(_cell_of, [0, 0])) == [name] * 2
            assert in_cell(name, lambda: pool.apply(func=_cell_of, args=(0,))) == name
            lazy = in_cell(name, lambda: pool.imap(_cell_of, [0, 0, 0], chunksize=2))
            assert list(lazy) == [name] * 3
            add = lambda _: seen.append(context.current_cell())  # noqa: E731
            in_cell(name, lambda: pool.apply_async(_cell_of, (0,), callback=add)).wait()  # noqa: B023
    assert seen == ["first", "second"]


def _cell_of(_: int) -> str:
    return context.current_cell()


def test_a_bare_thread_belongs_to_who_started_it() -> None:
    seen: list[str] = []
    done = threading.Event()

    def run() -> None:
        seen.append(context.current_cell())
        done.set()

    in_cell("first", lambda: _thread.start_new_thread(run, ()))
    assert done.wait(10)
    assert seen == ["first"]


def test_callbacks_belong_to_who_added_them() -> None:
    future: RefFuture[int] = RefFuture()
    seen: list[str] = []
    for name in ("first", "second"):
        in_cell(name, lambda: future.add_done_callback(lambda _: seen.append(context.cell.get())))
    in_cell("third", lambda: future.set_result(1))
    assert seen == ["first", "second"]


def test_a_tasks_threads_go_on_for_it_while_the_worker_runs_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context, "thread_origin", inherit.task)
    monkeypatch.setattr(context, "cell_source", None)
    first, second = (context.Running(spec, 1, None) for spec in ("first", "second"))  # type: ignore[arg-type]
    seen: list[Any] = []
    go = threading.Event()

    def late() -> None:
        go.wait(10)
        seen.append(context.running())

    thread = threading.Thread(target=late)
    context.enter(first)
    thread.start()
    context.enter(second)
    context.set_main(second)
    go.set()
    thread.join()
    context.enter(None)
    context.set_main(None)
    assert seen == [first]


def test_what_was_wrapped_is_put_back() -> None:
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    init = ApplyResult.__init__
    inherit.install()()
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)
    assert ApplyResult.__init__ is init


def test_without_a_task_or_a_cell_there_is_nothing_to_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "cell_source", lambda: "")
    context.enter(None)
    assert context.bind(len) is len
