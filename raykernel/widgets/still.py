"""What the static forms of all views share: the frame in HTML, marks, legend, words for numbers.

`frame` packs a picture for a notebook: as `<img>` with a data address, which also passes the
sanitiser that JupyterLab applies to notebooks it does not trust (inline `<svg>` and its own SVG
output don't), above a table for readers who see no pictures. Nothing in it runs. Colours read on
white and on black, and the background is transparent. Pure.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from .style import LOOKS

MOST = 60_000  # characters of a picture; it stands twice in an output, once as base64


def frame(view: str, title: str, summary: str, drawn: str, table: str, open_: bool = False) -> str:
    """The HTML of a view; `view` names the live view that may take its place. The table is folded
    under a picture that says the same, and `open_` where it says more."""
    picture = ""
    if drawn:
        address = "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()
        alt = escape(title)
        picture = f'<img alt="{alt}" src="{address}" style="max-width:100%;height:auto">'
    mark = f' data-raykernel-view="{escape(view)}"' if view else ""
    opened = " open" if open_ or not drawn else ""
    return (
        f'<div class="raykernel-static"{mark}>{picture}'
        f"<details{opened}><summary>{escape(summary)}</summary>{table}</details>"
        "</div>"
    )


def headline(counts: Sequence[int], total: int) -> str:
    """`128 tasks: 4 running, 124 finished`"""
    parts = [f"{n:,} {look['label']}" for n, look in zip(counts, LOOKS, strict=True) if n]
    noun = "task" if total == 1 else "tasks"
    return f"{total:,} {noun}" + (": " + ", ".join(parts) if parts else "")


def marks() -> str:
    """One drawing for each state, `rk0` and on, to be used by every node in that state."""
    drawn = []
    for number, look in enumerate(LOOKS):
        if look["filled"]:
            box = f"<rect width='22' height='22' rx='6' fill='{look['color']}'/>"
            line = "#fff"
        else:
            box = (
                "<rect x='1' y='1' width='20' height='20' rx='5' "
                f"fill='{look['color']}' fill-opacity='.12' stroke='{look['color']}' "
                "stroke-width='2'/>"
            )
            line = look["color"]
        # A dot is a line of no length: it takes a wide pen.
        pen = "6" if look["mark"].endswith("h.01") else "2.2"
        path = (
            f"<path d='{look['mark']}' fill='none' stroke='{line}' stroke-width='{pen}' "
            "stroke-linecap='round' stroke-linejoin='round'/>"
        )
        drawn.append(f"<g id='rk{number}'>{box}{path if look['mark'] else ''}</g>")
    return "".join(drawn)


def legend(counts: Sequence[int], total: int) -> tuple[str, float]:
    """The states that there are, and how wide that is."""
    drawn, x = "", 0.0
    if not total:
        return "<text>No tasks yet</text>", 80.0
    for number, count in enumerate(counts):
        if count:
            label = f"{count:,} {LOOKS[number]['label']}"
            drawn += (
                f"<use href='#rk{number}' transform='translate({x:.0f} -10)scale(.55)'/>"
                f"<text x='{x + 17:.0f}' y='0'>{label}</text>"
            )
            x += 17 + len(label) * 6.2 + 16
    return drawn, x


def duration(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"
