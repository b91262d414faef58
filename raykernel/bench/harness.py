"""Measures rows on several engines in turn, round by round, each engine in a process of its own.

Within a row the engines alternate, so that a slow minute of the machine hits all of them. Only one
of them works at any time; the others wait for their next line.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from raykernel.bench.child import MARK
from raykernel.bench.rows import FRESH, OFFERS, RAYKERNEL, Row


class BenchError(Exception):
    """An engine could not be measured; the text is its own."""


class Engine(Protocol):
    """What is measured: a child process, or a test's stand-in."""

    def ask(self, row: str, seconds: float) -> float: ...

    def close(self) -> None: ...


class ChildEngine:
    """An engine in its child process, started at once. Blocks until it runs."""

    def __init__(self, engine: str, cpus: int) -> None:
        self.engine = engine
        self._said = tempfile.TemporaryFile("w+")  # noqa: SIM115  # closed in close()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "raykernel.bench.child", engine, str(cpus)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            env={**os.environ, MARK: uuid.uuid4().hex},
        )
        try:
            self._answer()
        except BenchError:
            self.close()
            raise

    def ask(self, row: str, seconds: float) -> float:
        assert self._process.stdin is not None
        try:
            print(
                json.dumps({"row": row, "seconds": seconds}), file=self._process.stdin, flush=True
            )
        except BrokenPipeError:
            raise self._ended() from None
        return self._answer()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise BenchError(answer["error"])
        return float(answer["value"])

    def _ended(self) -> BenchError:
        code = self._process.wait()
        self._said.seek(0)
        last = (self._said.read().strip().splitlines() or ["nothing"])[-1]
        return BenchError(f"{self.engine} ended with exit code {code}, having said: {last}")

    def close(self) -> None:
        """Let it end by itself; it must stop its engine first."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._said.close()


@dataclass
class Measured:
    """One row's rounds, by engine. An engine that failed has its error instead of values."""

    row: Row
    values: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def median(self, engine: str) -> float:
        return statistics.median(self.values[engine])

    def ratios(self) -> dict[str, float]:
        """How many times better raykernel is than each other engine, by medians."""
        if RAYKERNEL not in self.values:
            return {}
        ours = self.median(RAYKERNEL)
        return {
            engine: self.row.ratio(ours, self.median(engine))
            for engine in self.values
            if engine != RAYKERNEL
        }

    def met(self) -> bool | None:
        if RAYKERNEL not in self.values:
            return False if RAYKERNEL in self.errors else None
        return self.row.met(self.median(RAYKERNEL), self.ratios())


def run(
    rows: Sequence[Row],
    engines: Sequence[str],
    *,
    start: Callable[[str], Engine],
    seconds: float,
    rounds: int,
    tell: Callable[[Measured], None] = lambda measured: None,
) -> list[Measured]:
    """Measure each row on each engine that offers it. `tell` hears each row as it is done."""
    done: list[Measured] = []
    lasting: dict[str, Engine] = {}
    try:
        for row in rows:
            measured = Measured(row)
            for _ in range(rounds):
                for engine in engines:
                    _round(measured, engine, start, lasting, seconds)
            done.append(measured)
            tell(measured)
    finally:
        for child in lasting.values():
            child.close()
    return done


def _round(
    measured: Measured,
    engine: str,
    start: Callable[[str], Engine],
    lasting: dict[str, Engine],
    seconds: float,
) -> None:
    offer, name = OFFERS[engine], measured.row.name
    if engine in measured.errors or (offer is not None and name not in offer):
        return
    try:
        if name in FRESH:
            child = start(engine)
            try:
                value = child.ask(name, seconds)
            finally:
                child.close()
        else:
            if engine not in lasting:
                lasting[engine] = start(engine)
            value = lasting[engine].ask(name, seconds)
    except BenchError as error:
        # Half a row is none: a median of fewer rounds would look like the others and isn't.
        measured.values.pop(engine, None)
        measured.errors[engine] = str(error)
    else:
        measured.values.setdefault(engine, []).append(value)
