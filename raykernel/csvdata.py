"""Two columns of numbers out of a CSV file or a data frame, with nothing lost silently.

A line can be fitted through what comes out: at least `AT_LEAST` rows, every number finite and
positive, neither column constant. A row that isn't so stands in `Pairs.skipped` with its place,
its text and the reason; a file that can't give such pairs raises `DataError`, whose text says
what is wrong with the file and what to do.

Numbers are read as Python reads them ("1200", "1.2e3", " 1200 "). "1,200" or "$1200" is skipped
and named rather than guessed at: in half of the world "1,200" is a bit more than one.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

#: The lessons share the rows among four workers, and each needs one.
AT_LEAST = 4


class DataError(ValueError):
    """The data can't be used; the text is meant for the person who chose the file."""


@dataclass(frozen=True)
class SkippedRow:
    """A row left out. `line` is where it starts in the file, counted from 1 (the header's)."""

    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        text = self.text if len(self.text) <= 60 else self.text[:57] + "..."
        return f"line {self.line}: {self.reason} in {text!r}"


@dataclass(frozen=True)
class Pairs:
    """The usable rows of two columns, and the rows that aren't."""

    source: str
    x_name: str
    y_name: str
    x: list[float]
    y: list[float]
    skipped: list[SkippedRow]

    def __len__(self) -> int:
        return len(self.x)

    def summary(self, show: int = 5) -> str:
        """How many rows are used, how many are not, and which: the first `show` by name."""
        said = [f"{self.source}: {len(self)} rows used, {len(self.skipped)} skipped"]
        said += [f"  {row}" for row in self.skipped[:show]]
        if len(self.skipped) > show:
            said.append(f"  ... and {len(self.skipped) - show} more")
        return "\n".join(said)


def read_pairs(path: str | PathLike[str], x_name: str, y_name: str) -> Pairs:
    """Read the columns `x_name` and `y_name` of a comma-separated file with a header line.

    Raises DataError for a file that is missing, unreadable, empty, without these columns, or
    without enough usable rows.
    """
    path = Path(path)
    try:
        # utf-8-sig takes the mark that spreadsheets put at the start; newline="" is csv's rule.
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(_rows(csv.reader(file)))
    except FileNotFoundError:
        raise DataError(f"there is no file {str(path)!r}") from None
    except OSError as error:
        raise DataError(f"{str(path)!r} can't be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise DataError(
            f"{str(path)!r} is not UTF-8 text (byte {error.start}): save it as CSV UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"{str(path)!r} is not a CSV file: {error}") from None
    if not rows:
        raise DataError(f"{str(path)!r} is empty: a header line with the column names is needed")
    header = [name.strip() for name in rows[0][1]]
    x_at, y_at = _places(path.name, header, (x_name, y_name))
    records = (
        (line, ",".join(row), (_cell(row, x_at), _cell(row, y_at))) for line, row in rows[1:]
    )
    return _collect(path.name, x_name, y_name, records)


def frame_pairs(frame: Any, x_name: str, y_name: str, source: str) -> Pairs:
    """The same for a pandas data frame; a row's line is its position, the header being line 1."""
    x_at, y_at = _places(source, [str(name) for name in frame.columns], (x_name, y_name))
    values = zip(frame.iloc[:, x_at], frame.iloc[:, y_at], strict=True)
    records = ((line, f"{x},{y}", (str(x), str(y))) for line, (x, y) in enumerate(values, start=2))
    return _collect(source, x_name, y_name, records)


def _rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Every row that isn't blank, with the line it starts on (a quoted cell may span several)."""
    start = 1
    for row in reader:
        if any(cell.strip() for cell in row):
            yield start, row
        start = reader.line_num + 1


def _cell(row: Sequence[str], at: int) -> str:
    return row[at] if at < len(row) else ""


def _places(source: str, header: Sequence[str], wanted: Sequence[str]) -> list[int]:
    missing = [name for name in wanted if name not in header]
    if missing:
        raise DataError(
            f"{source} has no column {' and no column '.join(map(repr, missing))}; "
            f"its columns are {', '.join(map(repr, header))}"
        )
    for name in wanted:
        if header.count(name) > 1:
            raise DataError(f"{source} has {header.count(name)} columns named {name!r}: rename one")
    return [header.index(name) for name in wanted]


def _collect(
    source: str, x_name: str, y_name: str, records: Iterable[tuple[int, str, tuple[str, str]]]
) -> Pairs:
    pairs = Pairs(source, x_name, y_name, [], [], [])
    for line, text, (x_text, y_text) in records:
        x, y = _number(x_text), _number(y_text)
        if isinstance(x, float) and isinstance(y, float):
            pairs.x.append(x)
            pairs.y.append(y)
        else:
            found = ((x_name, x), (y_name, y))
            reasons = [f"{name} {said}" for name, said in found if isinstance(said, str)]
            pairs.skipped.append(SkippedRow(line, text, ", ".join(reasons)))
    _check(pairs)
    return pairs


def _number(text: str) -> float | str:
    """The number, or what is wrong with the text."""
    if not text.strip():
        return "is missing"
    try:
        if "_" in text:  # Python's own digit separator, nobody's in a data file
            raise ValueError
        number = float(text)
    except ValueError:
        return "is not a number"
    if not math.isfinite(number):
        return "is not a finite number"
    return number if number > 0 else "is not positive"


def _check(pairs: Pairs) -> None:
    if len(pairs) < AT_LEAST:
        raise DataError(
            f"too few rows: at least {AT_LEAST} are needed, one for each worker\n{pairs.summary()}"
        )
    for name, values in ((pairs.x_name, pairs.x), (pairs.y_name, pairs.y)):
        low, high = min(values), max(values)
        if high - low <= 1e-9 * high:
            raise DataError(
                f"every {name!r} in {pairs.source} is {low:g}: there is no line to be found"
            )
