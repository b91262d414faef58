"""A snapshot of a cell's work in one line, of text and of HTML.

This is what a terminal shows, what front ends without widgets show, and what stays in a saved
notebook, where it needs neither a kernel nor a widget's state. Methods stand under their class:
`12 tasks ended in 1.4 s: square 8 done, Counter (1 actor, add 2 done, get 1 done)`.
"""

from __future__ import annotations

from html import escape

from raykernel.widgets.work import Bar, Failure, Row, Snapshot


def still_bundle(snapshot: Snapshot, stopped: bool = False, view: str = "") -> dict[str, str]:
    """`view` names the live view that may be drawn in its place, as long as there is one."""
    html = still_html(snapshot, stopped)
    if view:
        html = f'<div data-raykernel-view="{escape(view)}">{html}</div>'
    return {"text/plain": line(snapshot, stopped), "text/html": html}


def line(snapshot: Snapshot, stopped: bool = False) -> str:
    """One line of plain text. `stopped` says that the session ended under unfinished tasks."""
    head = _headline(snapshot, stopped)
    groups = [_group_text(name, rows) for name, rows in _groups(snapshot.rows)]
    text = f"{head}: {', '.join(groups)}" if groups else head
    if snapshot.live or not groups:
        bars = [bar_text(bar) for bar in snapshot.bars if snapshot.live == 0 or not bar.closed]
        text += "".join(f"  {bar}" for bar in bars)
    return text


def still_html(snapshot: Snapshot, stopped: bool = False) -> str:
    total = snapshot.sum
    good = not (total.failed or total.cancelled or snapshot.live)
    mark = "&#10003;" if good else "&#9679;" if snapshot.live and not stopped else "&#9888;"
    groups = [_group_html(name, rows) for name, rows in _groups(snapshot.rows)]
    if not groups:
        groups = [escape(bar_text(bar)) for bar in snapshot.bars]
    body = "".join(f' <span style="opacity:0.8">&middot; {group}</span>' for group in groups)
    return (
        '<div class="raykernel-progress-still" style="font-size:0.9em">'
        f'<span aria-hidden="true">{mark}</span> {escape(_headline(snapshot, stopped))}'
        f"{body}{_failures_html(snapshot.failures)}</div>"
    )


def _failures_html(failures: tuple[Failure, ...]) -> str:
    """The failures, folded: they unfold without a script."""
    if not failures:
        return ""
    count = sum(failure.count for failure in failures)
    items = "".join(
        f"<li><code>{escape(f.name)}</code>{f' &times;{f.count:,}' if f.count > 1 else ''}: "
        f"{escape(f.error)} <small>task {escape(f.task)}</small></li>"
        for f in failures
    )
    noun = "error" if count == 1 else "errors"
    return (
        f'<details style="margin-left:1.2em"><summary style="cursor:pointer">{count:,} {noun}'
        f'</summary><ul style="margin:0.2em 0">{items}</ul></details>'
    )


def _headline(snapshot: Snapshot, stopped: bool) -> str:
    total = snapshot.sum
    ended = total.total - snapshot.live
    if snapshot.live:
        text = f"{ended:,} of {total.total:,} tasks done"
        if stopped:
            return f"{text} when the session ended after {seconds(snapshot.elapsed)}"
        left = "" if snapshot.left is None else f", about {seconds(snapshot.left)} left"
        waits = f", {snapshot.waits}" if snapshot.waits else ""
        return f"{text}, {total.running:,} running{left}{waits}"
    if not total.total:
        busy = any(not bar.closed for bar in snapshot.bars)
        return f"{'Busy for' if busy else 'Done in'} {seconds(snapshot.elapsed)}"
    rate = total.total / snapshot.elapsed if snapshot.elapsed > 0 else 0.0
    speed = f" ({rate:,.0f}/s)" if rate >= 10 else ""
    noun = "task" if total.total == 1 else "tasks"
    return f"{total.total:,} {noun} ended in {seconds(snapshot.elapsed)}{speed}"


def _groups(rows: tuple[Row, ...]) -> list[tuple[str, list[Row]]]:
    """The rows by what they belong to: a class with its methods, or a function."""
    classes = {row.name for row in rows if row.actor}
    classes |= {name.rpartition(".")[0] for name in (row.name for row in rows) if "." in name}
    groups: dict[str, list[Row]] = {}
    for row in rows:
        owner = row.name if row.name in classes else row.name.rpartition(".")[0] or row.name
        groups.setdefault(owner, []).append(row)
    for members in groups.values():
        members.sort(key=lambda row: not row.actor)
    return list(groups.items())


def _member(group: str, row: Row) -> str:
    """A row's name inside its group; "" where it is the group's own."""
    if row.actor:
        return "1 actor" if row.total == 1 else f"{row.total:,} actors"
    return "" if row.name == group else row.name.rpartition(".")[2]


def _group_text(group: str, rows: list[Row]) -> str:
    if len(rows) == 1 and rows[0].name == group and not rows[0].actor:
        return f"{group} {_counts(rows[0])}"
    inner = ", ".join(_member_text(group, row) for row in rows)
    return f"{group} ({inner})"


def _member_text(group: str, row: Row) -> str:
    name = _member(group, row)
    if row.actor:
        return name if row.done == row.total else f"{name}: {_counts(row)}"
    return f"{name} {_counts(row)}".strip()


def _group_html(group: str, rows: list[Row]) -> str:
    code = f"<code>{escape(group)}</code>"
    if len(rows) == 1 and rows[0].name == group and not rows[0].actor:
        return f"{code} {_counts(rows[0])}"
    return f"{code}: " + ", ".join(escape(_member_text(group, row)) for row in rows)


def _counts(row: Row) -> str:
    """As in "12 done, 1 failed": what is not zero, in words that need no colour."""
    parts = [
        f"{count:,} {word}"
        for count, word in (
            (row.done, "done"),
            (row.running, "running"),
            (row.waiting, "waiting"),
            (row.failed, "failed"),
            (row.cancelled, "cancelled"),
        )
        if count
    ]
    return ", ".join(parts) or "none"


def bar_text(bar: Bar) -> str:
    """As in "train 40/100 (40 %)"."""
    if bar.text:
        return bar.text
    count = f"{bar.n:,g}" if bar.total is None else f"{bar.n:,g}/{bar.total:,g}"
    part = f" ({bar.n / bar.total:.0%})" if bar.total else ""
    return f"{bar.label} {count}{part}".strip()


def seconds(value: float) -> str:
    """As in "0.8 s", "12 s", "3 min 5 s" and "2 h 10 min"."""
    if value < 10:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
