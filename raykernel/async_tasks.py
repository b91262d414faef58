"""Coroutine functions and async generators as what a task can run: plain functions, generators.

A task has a process to itself meanwhile, so an event loop of its own runs it to its end. Ray's
`@remote` refuses an `async def`, and so does raykernel's; in a `%%remote` cell, where every
function is to become remote, this is what is meant.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any


def as_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function itself, unless it is async."""
    if inspect.iscoroutinefunction(function):
        return _run_to_end(function)
    if inspect.isasyncgenfunction(function):
        return _draw(function)
    return function


def _run_to_end(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return asyncio.run(function(*args, **kwargs))

    return run


def _draw(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Iterator[Any]:
        loop = asyncio.new_event_loop()
        items = function(*args, **kwargs)
        try:
            while True:
                try:
                    item = loop.run_until_complete(anext(items))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            loop.run_until_complete(items.aclose())
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    return run
