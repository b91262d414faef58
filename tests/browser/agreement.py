"""Whether the views show what the state API tells in the same program, number by number.

`desk` says where the views are and asks the program: a notebook's kernel (desk.py), or this one,
which a dashboard shows (test_dashboard.py).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from playwright.sync_api import Locator, expect

from tests.browser.lab import until

#: The views that show how many tasks are in which state.
BY_TASK = ("graph", "timeline", "cluster")
PATIENCE = 30.0

#: What `ask` must know besides `ray` and `state`.
WORDS = """\
LABELS = {'PENDING_ARGS_AVAIL': 'waiting', 'PENDING_NODE_ASSIGNMENT': 'ready'}
def label(t):
    return LABELS.get(t.state, 'cancelled' if t.error_type == 'TASK_CANCELLED' else t.state.lower())
def tasks(cell=None): return state.list_tasks(limit=10_000, cell=cell)
def counts(cell=None): return dict(Count(label(t) for t in tasks(cell)))
"""

_CHIPS = """(view) => Object.fromEntries([...view.querySelectorAll('.rk-chip')]
    .filter((chip) => chip.checkVisibility()).map((chip) => {
      const [n, ...words] = chip.textContent.trim().split(' ');
      return [words.join(' '), Number(n.replaceAll(',', ''))];
    }))"""
_TABLE = """(table) => [...table.tBodies[0].rows].map(
    (row) => [...row.cells].map((cell) => cell.textContent))"""


class Desk(Protocol):
    def ask(self, expression: str) -> Any:
        """What an expression is in the program."""
        ...

    def view(self, name: str) -> Locator: ...


def comes(shown: Callable[[], Any], wanted: Any) -> None:
    """Wait until what is shown is what is wanted."""
    seen: list[Any] = [None]

    def equal() -> bool:
        seen[0] = shown()
        return bool(seen[0] == wanted)

    try:
        until(equal, "", PATIENCE)
    except AssertionError:
        raise AssertionError(f"{seen[0]!r} is shown, and not {wanted!r}") from None


def chips(view: Locator) -> dict[str, int]:
    """How many tasks a view says are in which state."""
    return dict(view.evaluate(_CHIPS))


def table(view: Locator, title: str = "") -> list[list[str]]:
    """The texts of a table's rows, of the view's first section with that title."""
    box = view.locator("details.rk-section", has_text=title)
    return list(box.first.locator("table").evaluate(_TABLE))


def summed(before: dict[str, int], **more: int) -> dict[str, int]:
    return dict(Counter(before) + Counter(more))


def agree(desk: Desk, states: dict[str, int]) -> None:
    """Wait until the kernel's tasks are in these states, and every view shows so."""
    comes(lambda: desk.ask("counts()"), states)
    for name in BY_TASK:
        comes(partial(chips, desk.view(name)), states)
    total = sum(states.values())
    expect(desk.view("graph").locator(".rk-total")).to_have_text(f"{total} tasks")
    expect(desk.view("timeline").locator(".rk-total")).to_have_text(f"{total} tasks")
    told = "[sum(f['state_counts'].values()) for f in {}['cluster']['summary'].values()]"
    assert sum(desk.ask(told.format("state.summarize_tasks()"))) == total
    cluster_agrees(desk)
    memory_agrees(desk)
    logs_agree(desk)


def cluster_agrees(desk: Desk) -> None:
    comes(
        lambda: sorted(
            (row[0], row[2], row[3], row[4], row[5]) for row in table(desk.view("cluster"))
        ),
        desk.ask(
            "sorted((a.class_name, a.state.lower(), str(a.num_restarts), str(a.num_pending_calls),"
            " str(a.pid or '')) for a in state.list_actors(limit=10_000))"
        ),
    )
    comes(
        lambda: sorted((row[0], row[1], row[3]) for row in table(desk.view("cluster"), "Workers")),
        desk.ask(
            "sorted((str(w.pid or ''), w.state.lower(), str(w.num_tasks))"
            " for w in state.list_workers(limit=10_000))"
        ),
    )
    total, free = desk.ask(
        "ray.cluster_resources()['CPU'], ray.available_resources().get('CPU', 0)"
    )
    meter = desk.view("cluster").get_by_role("meter", name="CPU")
    expect(meter).to_have_attribute("aria-valuetext", f"{total - free:g} of {total:g} in use")
    nodes = [[node.node_id[:12], node.state.lower()] for node in desk.ask("state.list_nodes()")]
    assert [row[:2] for row in table(desk.view("cluster"), "Nodes")] == nodes


def size(n: int) -> str:
    return f"{n} B" if n < 1024 else f"{n / 1024:.1f} KiB" if n < 1 << 20 else f"{n >> 20:.1f} MiB"


def memory_agrees(desk: Desk) -> None:
    listed = desk.ask(
        "sorted((o.object_id, o.object_size, o.where) for o in state.list_objects(limit=10_000))"
    )
    short = [(f"{one[:8]}…{one[-10:]}", size(n), where) for one, n, where in listed]
    comes(
        lambda: sorted(
            (row[4], row[0], row[1].partition(",")[0]) for row in table(desk.view("memory"))
        ),
        sorted(short),
    )
    total = desk.view("memory").locator(".rk-total")
    expect(total).to_have_text(re.compile(rf"^{len(listed)} objects?, "))


def logs_agree(desk: Desk) -> None:
    """A line for each task that has begun and prints one, with its name and its process."""
    said = desk.view("logs").locator(".rk-log > span:nth-child(2)", has_text=re.compile("wait|add"))
    comes(
        lambda: Counter(said.all_text_contents()),
        desk.ask(
            "Count(f'{t.name} · {t.worker_pid}' for t in tasks()"
            " if t.name in ('wait', 'Counter.add') and t.start_time_ms)"
        ),
    )
