"""`raykernel bench`: choose the rows, run the harness, print the table; or the laws of growth."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import sys

from raykernel.bench import harness, laws, scale, table
from raykernel.bench.rows import RAY, RAYKERNEL, ROWS
from raykernel.commands import CommandError


def run(options: argparse.Namespace) -> int:
    """Exit code 0 when every row could be measured, whatever the speed; else 1."""
    if options.what == "scale":
        return _scale(options)
    others = list(dict.fromkeys(options.against))
    needed = {"numpy": "notebooks"} | ({"ray": "ray"} if RAY in others else {})
    for module, extra in needed.items():
        if importlib.util.find_spec(module) is None:
            raise CommandError(
                f"{module} is not installed; this installs it:\n"
                f"  {sys.executable} -m pip install 'raykernel[{extra}]'"
            )
    rows = [row for row in ROWS if options.only.lower() in row.name.lower()]
    if not rows:
        names = "\n".join(f"  {row.name}" for row in ROWS)
        raise CommandError(f"no row's name contains {options.only!r}; the rows are\n{names}")
    engines = [RAYKERNEL, *others]
    results = harness.run(
        rows,
        engines,
        start=lambda engine: harness.ChildEngine(engine, options.cpus),
        seconds=options.seconds,
        rounds=options.rounds,
        tell=lambda measured: print(f"measured: {measured.row.name}", file=sys.stderr, flush=True),
    )
    if options.json:
        print(json.dumps({**_conditions(options, engines), "rows": table.as_dicts(results)}))
    else:
        print("\n".join(table.lines(results, engines)))
    return 1 if any(measured.errors for measured in results) else 0


def _scale(options: argparse.Namespace) -> int:
    if options.against or options.only:
        raise CommandError("bench scale measures raykernel alone: leave --against and --only out")
    found = []
    for law in scale.measure(
        options.most,
        options.cpus,
        lambda name: print(f"measuring: {name}", file=sys.stderr, flush=True),
    ):
        found.append(law)
        if not options.json:
            print("\n".join(laws.lines([law])), flush=True)
    if options.json:
        print(json.dumps({**_conditions(options, [RAYKERNEL]), "laws": laws.as_dicts(found)}))
    return 0


def _conditions(options: argparse.Namespace, engines: list[str]) -> dict[str, object]:
    return {
        "engines": engines,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "cpus": options.cpus,
        "seconds": options.seconds,
        "rounds": options.rounds,
    }
