"""The results for a person (a table) and for a program (plain dicts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raykernel.bench.harness import Measured
from raykernel.bench.rows import RAYKERNEL


def lines(results: Sequence[Measured], engines: Sequence[str]) -> list[str]:
    """A header, a rule, and one line per row: median [least-most] by engine, ratios, goal."""
    others = [engine for engine in engines if engine != RAYKERNEL]
    header = ["operation", "unit", *engines, *(f"x {other}" for other in others), "goal", "met"]
    body = [_cells(measured, engines, others) for measured in results]
    widths = [max(map(len, column)) for column in zip(header, *body, strict=True)]
    numbers = range(2, 2 + len(engines) + len(others))

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if at in numbers else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    failures = [
        f"{measured.row.name} failed on {engine}: {error}"
        for measured in results
        for engine, error in measured.errors.items()
    ]
    return [line(header), line(["-" * width for width in widths]), *map(line, body), *failures]


def _cells(measured: Measured, engines: Sequence[str], others: Sequence[str]) -> list[str]:
    ratios = measured.ratios()
    met = {True: "yes", False: "no", None: "?"}[measured.met()]
    return [
        measured.row.name,
        measured.row.unit,
        *(_spread(measured, engine) for engine in engines),
        *(f"{ratios[other]:.1f}" if other in ratios else "-" for other in others),
        measured.row.goal(),
        met,
    ]


def _spread(measured: Measured, engine: str) -> str:
    if engine in measured.errors:
        return "failed"
    if engine not in measured.values:
        return "-"
    values = measured.values[engine]
    if len(values) == 1:
        return _short(values[0])
    return f"{_short(measured.median(engine))} [{_short(min(values))}-{_short(max(values))}]"


def _short(value: float) -> str:
    """Three significant digits, large ones in full."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def as_dicts(results: Sequence[Measured]) -> list[dict[str, Any]]:
    return [
        {
            "name": measured.row.name,
            "unit": measured.row.unit,
            "measured": {
                engine: {"median": measured.median(engine), "rounds": values}
                for engine, values in measured.values.items()
            },
            "errors": measured.errors,
            "ratios": measured.ratios(),
            "goal": measured.row.goal(),
            "met": measured.met(),
        }
        for measured in results
    ]
