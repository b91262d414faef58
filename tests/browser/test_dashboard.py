"""`raykernel dashboard` on a real session, in a real browser: live, acting, guarded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import Locator, expect
from playwright.sync_api import Page as BrowserPage

import raykernel as ray
from raykernel.util import state
from tests.browser.agreement import WORDS, agree
from tests.browser.dash import dashboard
from tests.browser.lab import browsing, until


@pytest.fixture
def session() -> Iterator[str]:
    ray.init(num_cpus=2)
    yield str(ray.init(ignore_reinit_error=True)["session_name"])
    ray.shutdown()


def refused(address: str, **headers: str) -> bool:
    try:
        urlopen(Request(address, headers=headers), timeout=10)
    except HTTPError as error:
        return error.code == 403
    return False


class Page:
    """The dashboard's page, and this program, whose session it shows: see agreement.py."""

    def __init__(self, page: BrowserPage) -> None:
        self.page = page
        self._names: dict[str, Any] = {"ray": ray, "state": state, "Count": Counter}
        exec(WORDS, self._names)

    def ask(self, expression: str) -> Any:
        return eval(expression, self._names)

    def view(self, name: str) -> Locator:
        return self.page.locator(f".raykernel-{name}")

    def sure(self, view: str, name: str) -> None:
        button = self.view(view).get_by_role("button", name=name)
        button.click()
        button.click()


@pytest.mark.timeout(180)
def test_a_session_in_the_dashboard(chromium: str, session: str, tmp_path: Path) -> None:
    gate = str(tmp_path / "gate")

    @ray.remote(max_retries=0)
    def wait(gate: str, *after: object) -> None:
        import os
        import time

        print("waiting")
        while not os.path.exists(gate):
            time.sleep(0.01)

    @ray.remote(num_cpus=0)
    def fail() -> None:
        raise ValueError("on purpose")

    @ray.remote(num_cpus=0)
    class Counter:
        def add(self) -> int:
            print("added")
            return 1

    counter = Counter.remote()
    assert ray.get(counter.add.remote()) == 1
    waiting = [wait.remote(gate) for _ in range(4)]
    waiting.append(wait.remote(gate, *waiting))
    failed = fail.remote()
    held = {"waiting": 1, "ready": 2, "running": 2, "finished": 2, "failed": 1}
    with dashboard(session) as (address, server):
        assert refused(address.split("?")[0])
        assert refused(address, Host="evil.example")
        with browsing(chromium) as browser:
            page = browser.new_page(viewport={"width": 1100, "height": 2400})
            expect.set_options(timeout=20_000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            expect(page.locator(".raykernel-view")).to_have_count(5)
            shown = Page(page)
            agree(shown, held)
            kept = ray.put(bytes(3 << 20))
            expect(shown.view("memory")).to_contain_text("3.0 MiB")

            page.reload()  # in mid-run: the state comes back
            agree(shown, held)

            # What the buttons do, and the tasks that follow from it.
            page.get_by_role("button", name="One CPU more").click()
            held.update(ready=1, running=3)
            agree(shown, held)
            shown.sure("cluster", "Kill Counter")
            until(lambda: state.list_actors()[0].state == "DEAD", "it was not killed")
            agree(shown, held)
            graph, timeline, logs = (shown.view(name) for name in ("graph", "timeline", "logs"))
            graph.get_by_role("searchbox").fill("on purpose")
            graph.get_by_role("searchbox").press("Enter")
            expect(graph.locator(".rk-detail .rk-error")).to_contain_text("ValueError: on purpose")
            logs.get_by_role("searchbox").fill("ADDED")
            expect(logs.locator(".rk-said")).to_have_text(["added"])
            logs.get_by_role("searchbox").fill("")
            follow = timeline.get_by_role("button", name="Follow")
            follow.click()
            expect(follow).to_have_attribute("aria-pressed", "true")
            follow.click()

            Path(gate).touch()
            ray.get(waiting)
            agree(shown, {"finished": 7, "failed": 1})
            Path(gate).unlink()
            stopped = [wait.remote(gate) for _ in range(4)]
            shown.sure("graph", "Cancel the unfinished tasks")  # they are another driver's
            with pytest.raises(ray.exceptions.TaskCancelledError):
                ray.get(stopped[0], timeout=20)
            agree(shown, {"finished": 7, "failed": 1, "cancelled": 4})
            del kept, failed
            expect(shown.view("memory").locator(".rk-total")).to_contain_text("objects, ")
            assert errors == []
        ray.shutdown()
        assert server.wait(20) == 0
