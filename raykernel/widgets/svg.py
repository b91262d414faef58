"""The static picture of a graph, as it stays in the saved file.

`svg` draws it, `bundle` packs it for a notebook's output in three forms:

* `text/html`: the picture as `<img>` with a data address, which also passes the sanitiser that
  JupyterLab applies to notebooks it does not trust (inline `<svg>` and its own SVG output don't),
  and a table with the functions and failures for readers who see no pictures;
* `image/svg+xml` for viewers that prefer it, and `text/plain`.

Nothing in them runs. The background is transparent and the colours read on white and on black.
A picture of more than `MOST` characters is replaced by the one with a card per function, which
keeps each output under 200 KiB. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from raykernel.runtime.events import CALL, STATES

from .layout import CALL_SIZE, HEADER_CHARACTERS, Box, shorten
from .picture import DATA, GROUP, STATE_NUMBER, Node, Picture
from .still import MOST, frame, legend, marks
from .style import LINE, LOOKS, TEXT

if TYPE_CHECKING:
    from .model import GraphModel

_WIDTH, _HEIGHT = 920.0, 400.0  # of the graph itself, at most
_LARGEST = 1.3  # zoom of a small graph
_PAD = 14.0
_LEGEND = 34.0
_EDGES = 240  # between cards; the heaviest
_SKIPS, _LIFT = 75.0, 19.0  # an edge longer than that leaves its row; as in graph_paint.js
_ROWS_LISTED = 40
_FONT = "font-family='system-ui,-apple-system,Segoe UI,sans-serif'"


def bundle(model: GraphModel, view: str = "") -> dict[str, str]:
    """The static forms of the graph. `view` names the live view that may take its place."""
    drawn = svg(model)
    return {
        "text/html": page(model, drawn, view),
        "image/svg+xml": drawn,
        "text/plain": text(model),
    }


def svg(model: GraphModel) -> str:
    drawn = _svg(model, model.picture)
    return drawn if len(drawn) <= MOST else _svg(model, model.groups)


def page(model: GraphModel, drawn: str, view: str = "") -> str:
    words = model.headline()
    return frame(view, f"Task graph of {words}", words, drawn, _table(model))


def text(model: GraphModel) -> str:
    """The graph for a terminal: functions, their tasks by state, and where their data comes from.

    task graph, 21 tasks: 1 running, 20 finished
      load   16 finished
      train  1 running, 4 finished   <- load
    """
    functions = model.functions()
    sources: dict[str, list[str]] = {}
    for source, target, _ in model.flows():
        if source not in sources.setdefault(target, []):
            sources[target].append(source)
    shown = functions[:_ROWS_LISTED]
    wide = max((len(shorten(name, 32)) for name, _ in shown), default=0)
    lines = [f"task graph, {model.headline()}"]
    for name, counts in shown:
        states = ", ".join(_states(counts))
        origins = sources.get(name, [])
        origin = f"   <- {', '.join(origins[:4])}" if origins else ""
        origin += ", …" if len(origins) > 4 else ""
        lines.append(f"  {shorten(name, 32):<{wide}}  {states}{origin}")
    if len(functions) > len(shown):
        lines.append(f"  and {len(functions) - len(shown)} more functions")
    lines += [f"  failed: {words}" for words in _failures(model)[:5]]
    return "\n".join(lines)


def _states(counts: Iterable[int]) -> list[str]:
    return [f"{n:,} {look['label']}" for n, look in zip(counts, LOOKS, strict=True) if n]


def _failures(model: GraphModel) -> list[str]:
    return [
        f"{name}: {shorten(error, 300)}" + (f" ({count} times)" if count > 1 else "")
        for (name, error), (count, _) in model.failures.items()
    ]


def _table(model: GraphModel) -> str:
    used = [number for number, count in enumerate(model.counts) if count]
    head = "".join(f"<th>{LOOKS[number]['label']}</th>" for number in used)
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(f"<td>{f'{counts[number]:,}' if counts[number] else ''}</td>" for number in used)
        + "</tr>"
        for name, counts in model.functions()[:_ROWS_LISTED]
    )
    failed = "".join(f"<li><code>{escape(words)}</code></li>" for words in _failures(model))
    return f"<table><tr><th>function</th>{head}</tr>{rows}</table>" + (
        f"<p>Failed:</p><ul>{failed}</ul>" if failed else ""
    )


def _svg(model: GraphModel, picture: Picture) -> str:
    """The drawing, the graph itself at most `_WIDTH` by `_HEIGHT`, above a legend."""
    area = _area(picture)
    zoom = min(_LARGEST, _WIDTH / area.w, _HEIGHT / area.h)
    shown, shown_width = legend(model.counts, model.total)
    width = max(area.w * zoom, shown_width) + 2 * _PAD
    top = _PAD + 6.0
    height = top + area.h * zoom + _LEGEND
    shift = f"translate({_PAD - area.x * zoom:.1f} {top - area.y * zoom:.1f})"
    words = escape("Task graph of " + model.headline())
    graph = _lanes(picture) + _edges(picture) + "".join(_nodes(picture))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}' role='img' {_FONT} font-size='11' fill='{TEXT}'>"
        f"<title>{words}</title><defs>{marks()}</defs>"
        f"<g transform='{shift}'><g transform='scale({zoom:.3f})'>{graph}</g>"
        f"{_headers(picture, zoom)}</g>"
        f"<g transform='translate({_PAD} {height - 12:.0f})'>{shown}</g></svg>"
    )


def _area(picture: Picture) -> Box:
    """What the picture covers, with headers and lanes; never empty."""
    boxes = [node.box for node in picture.nodes] or [Box(0, 0, 1, 1)]
    boxes += [Box(x, y, w, h) for x, y, w, h, _ in picture.lanes()]
    boxes += [Box(x, y - 10, len(label) * 6.6, 10) for x, y, label in picture.headers()]
    x, y = min(box.x for box in boxes), min(box.y for box in boxes)
    right, bottom = max(box.right for box in boxes), max(box.y + box.h for box in boxes)
    return Box(x, y, right - x, bottom - y)


def _nodes(picture: Picture) -> Iterable[str]:
    small = CALL_SIZE / 22
    lanes = tuple(f"{label}." for *_, label in picture.lanes())
    for node in picture.nodes:
        box = node.box
        if node.kind == GROUP:
            # In its class's lane the method's name is enough.
            known = next((start for start in lanes if node.label.startswith(start)), "")
            yield _card(node, node.label[len(known) :])
        elif node.task is not None:
            state = STATE_NUMBER[node.task.state]
            if node.kind == CALL:
                place = f"transform='translate({box.x:g} {box.y:g})scale({small:.3f})'"
                yield f"<use href='#rk{state}' {place}/>"
            else:
                yield f"<use href='#rk{state}' x='{box.x:g}' y='{box.y:g}'/>"


def _card(node: Node, name: str) -> str:
    box, counts = node.box, node.counts or [0] * len(STATES)
    total = sum(counts)
    inner = box.w - 24
    bars, x = "", 0.0
    # The furthest states first, so that the bar fills from the left as work gets done.
    for number in (3, 4, 5, 2, 1, 0):
        wide = inner * counts[number] / max(total, 1)
        if wide:
            opacity = "" if LOOKS[number]["filled"] else " fill-opacity='.35'"
            bars += (
                f"<rect x='{12 + x:.1f}' y='36' width='{wide:.1f}' height='8' "
                f"fill='{LOOKS[number]['color']}'{opacity}/>"
            )
            x += wide
    edge = LOOKS[4]["color"] if counts[4] else LINE
    return (
        f"<g transform='translate({box.x:g} {box.y:g})'>"
        f"<rect width='{box.w:g}' height='{box.h:g}' rx='8' fill='{LINE}' fill-opacity='.1' "
        f"stroke='{edge}' stroke-opacity='.7'/>"
        f"<text x='12' y='23' font-size='12.5'>{escape(shorten(name, 18))}</text>"
        f"<text x='{box.w - 12:g}' y='23' font-size='12.5' text-anchor='end'>{total:,}</text>"
        f"{bars}</g>"
    )


def _edges(picture: Picture) -> str:
    data, parents = [], []
    columns = [x for x, *_ in picture.headers()] if picture.mode == "tasks" else None
    for (source, target, relation), weight in picture.edges.items():
        if source == target:
            continue
        a, b = picture.nodes[source].box, picture.nodes[target].box
        if relation == DATA:
            data.append((_curve(a, b, columns), weight))
        elif picture.nodes[target].kind != CALL:  # an actor's callers would be a tangle
            parents.append(_curve(a, b, columns))
    drawn = f"<path d='{''.join(parents)}' stroke-dasharray='2 4' stroke-opacity='.35'/>"
    if picture.mode == "tasks":
        drawn += f"<path d='{''.join(d for d, _ in data)}' stroke-opacity='.65'/>"
    else:
        data.sort(key=lambda edge: -edge[1])
        drawn += "".join(
            f"<path d='{d}' stroke-opacity='.65' stroke-width='{_thickness(n):.1f}'/>"
            for d, n in data[:_EDGES]
        )
    return f"<g fill='none' stroke='{LINE}' stroke-width='1.2'>{drawn}</g>"


def _thickness(weight: int) -> float:
    return float(min(6.0, 1.0 + 0.4 * weight.bit_length()))


def _curve(a: Box, b: Box, columns: list[float] | None) -> str:
    x1, y1, x2, y2 = a.right, a.y + a.h / 2, b.x, b.y + b.h / 2
    bend, lift = max(24.0, abs(x2 - x1) / 2), 0.0
    skips = columns is None or any(x1 < x < x2 - 1 for x in columns)
    if skips and abs(y2 - y1) < 1 and x2 - x1 > _SKIPS:  # past what stands between
        bend, lift = (x2 - x1) / 4, _LIFT
    return (
        f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1 - lift:.0f} {x2 - bend:.0f} {y2 - lift:.0f} "
        f"{x2:.0f} {y2:.0f}"
    )


def _lanes(picture: Picture) -> str:
    return "".join(
        f"<rect x='{x - 8:g}' y='{y:g}' width='{w + 16:g}' height='{h:g}' rx='8' "
        f"fill='{LINE}' fill-opacity='.12'/>"
        f"<text x='{x:g}' y='{y + 15:g}'>{escape(shorten(label))}</text>"
        for x, y, w, h, label in picture.lanes()
    )


def _headers(picture: Picture, zoom: float) -> str:
    """Names over the columns, at one size whatever the zoom; those without room are left out."""
    headers = sorted(picture.headers())
    drawn, free = "", -1e9
    ends = [header[0] * zoom for header in headers[1:]] + [math.inf]
    for (x, y, label), end in zip(headers, ends, strict=False):
        at = x * zoom
        room = HEADER_CHARACTERS if end == math.inf else int((end - at) / 6.6)
        if at >= free and room >= 3:
            short = shorten(label, min(HEADER_CHARACTERS, room))
            drawn += f"<text x='{at:.1f}' y='{y * zoom + 4:.1f}'>{escape(short)}</text>"
            free = at + len(short) * 6.6
    return drawn
