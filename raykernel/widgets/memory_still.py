"""The static form of the memory view: the store's use as a bar, and the largest objects as a
table that a screen reader can read, or as plain text. Pure."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from raykernel.amounts import size

from .still import frame
from .style import LINE, STORE, TEXT

if TYPE_CHECKING:
    from .memory_model import Look, MemoryRow

WIDTH, LEFT, BAR = 700, 12, 676
HEADS = ("size", "where", "object", "made by", "kept by")
_MOST = 100_000  # characters of the table in HTML
_LONGEST = 300  # characters of a cell


def bundle(look: Look | None, rows: int, view: str = "", ended: bool = False) -> dict[str, str]:
    """`ended`: `look` is the last at a session that is no more."""
    if look is None:
        words = "No session is running"
        return {"text/html": frame(view, words, words, "", ""), "text/plain": words}
    about = f"Session {look.session} (ended), " if ended else ""
    drawn = _svg(look, about)
    words = about + headline(look, rows)
    return {
        "text/html": frame(view, words, words, drawn, _table(look, rows), open_=True),
        "image/svg+xml": drawn,
        "text/plain": about + text(look, rows),
    }


def shares(store: dict[str, Any]) -> list[tuple[str, str, int]]:
    """(name, colour, bytes) of what the bar is made of, in its order."""
    pinned = min(store.get("pinned", 0), store["used"])
    return [
        ("pinned, as it is looked at", STORE["pinned"], pinned),
        ("kept", STORE["used"], store["used"] - pinned),
        ("spilled to disk", STORE["disk"], store.get("on_disk", 0)),
    ]


def headline(look: Look, rows: int) -> str:
    count = len(look.objects)
    noun = "object" if count == 1 else "objects"
    shown = f", the {rows} largest of them here" if count > rows else ""
    store = look.store
    return (
        f"{count:,} {noun}{shown}; {size(store['used'])} of {size(store['capacity'])} "
        "of the store used"
    )


def _svg(look: Look, about: str) -> str:
    parts = shares(look.store)
    whole = max(1, look.store["capacity"], sum(n for _, _, n in parts))
    words = about + headline(look, len(look.objects))
    drawn = [
        f"<text x='{LEFT}' y='20' font-size='13' font-weight='600'>{escape(words)}</text>",
        f"<rect x='{LEFT}' y='32' width='{BAR}' height='12' rx='3' fill='{LINE}' "
        "fill-opacity='.25'/>",
    ]
    x, key = float(LEFT), float(LEFT)
    for name, colour, n in parts:
        if not n:
            continue
        wide = max(1.5, BAR * n / whole)
        label = f"{size(n)} {name}"
        drawn.append(
            f"<rect x='{x:.1f}' y='32' width='{wide:.1f}' height='12' fill='{colour}'/>"
            f"<rect x='{key:.0f}' y='56' width='10' height='10' rx='2' fill='{colour}'/>"
            f"<text x='{key + 15:.0f}' y='65'>{escape(label)}</text>"
        )
        x += wide
        key += 15 + 6.4 * len(label) + 18
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{WIDTH}' height='76' "
        f"viewBox='0 0 {WIDTH} 76' role='img' font-size='11.5' fill='{TEXT}' "
        "font-family='system-ui,-apple-system,Segoe UI,sans-serif'>"
        f"<title>{escape(words)}</title>{''.join(drawn)}</svg>"
    )


def cells(row: MemoryRow) -> tuple[str, str, str, str, str]:
    short = f"{row.object[:8]}…{row.object[-10:]}" if row.object else "(a view alone)"
    held = "; ".join(holder.text for holder in row.holders) or "nothing"
    if len(held) > _LONGEST:
        held = held[: _LONGEST - 1] + "…"
    return (size(row.size), row.where, short, row.made[:_LONGEST], held)


def text(look: Look, rows: int) -> str:
    """As a table of plain text."""
    table = [HEADS, *(cells(row) for row in look.objects[:rows])]
    if len(table) == 1:
        return headline(look, rows)
    widths = [max(len(row[at]) for row in table) for at in range(len(HEADS) - 1)]
    lines = [
        "  ".join(
            cell.rjust(width) if at == 0 else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=False))
        )
        + f"  {row[-1]}"
        for row in table
    ]
    return "\n".join([headline(look, rows), "", *lines])


def _table(look: Look, rows: int) -> str:
    head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in HEADS)
    body: list[str] = []
    room = _MOST
    for row in look.objects[:rows]:
        first, *others = (escape(cell) for cell in cells(row))
        title = f' title="{escape(row.object)}"'
        rest = "".join(f'<td style="text-align:left"{title}>{cell}</td>' for cell in others)
        body.append(f'<tr><td style="text-align:right">{first}</td>{rest}</tr>')
        room -= len(body[-1])
        if room < 0:
            break
    if not body:
        return ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
