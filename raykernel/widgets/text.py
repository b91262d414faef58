"""A snapshot of a cell's work in one line, of text and of HTML.

This is what a terminal shows, what front ends without widgets show, and what stays in a saved
notebook, where it needs neither a kernel nor a widget's state.
"""

from __future__ import annotations

from html import escape

from raykernel.widgets.work import Row, Snapshot


def still_bundle(snapshot: Snapshot, stopped: bool = False) -> dict[str, str]:
    return {
        "text/plain": line(snapshot, stopped),
        "text/html": still_html(snapshot, stopped),
    }


def line(snapshot: Snapshot, stopped: bool = False) -> str:
    """One line of plain text. `stopped` says that the session ended under unfinished tasks."""
    head = _headline(snapshot, stopped)
    rows = [_row_text(row) for row in snapshot.rows]
    return f"{head}: {', '.join(rows)}" if rows else head


def still_html(snapshot: Snapshot, stopped: bool = False) -> str:
    total = snapshot.sum
    good = not (total.failed or total.cancelled or snapshot.live)
    mark = "&#10003;" if good else "&#9679;" if snapshot.live and not stopped else "&#9888;"
    rows = " &middot; ".join(f"<code>{escape(r.name)}</code> {_counts(r)}" for r in snapshot.rows)
    return (
        '<div class="raykernel-progress-still" style="font-size:0.9em">'
        f'<span aria-hidden="true">{mark}</span> {escape(_headline(snapshot, stopped))}'
        f"{': ' + rows if rows else ''}</div>"
    )


def _headline(snapshot: Snapshot, stopped: bool) -> str:
    total = snapshot.sum
    ended = total.total - snapshot.live
    if snapshot.live:
        text = f"{ended:,} of {total.total:,} tasks done"
        if stopped:
            return f"{text} when the session ended after {seconds(snapshot.elapsed)}"
        left = "" if snapshot.left is None else f", about {seconds(snapshot.left)} left"
        return f"{text}, {total.running:,} running{left}"
    noun = "task" if total.total == 1 else "tasks"
    rate = total.total / snapshot.elapsed if snapshot.elapsed > 0 else 0.0
    speed = f" ({rate:,.0f}/s)" if rate >= 10 else ""
    return f"{total.total:,} {noun} ended in {seconds(snapshot.elapsed)}{speed}"


def _row_text(row: Row) -> str:
    return f"{row.name} {_counts(row)}"


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
