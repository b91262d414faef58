"""The static picture of a timeline, as it stays in the saved file: lanes, bars, an axis, a table.

Bars that are closer than a pixel are drawn as one, and with many lanes those that are further apart
too, so that the picture's size hangs on its width and not on the number of tasks. Pure.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from raykernel.runtime.events import STATES

from .still import MOST, duration, frame, headline, legend, marks
from .style import FUNCTIONS, LINE, LOOKS, TEXT

if TYPE_CHECKING:
    from .timeline_model import TimelineModel

WIDTH, LEFT, LANE_H, BAR_H, TOP = 920, 130, 24, 16, 24
LANES_DRAWN = 40
CLOSE = 0.7  # pixels
ROWS_LISTED = 40
CHARACTERS = 40  # of a lane in text
_STATE, _COUNT, _START, _LOADED, _RAN, _STORED = 3, 4, 5, 8, 9, 10
_FAILED = STATES.index("FAILED")


def bundle(model: TimelineModel, view: str = "") -> dict[str, str]:
    drawn = svg(model)
    words = headline(model.counts, model.total)
    return {
        "text/html": frame(view, f"Timeline of {words}", words, drawn, _table(model)),
        "image/svg+xml": drawn,
        "text/plain": text(model),
    }


def color(name: int) -> str:
    return FUNCTIONS[name % len(FUNCTIONS)]


def svg(model: TimelineModel) -> str:
    lanes = model.lanes[:LANES_DRAWN]
    tops, y = [], TOP
    for lane in lanes:
        tops.append(y)
        y += LANE_H * len(lane.free)
    height = y + 44
    end = max(model.end(), 1)
    begin = min((bar[_START] for bar in model.bars.values()), default=0)
    scale = (WIDTH - LEFT - 14) / max(1, end - begin)
    parts = [_axis(begin, end, scale, y)]
    for lane, top in zip(lanes, tops, strict=True):
        parts.append(
            f"<text x='12' y='{top + 15}'>{escape(lane.label[:18])}</text>"
            f"<rect x='{LEFT}' y='{top + 3}' width='{WIDTH - LEFT - 14}' "
            f"height='{LANE_H * len(lane.free) - 6}' rx='4' fill='{LINE}' fill-opacity='.12'/>"
        )
    gap, bars = CLOSE, _bars(model, tops, begin, end, scale, CLOSE)
    while sum(map(len, bars)) > MOST and gap < WIDTH:
        gap *= 2
        bars = _bars(model, tops, begin, end, scale, gap)
    parts += bars
    shown, _ = legend(model.counts, model.total)
    words = escape("Timeline of " + headline(model.counts, model.total))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='{height}' "
        f"viewBox='0 0 {WIDTH} {height}' role='img' font-size='11' fill='{TEXT}' "
        "font-family='system-ui,-apple-system,Segoe UI,sans-serif'>"
        f"<title>{words}</title><defs>{marks()}</defs>{''.join(parts)}"
        f"<g transform='translate(12 {height - 10})'>{shown}</g></svg>"
    )


def _bars(
    model: TimelineModel, tops: list[int], begin: int, end: int, scale: float, gap: float
) -> list[str]:
    """Bars in pixels; those of one row and look that are closer than the gap are one."""
    drawn: dict[tuple[int, int, str], list[list[float]]] = {}
    for bar in sorted(model.bars.values(), key=lambda bar: bar[_START]):
        if bar[0] >= len(tops):
            continue
        stop = end if bar[_RAN] < 0 else bar[_START] + bar[_LOADED] + bar[_RAN] + bar[_STORED]
        x1, x2 = (bar[_START] - begin) * scale, (stop - begin) * scale
        look = LOOKS[_FAILED]["color"] if bar[_STATE] == _FAILED else color(bar[2])
        spans = drawn.setdefault((bar[0], bar[1], look), [])
        if spans and x1 - spans[-1][1] < gap:
            spans[-1][1] = max(spans[-1][1], x2)
        else:
            spans.append([x1, max(x2, x1 + CLOSE)])
    out = []
    for (lane, row, look), spans in drawn.items():
        y = tops[lane] + row * LANE_H + (LANE_H - BAR_H) / 2
        path = "".join(f"M{LEFT + a:.1f} {y:g}h{b - a:.1f}v{BAR_H}h-{b - a:.1f}z" for a, b in spans)
        out.append(f"<path d='{path}' fill='{look}'/>")
    return out


def _axis(begin: int, end: int, scale: float, bottom: int) -> str:
    step = _step((end - begin) / 8)
    parts = []
    at = -(-begin // step) * step
    while at <= end:
        x = LEFT + (at - begin) * scale
        parts.append(
            f"<path d='M{x:.1f} {TOP - 4}V{bottom}' stroke='{LINE}' stroke-opacity='.3'/>"
            f"<text x='{x:.1f}' y='14' text-anchor='middle'>{duration((at - begin) / 1e6)}</text>"
        )
        at += step
    return "".join(parts)


def _step(least: float) -> int:
    """1, 2 or 5 times a power of ten microseconds, not under `least`."""
    step = 1
    while True:
        for times in (1, 2, 5):
            if step * times >= least:
                return step * times
        step *= 10


def _functions(model: TimelineModel) -> list[tuple[str, int, float, float]]:
    """(name, tasks, seconds run, seconds waited) of what is drawn, longest first."""
    sums: dict[int, list[float]] = {}
    for bar in model.bars.values():
        if bar[_RAN] < 0:
            continue
        row = sums.setdefault(bar[2], [0, 0.0, 0.0])
        row[0] += bar[_COUNT]
        row[1] += bar[_RAN] / 1e6
        row[2] += (bar[6] + bar[7]) / 1e6
    rows = [(model.names[name], int(n), ran, waited) for name, (n, ran, waited) in sums.items()]
    return sorted(rows, key=lambda row: -row[2])


def _table(model: TimelineModel) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{n:,}</td><td>{duration(ran)}</td>"
        f"<td>{duration(ran / n)}</td><td>{duration(waited / n)}</td></tr>"
        for name, n, ran, waited in _functions(model)[:ROWS_LISTED]
    )
    return (
        "<table><tr><th>function</th><th>tasks</th><th>ran in all</th><th>on average</th>"
        f"<th>waited on average</th></tr>{rows}</table>"
    )


def text(model: TimelineModel) -> str:
    """The timeline for a terminal: how busy each lane was, and how long each function took.

    timeline, 21 tasks: 21 finished, 3.25 s
      worker 4711   12 tasks  83 % busy  ██████████ ██
      train  5 tasks, 400 ms each, waited 1.20 s
    """
    end = max(model.end(), 1)
    begin = min((bar[_START] for bar in model.bars.values()), default=0)
    span = max(1, end - begin)
    lines = [f"timeline, {headline(model.counts, model.total)}, {duration(span / 1e6)}"]
    shown = model.lanes[:LANES_DRAWN]
    wide = max((len(lane.label) for lane in shown), default=0)
    strips = [[" "] * CHARACTERS for _ in shown]
    for bar in model.bars.values():
        if bar[0] < len(strips):
            stop = end if bar[_RAN] < 0 else bar[_START] + bar[_LOADED] + bar[_RAN]
            first = int((bar[_START] - begin) / span * CHARACTERS)
            last = max(first + 1, round((stop - begin) / span * CHARACTERS))
            strips[bar[0]][first:last] = "█" * (min(last, CHARACTERS) - first)
    for lane, strip in zip(shown, strips, strict=True):
        busy = min(100, round(100 * lane.busy / span))
        drawn = "".join(strip)
        lines.append(f"  {lane.label:<{wide}}  {lane.tasks:>6,} tasks  {busy:>3} % busy  |{drawn}|")
    for name, n, ran, waited in _functions(model)[:ROWS_LISTED]:
        each = f"{duration(ran / n)} each, waited {duration(waited / n)}"
        lines.append(f"  {name}: {n:,} {'task' if n == 1 else 'tasks'}, {each}")
    return "\n".join(lines)
