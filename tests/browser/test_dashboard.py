"""`raykernel dashboard` on a real session, in a real browser: live, acting, guarded."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from playwright.sync_api import expect

import raykernel as ray
from raykernel.util import state
from tests.browser.dash import dashboard
from tests.browser.lab import browsing, until

#: The views that show how many tasks are in which state.
BY_TASK = ("cluster", "timeline", "graph")


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


@pytest.mark.timeout(120)
def test_a_session_in_the_dashboard(chromium: str, session: str, tmp_path: Path) -> None:
    gate = tmp_path / "gate"

    @ray.remote
    def wait() -> None:
        import time

        print("waiting")
        while not gate.exists():
            time.sleep(0.02)

    @ray.remote
    class Counter:
        def add(self) -> int:
            return 1

    counter = Counter.remote()
    assert ray.get(counter.add.remote()) == 1
    waiting = [wait.remote() for _ in range(5)]
    with dashboard(session) as (address, server):
        assert refused(address.split("?")[0])
        assert refused(address, Host="evil.example")
        with browsing(chromium) as browser:
            page = browser.new_page()
            expect.set_options(timeout=20_000)
            errors: list[str] = []
            page.on("pageerror", lambda error: errors.append(str(error)))
            page.goto(address)
            views = page.locator(".raykernel-view")
            expect(views).to_have_count(5)
            by_task = [page.locator(f".raykernel-{name}") for name in BY_TASK]
            for view in by_task:
                expect(view.locator(".rk-chip:visible", has_text="2 running")).to_have_count(1)

            kept = ray.put(bytes(3 << 20))
            expect(page.locator(".raykernel-memory")).to_contain_text("3.0 MiB")
            expect(page.locator(".raykernel-logs .rk-said", has_text="waiting")).to_have_count(2)

            page.reload()  # in mid-run: the state comes back
            expect(page.locator(".raykernel-logs .rk-said", has_text="waiting")).to_have_count(2)
            expect(page.locator(".raykernel-graph .rk-total")).to_have_text("7 tasks")
            page.get_by_role("button", name="One CPU more").click()
            until(lambda: ray.cluster_resources()["CPU"] == 3, "it was not resized")
            expect(page.locator(".raykernel-timeline .rk-chip:visible").first).to_be_visible()
            kill = page.get_by_role("button", name="Kill Counter")
            kill.click()
            kill.click()
            until(lambda: state.list_actors()[0].state == "DEAD", "it was not killed")

            gate.touch()
            ray.get(waiting)
            expect(page.locator(".raykernel-logs .rk-said", has_text="waiting")).to_have_count(5)
            del kept
            expect(page.locator(".raykernel-memory")).not_to_contain_text("3.0 MiB")
            listed = [task.state for task in state.list_tasks()]
            ended = f"{listed.count('FINISHED')} finished"
            for view in by_task:
                expect(view.locator(".rk-chip:visible", has_text=ended)).to_have_count(1)
            assert errors == []
        ray.shutdown()
        assert server.wait(20) == 0
