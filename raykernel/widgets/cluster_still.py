"""The static form of the cluster panel, as it stays in the saved file: meters and tables. Of a
session that has ended it shows what was seen last. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from raykernel.amounts import size

from .still import frame, headline, legend, marks
from .style import LINE, LOOKS, TEXT

if TYPE_CHECKING:
    from .cluster_model import ClusterModel
    from .counts import Counts

WIDTH, METER, ROW = 700, 300, 30
ROWS = 40
_BUSY = LOOKS[2]["color"]


def bundle(model: ClusterModel, view: str = "") -> dict[str, str]:
    facts, counts = _seen(model)
    summary = _summary(model)
    drawn = _svg(facts, counts, summary)
    return {
        "text/html": frame(view, summary, summary, drawn, _tables(facts)),
        "image/svg+xml": drawn,
        "text/plain": text(model),
    }


def _seen(model: ClusterModel) -> tuple[dict[str, Any], Counts]:
    return model.last if model.last and not model.facts else (model.facts, model.counts)


def _summary(model: ClusterModel) -> str:
    facts, counts = _seen(model)
    if not facts:
        return "No session is running"
    ended = "" if model.facts else " (ended)"
    return f"Session {facts['session']}{ended}, {headline(counts.by_state, counts.total)}"


def _meters(facts: dict[str, Any]) -> list[tuple[str, float, float, str]]:
    """(name, used, total, words)"""
    if not facts:
        return []
    rows = []
    for name in sorted(facts["resources"], key=lambda name: (name != "CPU", name)):
        used, total = facts["resources"][name]
        words = f"{used:g} of {total:g} in use"
        if name == "memory":
            words = f"{size(used)} of {size(total)} reserved"
        rows.append((name, used, total, words))
    store = facts["store"]
    noun = "object" if store["objects"] == 1 else "objects"
    words = f"{size(store['used'])} of {size(store['capacity'])}, {store['objects']:,} {noun}"
    if store.get("pinned"):
        words += f", {size(store['pinned'])} pinned"
    if store.get("on_disk"):
        words += f", {size(store['on_disk'])} on disk"
    rows.append(("object store", store["used"], store["capacity"], words))
    used, total = facts["machine"]["memory"]
    owner = "this machine's" if _nodes(facts) else "machine's"
    rows.append((f"{owner} memory", used, total, f"{size(used)} of {size(total)} in use"))
    return rows[:12]


def _svg(facts: dict[str, Any], counts: Counts, summary: str) -> str:
    meters = _meters(facts)
    height = 34 + ROW * len(meters) + 34
    parts = [f"<text x='12' y='20' font-size='13' font-weight='600'>{escape(summary)}</text>"]
    for number, (name, used, total, words) in enumerate(meters):
        y = 34 + ROW * number
        share = METER * min(1.0, used / total) if total else 0.0
        parts.append(
            f"<text x='12' y='{y + 15}'>{escape(name[:20])}</text>"
            f"<rect x='140' y='{y + 6}' width='{METER}' height='10' rx='5' fill='{LINE}' "
            "fill-opacity='.25'/>"
            f"<rect x='140' y='{y + 6}' width='{share:.1f}' height='10' rx='5' fill='{_BUSY}'/>"
            f"<text x='{140 + METER + 12}' y='{y + 15}'>{escape(words)}</text>"
        )
    shown, _ = legend(counts.by_state, counts.total)
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' "
        f"viewBox='0 0 {WIDTH} {height}' role='img' font-size='11.5' fill='{TEXT}' "
        "font-family='system-ui,-apple-system,Segoe UI,sans-serif'>"
        f"<title>{escape(summary)}</title><defs>{marks()}</defs>{''.join(parts)}"
        f"<g transform='translate(12 {height - 12})'>{shown}</g></svg>"
    )


def _tables(facts: dict[str, Any]) -> str:
    if not facts:
        return "<p>%ray start starts one.</p>"
    actors = [
        [a["class"], a["name"], a["state"].lower(), a["restarts"], a["queued"], a["pid"] or ""]
        for a in facts["actors"][:ROWS]
    ]
    workers = [
        [w["pid"], w["state"], w["actor"], w["tasks"], _memory(w["memory"])]
        for w in facts["workers"][:ROWS]
    ]
    return (
        _table(("actor", "name", "state", "restarts", "queue", "process"), actors)
        + _table(("worker", "state", "actor", "tasks", "memory"), workers)
        + _table(("node", "state", "resources", "load"), _nodes(facts))
    )


def _memory(amount: int) -> str:
    return size(amount) if amount >= 0 else "unknown"


def _nodes(facts: dict[str, Any]) -> list[list[Any]]:
    """Of a session on several."""
    if len(facts.get("nodes", ())) < 2:
        return []
    return [[n["id"][:12], n["state"], n["has"], n["load"]] for n in facts["nodes"][:ROWS]]


def _table(names: tuple[str, ...], rows: list[list[Any]]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{name}</th>" for name in names)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def text(model: ClusterModel) -> str:
    facts, _ = _seen(model)
    lines = [_summary(model)]
    for name, _, _, words in _meters(facts):
        lines.append(f"  {name}: {words}")
    states = facts.get("actor_states")
    for name, state, has, _ in _nodes(facts):
        lines.append(
            f"  node {name}: {state}".replace("node :", "node:") + (f", {has}" if has else "")
        )
    if states:
        lines.append("  actors: " + ", ".join(f"{n} {state}" for state, n in states.items()))
    return "\n".join(lines)
